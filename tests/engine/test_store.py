"""The store: echoes, stale events, missed deletions, claims and indexes; any order of events equals a fresh fill."""

import copy
from collections.abc import Collection
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.meta import API_VERSION, FINALIZER, OWNED, Kind
from channel_operator.core.model import Capabilities, Key
from channel_operator.core.resolve import Resolution, resolve
from channel_operator.core.view import Claim
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
    assert heard.store.get(QUEUE).finalizers == (FINALIZER,)  # type: ignore[union-attr]


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
    assert heard.store.get(QUEUE).finalizers == ()  # type: ignore[union-attr]


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
    shared = {"brokerRef": {"name": "second", "namespace": "messaging"}, "username": "shared"}
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


# -- any order of events ---------------------------------------------------------------------------------------------

KEYS = [
    *(Key(Kind.BROKER, "messaging", name) for name in BROKERS),
    *(Key(kind, ns, name) for kind in (Kind.BROKER_USER, Kind.QUEUE) for ns in NAMESPACES for name in NAMES),
]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("delete"), st.sampled_from(KEYS), st.just(0), st.booleans()),
        st.tuples(st.just("namespace"), st.sampled_from(NAMESPACES), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("learn"), st.sampled_from(KEYS[:2]), st.integers(0, 1), st.booleans()),
    ),
    max_size=25,
)


class Server:
    """What the API server has, step by step."""

    def __init__(self) -> None:
        self.bodies: dict[Any, dict[str, Any]] = {}
        self.learnt: dict[Key, Capabilities] = {}
        self.version = 0

    def step(self, store: Store, what: str, target: Any, choice: int, flag: bool) -> None:  # noqa: FBT001
        """Do one thing and tell the store of it; `flag` says that the watch tells it twice."""
        self.version += 1
        match what:
            case "put":
                event = self._put(target, choice)
            case "delete":
                if target not in self.bodies:
                    return
                event = ("DELETED", self.bodies.pop(target))
                self.learnt.pop(target, None)
            case "namespace":
                labels: dict[str, str] = [{}, {"team": "blue"}, {"team": "red"}][choice]
                self.bodies[target] = namespace(target, labels, self.version)
                event = ("MODIFIED", self.bodies[target])
            case _:
                if target in self.bodies:
                    self.learnt[target] = Capabilities("Fake", "4.3.6", f"{choice}/{target.name}", str(choice))
                    store.learnt(target, self.learnt[target], "operator")
                return
        for _ in range(2 if flag else 1):
            store.event(event[0], copy.deepcopy(event[1]))

    def _put(self, key: Key, choice: int) -> tuple[str, dict[str, Any]]:
        specs = SPECS[key.kind]
        spec = specs[choice % len(specs)]
        before = self.bodies.get(key)
        if before is None:
            made = body(key, spec, uid=f"uid-{self.version}", version=self.version)
        else:
            made = copy.deepcopy(before)
            if made["spec"] != spec:
                made["spec"] = spec
                made["metadata"]["generation"] += 1
            made["metadata"]["resourceVersion"] = str(self.version)
        self.bodies[key] = made
        return ("ADDED" if before is None else "MODIFIED"), made


def answers(store: Store) -> dict[Key, Resolution]:
    """Return what every object stands for by this store."""
    found: dict[Key, Resolution] = {}
    for key in store.keys():  # noqa: SIM118  # a Store is no dict
        manifest = store.get(key)
        if manifest is not None and key.kind is not Kind.BROKER:
            found[key] = resolve(manifest, store, grace_over=True)
    return found


@given(STEPS)
def test_any_order_of_events_equals_a_fresh_fill(steps: list[tuple[str, Any, int, bool]]) -> None:
    server, store = Server(), Store()
    for what, target, choice, flag in steps:
        server.step(store, what, target, choice, flag)
    fresh = Store()
    fresh.replace(list(server.bodies.values()), fresh.snapshot())
    for broker, capabilities in server.learnt.items():
        fresh.learnt(broker, capabilities, "operator")
    assert answers(store) == answers(fresh)
    assert store.usernames() == fresh.usernames()
    assert {b: set(store.on_broker(b)) for b in store.brokers()} == {
        b: set(fresh.on_broker(b)) for b in fresh.brokers()
    }


@given(STEPS)
def test_whatever_changes_what_an_object_stands_for_wakes_it(steps: list[tuple[str, Any, int, bool]]) -> None:
    server, heard = Server(), Heard()
    before: dict[Key, Resolution] = {}
    for what, target, choice, flag in steps:
        server.step(heard.store, what, target, choice, flag)
        after = answers(heard.store)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert changed <= heard.take()
        before = after


@given(STEPS, st.lists(st.booleans(), max_size=25))
def test_events_that_were_missed_are_made_up_by_a_list(
    steps: list[tuple[str, Any, int, bool]], missed: list[bool]
) -> None:
    server, store = Server(), Store()
    for number, (what, target, choice, flag) in enumerate(steps):
        lost = number < len(missed) and missed[number] and what != "learn"
        server.step(Store() if lost else store, what, target, choice, flag)
    store.replace([copy.deepcopy(b) for b in server.bodies.values()], store.snapshot())
    fresh = Store()
    fresh.replace(list(server.bodies.values()), fresh.snapshot())
    for broker, capabilities in server.learnt.items():
        store.learnt(broker, capabilities, "operator")
        fresh.learnt(broker, capabilities, "operator")
    assert answers(store) == answers(fresh)
