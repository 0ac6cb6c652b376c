"""Who is admitted, and which entry of a list gives a right."""

from typing import Any

import pytest

from channel_operator.api.common import ObjectRef
from channel_operator.api.meta import Kind
from channel_operator.core import access
from channel_operator.core.accepted import Grant, Role
from channel_operator.core.model import Capabilities, Key
from tests.unit.core.samples import MAIN, broker, broker_spec, user, view

WORKER = Key(Kind.BROKER_USER, "billing", "worker")


@pytest.mark.parametrize(
    ("consent", "namespace", "labels", "expected"),
    [
        ({"from": "Same"}, "messaging", {}, True),
        ({"from": "Same"}, "billing", {}, False),
        ({"from": "All"}, "billing", {}, True),
        ({"from": "Selector", "selector": {}}, "billing", {}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}}, "billing", {"team": "blue"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}}, "billing", {"team": "red"}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}}, "messaging", {}, True),
        (
            {"from": "Selector", "selector": {"matchLabels": {"team": "blue", "env": "prod"}}},
            "billing",
            {"team": "blue"},
            False,
        ),
    ],
)
def test_consent(consent: dict[str, Any], namespace: str, labels: dict[str, str], *, expected: bool) -> None:
    spec = broker_spec(allowedNamespaces=consent)
    seen = view(labels={namespace: labels})
    assert access.admits(spec.allowed_namespaces, "messaging", namespace, seen) is expected


@pytest.mark.parametrize(
    ("operator", "values", "labels", "expected"),
    [
        ("In", ["blue", "red"], {"team": "red"}, True),
        ("In", ["blue"], {"team": "red"}, False),
        ("In", ["blue"], {}, False),
        ("NotIn", ["blue"], {"team": "red"}, True),
        ("NotIn", ["blue"], {}, True),
        ("NotIn", ["blue"], {"team": "blue"}, False),
        ("Exists", None, {"team": ""}, True),
        ("Exists", None, {}, False),
        ("DoesNotExist", None, {}, True),
        ("DoesNotExist", None, {"team": "x"}, False),
    ],
)
def test_selector_expressions(
    operator: str, values: list[str] | None, labels: dict[str, str], *, expected: bool
) -> None:
    expression = {"key": "team", "operator": operator, **({"values": values} if values else {})}
    consent = {"from": "Selector", "selector": {"matchExpressions": [expression]}}
    spec = broker_spec(allowedNamespaces=consent)
    assert access.admits(spec.allowed_namespaces, "messaging", "billing", view(labels={"billing": labels})) is expected


def test_a_namespace_that_is_not_known_matches_no_selector() -> None:
    spec = broker_spec(allowedNamespaces={"from": "Selector", "selector": {}})
    assert access.admits(spec.allowed_namespaces, "messaging", "nowhere", view()) is False


@pytest.mark.parametrize(
    ("users", "consent", "expected"),
    [
        ([user("worker")], {"from": "All"}, "Granted"),
        ([], {"from": "All"}, "Missing"),
        ([user("worker", deleted=True)], {"from": "All"}, "Missing"),
        ([user("worker", brokerRef={"name": "other", "namespace": "messaging"})], {"from": "All"}, "OnOtherBroker"),
        ([user("worker", brokerRef={"name": "main"})], {"from": "All"}, "OnOtherBroker"),
        ([user("worker")], {"from": "Same"}, "NotPermitted"),
        ([user("worker", username="shop.worker")], {"from": "All"}, "NotPermitted"),
        ([user("worker", username="operator")], {"from": "All"}, "NotPermitted"),
        ([user("worker", username="billing.own")], {"from": "All"}, "Granted"),
        ([user("worker", rotation={"every": "1h"})], {"from": "All"}, "Granted"),
        (
            [user("worker", username="billing.x"), user("elder", username="billing.x", age=5)],
            {"from": "All"},
            "NotPermitted",
        ),
    ],
    ids=[
        "fine",
        "missing",
        "leaving",
        "other-broker",
        "broker-of-its-own-namespace",
        "no-consent",
        "name-of-others",
        "operators-own",
        "own-name",
        "unreadable-otherwise",
        "younger-claimant",
    ],
)
def test_what_becomes_of_an_entry(users: list[Any], consent: dict[str, Any], expected: str) -> None:
    main = broker(allowedNamespaces=consent)
    seen = view(main, *users)
    granted, reports = access.grants(
        [(Role.CONSUMER, [ObjectRef(name="worker")])],
        namespace="billing",
        broker=MAIN,
        spec=main.spec,  # type: ignore[arg-type]  # the fixture's Broker is valid
        view=seen,
    )
    assert [(r.user, r.role, str(r.state)) for r in reports] == [(WORKER, Role.CONSUMER, expected)]
    assert [g.user for g in granted] == ([WORKER] if expected == "Granted" else [])


def test_doubles_count_once_for_each_role_and_each_reference_stands_alone() -> None:
    seen = view(broker(), user("worker"), user("far", "shop"))
    lists = [
        (Role.PRODUCER, [ObjectRef(name="worker")]),
        (
            Role.CONSUMER,
            [
                ObjectRef(name="worker"),
                ObjectRef(name="worker", namespace="billing"),
                ObjectRef(name="absent"),
                ObjectRef(name="far", namespace="shop"),
                ObjectRef(name="far"),
            ],
        ),
    ]
    granted, reports = access.grants(lists, namespace="billing", broker=MAIN, spec=broker_spec(), view=seen)
    far = Key(Kind.BROKER_USER, "shop", "far")
    assert granted == (
        Grant(WORKER, ("billing.worker",), Role.PRODUCER),
        Grant(WORKER, ("billing.worker",), Role.CONSUMER),
        Grant(far, ("shop.far",), Role.CONSUMER),
    )
    assert [str(r.state) for r in reports] == ["Granted", "Granted", "Missing", "Granted", "Missing"]


def test_users_are_one_space_of_names_in_a_cluster_that_several_brokers_lead_to() -> None:
    second = Key(Kind.BROKER, "messaging", "second")
    seen = view(broker(), broker("second"))
    assert access.user_claim(MAIN, seen, "x") != access.user_claim(second, seen, "x")
    for key, identity in ((MAIN, "one/a"), (second, "one/b")):
        seen.known[key] = Capabilities("RabbitMQ", "4.3.6", identity, "one")
    assert access.user_claim(MAIN, seen, "x") == access.user_claim(second, seen, "x")
