"""Any order of events, also with some of them missed, leaves the store as a fresh fill would."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.core.model import Capabilities, Key
from channel_operator.core.resolve import Resolution, resolve
from channel_operator.engine.store import Store
from tests.engine.test_store import SPECS, Heard, body, namespace

BROKERS = ("main", "second")


NAMESPACES = ("billing", "shop")


NAMES = ("a", "b")


KEYS = [
    *(Key(Kind.BROKER, "messaging", name) for name in BROKERS),
    *(Key(kind, ns, name) for kind in (Kind.BROKER_USER, Kind.QUEUE) for ns in NAMESPACES for name in NAMES),
]


PRELUDE: list[tuple[str, Any, int, bool]] = [
    ("put", KEYS[0], 0, False),
    ("put", Key(Kind.QUEUE, "billing", "a"), 3, False),
    ("put", Key(Kind.QUEUE, "shop", "b"), 6, False),
    ("put", Key(Kind.BROKER_USER, "shop", "a"), 1, False),
    ("put", Key(Kind.BROKER_USER, "billing", "a"), 1, False),
]
"""A Broker that admits everybody, two queues that name users, and two users that want one name: so that most examples
are about something."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 30), st.booleans()),
        st.tuples(st.just("delete"), st.sampled_from(KEYS), st.just(0), st.booleans()),
        st.tuples(st.just("namespace"), st.sampled_from(NAMESPACES), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("learn"), st.sampled_from(KEYS[:2]), st.integers(0, 1), st.booleans()),
    ),
    max_size=25,
).map(lambda steps: [*PRELUDE, *steps])


class Server:
    """What the API server has, step by step."""

    def __init__(self) -> None:
        self.bodies: dict[Any, dict[str, Any]] = {}
        self.learnt: dict[Key, Capabilities] = {}
        self.version = 0

    def step(self, store: Store, what: str, target: Any, choice: int, flag: bool) -> None:
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
