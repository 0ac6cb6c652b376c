"""Small questions about one object, each with one answer."""

import pytest

from channel_operator.api.meta import DELETION_POLICY, FORCE_RELEASE, RECONCILE
from channel_operator.core import policy
from channel_operator.core.model import Removal
from channel_operator.core.policy import OwnerRecord, Ownership
from channel_operator.core.view import NamespaceInfo
from tests.unit.core.samples import broker_spec, queue, user


@pytest.mark.parametrize(
    ("stated", "annotated", "default", "expected"),
    [
        (None, None, None, None),
        (None, None, "Delete", Removal.DELETE),
        (None, "DeleteIfEmpty", "Delete", Removal.DELETE_IF_EMPTY),
        ("Retain", "Delete", "Delete", None),
        ("Delete", "Retain", "Retain", Removal.DELETE),
        (None, "delete", "Delete", None),
        (None, "", "Delete", None),
    ],
)
def test_object_before_namespace_before_broker_before_retain(
    stated: str | None, annotated: str | None, default: str | None, expected: Removal | None
) -> None:
    spec = broker_spec(**({"defaults": {"deletionPolicy": default}} if default else {}))
    annotations = {} if annotated is None else {DELETION_POLICY: annotated}
    found = queue(**({"deletionPolicy": stated} if stated else {}))
    assert policy.removal(found, NamespaceInfo("billing", {}, annotations), spec) == expected


def test_an_unreadable_manifest_keeps_its_messages() -> None:
    spec = broker_spec(defaults={"deletionPolicy": "Delete"})
    assert policy.removal(queue(messageTTL="soon"), None, spec) is None


def test_a_user_holds_no_messages_and_goes_with_its_manifest() -> None:
    assert policy.removal(user("worker"), None, broker_spec()) is Removal.DELETE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("creating:id", OwnerRecord(Ownership.CREATING, "id")),
        ("created:cluster/a:b/ü", OwnerRecord(Ownership.CREATED, "cluster/a:b/ü")),
        ("adopted:", OwnerRecord(Ownership.ADOPTED, "")),
        ("", None),
        ("created", None),
        ("Created:id", None),
        ("stolen:id", None),
    ],
)
def test_an_owner_record_reads_back_and_a_damaged_one_counts_as_none(text: str, expected: OwnerRecord | None) -> None:
    found = policy.owner_record({"channel-operator.dev/owned": text})
    assert found == expected
    if expected is not None:
        assert str(expected) == text


@pytest.mark.parametrize(("value", "expected"), [("Disabled", True), ("disabled", False), ("true", False), ("", False)])
def test_only_the_word_disabled_disables(value: str, *, expected: bool) -> None:
    assert policy.is_disabled(queue(annotations={RECONCILE: value})) is expected


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("True", False), ("yes", False)])
def test_only_the_word_true_releases_by_force(value: str, *, expected: bool) -> None:
    assert policy.is_released_by_force(queue(annotations={FORCE_RELEASE: value})) is expected


@pytest.mark.parametrize(
    ("stated", "broker", "expected"),
    [(None, None, False), ("Observe", None, True), (None, "Observe", True), ("Full", "Observe", True)],
)
def test_who_only_watches(stated: str | None, broker: str | None, *, expected: bool) -> None:
    spec = broker_spec(**({"managementPolicy": broker} if broker else {}))
    found = queue(**({"managementPolicy": stated} if stated else {}))
    assert policy.only_observes(found, spec) is expected
