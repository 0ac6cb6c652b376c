"""The store: echoes, stale events, missed deletions, claims and indexes."""

from collections.abc import Collection
from typing import Any

from channel_operator.api.meta import API_VERSION, FINALIZER, OWNED, Kind
from channel_operator.core.model import Capabilities, Key
from channel_operator.core.view import Claim, Manifest
from channel_operator.engine.store import Store

BROKERS = ("main", "second")
NAMESPACES = ("billing", "shop")
NAMES = ("a", "b")
SPECS: dict[Kind, list[dict[str, Any]]] = {
    Kind.BROKER: [
        {
            "rabbitmq": {"managementUrls": ["https://r:15671"]},
            "credentials": {"passwordSecretRef": {"name": "s"}},
            "allowedNamespaces": consent,
            "naming": {"physicalName": "Any"},
        }
        for consent in (
            {"from": "All"},
            {"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}},
            {"from": "Same"},
        )
    ],
    Kind.BROKER_USER: [
        {"brokerRef": {"name": broker, "namespace": "messaging"}, **name}
        for broker in BROKERS
        for name in ({}, {"username": "shared"})
    ],
    Kind.QUEUE: [
        {"brokerRef": {"name": broker, "namespace": "messaging"}, "consumers": users, **name}
        for broker in BROKERS
        for users in ([], [{"name": "a"}], [{"name": "a"}, {"name": "b", "namespace": "shop"}])
        for name in ({}, {"physicalName": "shared"}, {"messageTTL": "soon"})
    ],
}


def body(key: Key, spec: dict[str, Any], *, uid: str = "u1", generation: int = 1, version: int = 1) -> dict[str, Any]:
    """Return an object as the API server shows it."""
    meta = {
        "name": key.name,
        "namespace": key.namespace,
        "uid": uid,
        "generation": generation,
        "creationTimestamp": f"2026-01-01T00:00:{version % 60:02}Z",
        "resourceVersion": str(version),
    }
    return {"apiVersion": API_VERSION, "kind": str(key.kind), "metadata": meta, "spec": spec, "status": {}}


def namespace(name: str, labels: dict[str, str], version: int = 1) -> dict[str, Any]:
    """Return a Namespace as the API server shows it."""
    return {"kind": "Namespace", "metadata": {"name": name, "labels": labels, "resourceVersion": str(version)}}


QUEUE = Key(Kind.QUEUE, "billing", "a")
USER = Key(Kind.BROKER_USER, "billing", "a")
BROKER = Key(Kind.BROKER, "messaging", "main")


class Heard:
    """A store, and what it called dirty."""

    def __init__(self) -> None:
        self.store = Store()
        self.dirty: set[Key] = set()
        self.store.listener = self._hear

    def _hear(self, keys: Collection[Key]) -> None:
        self.dirty |= set(keys)

    def known(self, key: Key) -> Manifest:
        """Return what is known of an object that is there."""
        found = self.store.get(key)
        assert found is not None
        return found

    def take(self) -> set[Key]:
        """Return what was heard since the last time."""
        heard, self.dirty = self.dirty, set()
        return heard


def filled() -> Heard:
    """Return a store with a Broker, a user and a queue that names the user."""
    heard = Heard()
    heard.store.event(None, namespace("billing", {}))
    heard.store.event(None, body(BROKER, SPECS[Kind.BROKER][0], uid="b", version=1))
    heard.store.event(None, body(USER, SPECS[Kind.BROKER_USER][0], uid="u", version=2))
    heard.store.event(None, body(QUEUE, SPECS[Kind.QUEUE][3], uid="q", version=3))
    heard.take()
    return heard


def test_the_echo_of_a_status_we_wrote_is_dropped() -> None:
    heard = filled()
    echo = body(QUEUE, SPECS[Kind.QUEUE][3], uid="q", version=3)
    echo["metadata"]["resourceVersion"] = "9"
    echo["status"] = {"observedGeneration": 1}
    heard.store.wrote(QUEUE, "q", "9", status={"observedGeneration": 1})
    heard.store.event("MODIFIED", echo)
    assert heard.take() == set()


def test_the_echo_of_a_claim_that_arrives_before_its_answer_wakes_at_most_the_object_itself() -> None:
    heard = filled()
    echo = body(QUEUE, SPECS[Kind.QUEUE][3], uid="q", version=3)
    echo["metadata"].update(resourceVersion="9", finalizers=[FINALIZER], annotations={OWNED: "creating:x"})
    heard.store.event("MODIFIED", echo)
    assert heard.take() <= {QUEUE}
    heard.store.wrote(QUEUE, "q", "9", finalizers=(FINALIZER,), annotations={OWNED: "creating:x"})
    heard.store.event("MODIFIED", echo)
    assert heard.take() == set()


def test_a_status_that_somebody_else_overwrote_wakes_the_object() -> None:
    heard = filled()
    changed = body(QUEUE, SPECS[Kind.QUEUE][3], uid="q", version=3)
    changed["metadata"]["resourceVersion"] = "9"
    changed["status"] = {"observedGeneration": 77}
    heard.store.event("MODIFIED", changed)
    assert heard.take() == {QUEUE}


def test_an_event_older_than_what_is_known_changes_nothing() -> None:
    heard = filled()
    heard.store.wrote(QUEUE, "q", "9", finalizers=(FINALIZER,))
    stale = body(QUEUE, SPECS[Kind.QUEUE][0], uid="q", generation=2, version=3)
    stale["metadata"]["resourceVersion"] = "5"
    heard.store.event("MODIFIED", stale)
    assert heard.take() == set()
    assert heard.known(QUEUE).finalizers == (FINALIZER,)


def test_versions_that_are_not_numbers_are_never_called_old() -> None:
    heard = filled()
    heard.store.wrote(QUEUE, "q", "zz")
    changed = body(QUEUE, SPECS[Kind.QUEUE][0], uid="q", generation=2, version=3)
    changed["metadata"]["resourceVersion"] = "aa"
    heard.store.event("MODIFIED", changed)
    assert QUEUE in heard.take()


def test_a_deletion_of_an_earlier_incarnation_does_not_touch_the_present_one() -> None:
    heard = filled()
    heard.store.event("DELETED", body(QUEUE, SPECS[Kind.QUEUE][3], uid="before", version=2))
    assert heard.take() == set()
    assert heard.store.get(QUEUE) is not None


def test_a_write_to_an_earlier_incarnation_is_not_noted() -> None:
    heard = filled()
    heard.store.wrote(QUEUE, "before", "9", finalizers=(FINALIZER,))
    assert heard.known(QUEUE).finalizers == ()


def test_a_user_wakes_those_who_name_it() -> None:
    heard = filled()
    gone = body(USER, SPECS[Kind.BROKER_USER][0], uid="u", version=2)
    heard.store.event("DELETED", gone)
    assert heard.take() == {USER, QUEUE}
    heard.store.event("ADDED", body(USER, SPECS[Kind.BROKER_USER][0], uid="u2", version=8))
    assert heard.take() == {USER, QUEUE}


def test_a_list_finds_what_vanished_unseen_and_nothing_that_came_in_meanwhile() -> None:
    heard = filled()
    known = heard.store.snapshot()
    listed = [
        namespace("billing", {}),
        body(BROKER, SPECS[Kind.BROKER][0], uid="b", version=1),
        body(USER, SPECS[Kind.BROKER_USER][0], uid="u", version=2),
    ]
    young = Key(Kind.QUEUE, "billing", "young")
    heard.store.event("ADDED", body(young, SPECS[Kind.QUEUE][0], uid="y", version=20))
    heard.take()
    heard.store.keep_only(listed, known)
    assert heard.store.get(QUEUE) is None
    assert heard.store.get(young) is not None
    assert QUEUE in heard.take()


def test_a_namespace_that_vanished_unseen_takes_its_labels_along() -> None:
    heard = filled()
    known = heard.store.snapshot()
    heard.store.keep_only([body(BROKER, {}, uid="b"), body(USER, {}, uid="u"), body(QUEUE, {}, uid="q")], known)
    assert heard.store.namespace("billing") is None
    assert heard.take() >= {USER, QUEUE}


def test_labels_of_a_namespace_wake_its_objects_and_the_channels_that_name_its_users() -> None:
    heard = filled()
    far = Key(Kind.QUEUE, "shop", "far")
    spec = {**SPECS[Kind.QUEUE][0], "consumers": [{"name": "a", "namespace": "billing"}]}
    heard.store.event("ADDED", body(far, spec, uid="f", version=9))
    heard.take()
    heard.store.event("MODIFIED", namespace("billing", {"team": "blue"}, 10))
    assert heard.take() == {USER, QUEUE, far}
    heard.store.event("MODIFIED", namespace("billing", {"team": "blue"}, 11))
    assert heard.take() == set()


def test_the_oldest_claimant_holds_a_name_and_the_next_one_is_woken_when_it_goes() -> None:
    heard = filled()
    other = Key(Kind.QUEUE, "shop", "b")
    shared = {**SPECS[Kind.QUEUE][0], "physicalName": "billing.a"}
    heard.store.event("ADDED", body(other, shared, uid="o", version=30))
    claim = Claim(f"channels of {BROKER}", "billing.a")
    assert heard.store.holder(claim) == QUEUE
    heard.take()
    heard.store.event("DELETED", body(QUEUE, {}, uid="q"))
    assert heard.store.holder(claim) == other
    assert other in heard.take()


def test_a_user_that_loses_its_name_to_one_on_another_broker_of_the_cluster_wakes_its_channels() -> None:
    heard, second = Heard(), Key(Kind.BROKER, "messaging", "second")
    shared: dict[str, Any] = {"brokerRef": {"name": "second", "namespace": "messaging"}, "username": "shared"}
    older = Key(Kind.BROKER_USER, "shop", "b")
    for number, broker in enumerate((BROKER, second)):
        heard.store.event(None, body(broker, SPECS[Kind.BROKER][0], uid=f"b{number}", version=1))
    heard.store.event(None, body(older, shared, uid="older", version=2))
    heard.store.event(
        None, body(USER, {**shared, "brokerRef": {**shared["brokerRef"], "name": "main"}}, uid="u", version=3)
    )
    heard.store.event(None, body(QUEUE, SPECS[Kind.QUEUE][3], uid="q", version=4))
    heard.store.learnt(BROKER, Capabilities("Fake", "4.3.6", "one/a", "one"), "operator")
    heard.take()
    heard.store.learnt(second, Capabilities("Fake", "4.3.6", "one/b", "one"), "operator")
    assert heard.store.holder(Claim("users of one", "shared")) == older
    assert {USER, QUEUE} <= heard.take()
