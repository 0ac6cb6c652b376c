"""The API server refuses what contradicts itself, blames the right field and says what to do."""

from typing import Any

import pytest

from channel_operator.api.meta import API_VERSION, Kind
from tests.kube.conftest import Kube
from tests.unit.api.cases import Case, Q, Spec, spec
from tests.unit.api.changes import CHANGES, MUTABLE_CHANGES, Change
from tests.unit.api.rule_cases import RULE_CASES
from tests.unit.api.scalars import SCALAR_CASES, once_a_rule

CASES = [*RULE_CASES, *once_a_rule(SCALAR_CASES)]


def manifest(kind: Kind, body: Spec, namespace: str = "default", name: str = "x") -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": str(kind),
        "metadata": {"name": name, "namespace": namespace},
        "spec": body,
    }


def refusal(kind: Kind, *complaints: str) -> str:
    told = complaints[0] if len(complaints) == 1 else "".join(f"\n* {complaint}" for complaint in complaints)
    return f'The {kind} "x" is invalid: {told}\n'


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.path}-{case.message[:16]}-{case.id}")
def test_a_broken_rule_is_refused_in_one_sentence_about_its_field(kube: Kube, case: Case) -> None:
    refused = kube.apply(manifest(case.kind, case.bad), "--dry-run=server")
    assert refused.stderr == refusal(case.kind, case.complaint)
    accepted = kube.apply(manifest(case.kind, case.good), "--dry-run=server")
    assert (accepted.returncode, accepted.stderr) == (0, "")


@pytest.mark.parametrize(
    "change", [*CHANGES, *MUTABLE_CHANGES], ids=lambda change: f"{change.kind}-{change.path}-{change.what}"
)
def test_a_stored_object_changes_only_where_it_may(kube: Kube, namespace: str, change: Change) -> None:
    stored = kube.apply(manifest(change.kind, change.before, namespace))
    assert stored.returncode == 0, stored.stderr
    edited = kube.apply(manifest(change.kind, change.after, namespace), "--dry-run=server")
    assert edited.stderr == (refusal(change.kind, *change.complaints) if change.message else "")


def test_a_queue_cannot_be_its_own_dead_letter_queue(kube: Kube) -> None:
    refused = kube.apply(manifest(Q, spec(Q, deadLetter={"queueRef": {"name": "x"}})), "--dry-run=server")
    assert refused.stderr == refusal(
        Q,
        "spec.deadLetter.queueRef.name: Invalid value: "
        "a queue cannot be its own dead-letter queue; name another Queue, or write deadLetter: {}",
    )
    accepted = kube.apply(manifest(Q, spec(Q, deadLetter={"queueRef": {"name": "y"}})), "--dry-run=server")
    assert accepted.returncode == 0, accepted.stderr


@pytest.mark.parametrize(("kind", "longest"), [(Kind.QUEUE, 115), (Kind.BROKER_USER, 115), (Kind.BROKER, 63)])
def test_a_name_too_long_for_the_brokers_is_refused(kube: Kube, kind: Kind, longest: int) -> None:
    body = next(case.good for case in RULE_CASES if case.kind is kind)
    accepted = kube.apply(manifest(kind, body, name="n" * longest), "--dry-run=server")
    assert accepted.returncode == 0, accepted.stderr
    refused = kube.apply(manifest(kind, body, name="n" * (longest + 1)), "--dry-run=server")
    assert f"metadata.name: Too long: may not be more than {longest} bytes" in refused.stderr
