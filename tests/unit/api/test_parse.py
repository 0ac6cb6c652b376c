"""Manifests that come from files are judged as the API server judges them, in the same words."""

import pytest

from channel_operator import api
from channel_operator.api.meta import Kind
from channel_operator.errors import InvalidManifest
from tests.unit.api.cases import MINIMAL, Case, Spec, spec
from tests.unit.api.rule_cases import RULE_CASES
from tests.unit.api.scalars import SCALAR_CASES

CASES = [*RULE_CASES, *SCALAR_CASES]
IDS = [f"{case.kind}-{case.path}-{case.message[:20]}-{case.id}" for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_broken_rule_is_told_with_its_field_and_sentence(case: Case) -> None:
    with pytest.raises(InvalidManifest) as refused:
        api.parse(case.kind, case.bad)
    assert str(refused.value) == f"spec.{case.path}: {case.message}"
    assert refused.value.field == f"spec.{case.path}"


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_nearest_manifest_that_keeps_the_rule_is_read(case: Case) -> None:
    assert isinstance(api.parse(case.kind, case.good), api.SPECS[case.kind])


@pytest.mark.parametrize(
    ("kind", "manifest", "field", "message"),
    [
        (Kind.QUEUE, {}, "spec.brokerRef", "is required"),
        (Kind.QUEUE, {"brokerRef": "main"}, "spec.brokerRef", "must be an object with fields"),
        (Kind.QUEUE, {"brokerRef": {"name": ""}}, "spec.brokerRef.name", "must have 1 or more characters"),
        (Kind.QUEUE, {"brokerRef": {"name": 5}}, "spec.brokerRef.name", "must be a text; put quotes around numbers"),
        (Kind.QUEUE, spec(Kind.QUEUE, ordering="Fifo"), "spec.ordering", "must be one of None, Strict or PerKey"),
        (Kind.QUEUE, spec(Kind.QUEUE, retry={"maxDeliveries": 0}), "spec.retry.maxDeliveries", "must be 1 or more"),
        (
            Kind.QUEUE,
            spec(Kind.QUEUE, retry={"maxDeliveries": "5"}),
            "spec.retry.maxDeliveries",
            "must be a whole number",
        ),
        (
            Kind.QUEUE,
            spec(Kind.QUEUE, retry={"maxDeliveries": True}),
            "spec.retry.maxDeliveries",
            "must be a whole number",
        ),
        (Kind.QUEUE, spec(Kind.QUEUE, producers="checkout"), "spec.producers", "must be a list"),
        (Kind.QUEUE, spec(Kind.QUEUE, producers=["checkout"]), "spec.producers[0]", "must be an object with fields"),
        (
            Kind.QUEUE,
            spec(Kind.QUEUE, producers=[{"name": "a"}] * 257),
            "spec.producers",
            "must have 256 or fewer entries",
        ),
        (
            Kind.QUEUE,
            spec(Kind.QUEUE, requireBrokerEnforcement="yes"),
            "spec.requireBrokerEnforcement",
            "true or false",
        ),
        (Kind.QUEUE, spec(Kind.QUEUE, shards=1, ordering="PerKey"), "spec.shards", "must be 2 or more"),
        (Kind.QUEUE, spec(Kind.QUEUE, kafka={"config": {"a": 1}}), "spec.kafka.config.a", "must be a text; put quotes"),
        (
            Kind.BROKER,
            {"rabbitmq": {"managementUrls": []}},
            "spec.rabbitmq.managementUrls",
            "must have 1 or more entries",
        ),
        (Kind.BROKER_USER, {"broker_ref": {"name": "main"}}, "spec.brokerRef", "is required"),
    ],
)
def test_a_wrong_type_or_bound_is_told_in_a_users_words(kind: Kind, manifest: Spec, field: str, message: str) -> None:
    with pytest.raises(InvalidManifest) as refused:
        api.parse(kind, manifest)
    text = str(refused.value)
    assert refused.value.field == field
    assert text.startswith(f"{field}: ")
    assert message in text
    assert "pydantic" not in text
    assert "http" not in text.removeprefix(field)


@pytest.mark.parametrize("kind", list(Kind))
def test_unknown_fields_are_ignored_as_the_api_server_prunes_them(kind: Kind) -> None:
    assert api.parse(kind, {**MINIMAL[kind], "someday": {"more": 1}}) == api.parse(kind, MINIMAL[kind])


def test_what_is_not_stated_and_others_may_decide_is_unset() -> None:
    queue = api.parse(Kind.QUEUE, MINIMAL[Kind.QUEUE])
    assert isinstance(queue, api.QueueSpec)
    undecided = (
        queue.deletion_policy,
        queue.adoption_policy,
        queue.retry,
        queue.limits,
        queue.replicas,
        queue.rabbitmq,
    )
    assert undecided == (None,) * 6


def test_the_error_never_repeats_a_value_of_a_secret_like_url() -> None:
    with pytest.raises(InvalidManifest) as refused:
        api.parse(Kind.BROKER, spec(Kind.BROKER, rabbitmq={"managementUrls": ["https://me:hunter2@rabbit"]}))
    assert "hunter2" not in str(refused.value)
