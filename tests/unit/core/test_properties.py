"""What holds for every set of manifests, with the real driver of RabbitMQ and a broker in memory.

`Side` is the whole pure way from manifests to the broker, without the engine: resolve, compile, assemble, plan, apply.
"""

import asyncio
import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from channel_operator.api.meta import RECONCILE
from channel_operator.brokers.fake import FakeBroker, FakeSession
from channel_operator.brokers.rabbitmq.access import parse
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver
from channel_operator.brokers.rabbitmq.resources import Permission, permission_id
from channel_operator.core.accepted import Compiled, Login
from channel_operator.core.desired import Desired
from channel_operator.core.diff import plan
from channel_operator.core.model import (
    Key,
    Plan,
    Resource,
    ResourceId,
    Secret,
)
from channel_operator.core.report import ObjectState, channel_status
from channel_operator.core.resolve import Standing, resolve
from channel_operator.core.view import Manifest
from tests.unit.core.samples import CAPABILITIES, MAIN, broker, broker_spec, queue, user, view

DRIVER = RabbitMQDriver(broker_spec(), "op")
CANARY = "canary-password"
USERS = ["u0", "u1", "u2"]
NAMES = ["q0", "q1", "a.b", "x-y"]


def refs(names: list[str]) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


SUBSET = st.lists(st.sampled_from(USERS), unique=True, max_size=3)
QUEUES = st.fixed_dictionaries(
    {"name": st.sampled_from(NAMES), "namespace": st.sampled_from(["billing", "shop"]), "age": st.integers(0, 50)},
    optional={
        "producers": SUBSET.map(refs),
        "consumers": SUBSET.map(refs),
        "deadLetter": SUBSET.map(lambda names: {"consumers": refs(names)}),
        "retry": st.integers(1, 9).map(lambda n: {"maxDeliveries": n}),
        "messageTTL": st.sampled_from(["1s", "1h", "soon"]),
        "limits": st.sampled_from([{"maxMessages": 5}, {"maxBytes": "1Mi", "overflow": "RejectNew"}]),
        "rabbitmq": st.sampled_from([{"type": "Quorum"}, {"maxPriority": 5}]),
        "deletionPolicy": st.sampled_from(["Delete", "Retain", "DeleteIfEmpty"]),
        "annotations": st.just({RECONCILE: "Disabled"}),
        "managementPolicy": st.just("Observe"),
    },
)
PEOPLE = st.lists(st.tuples(st.sampled_from(USERS), st.sampled_from(["billing", "shop"])), unique=True, max_size=5)
WORLDS = st.tuples(st.lists(QUEUES, max_size=5, unique_by=lambda q: (q["name"], q["namespace"])), PEOPLE)
World = tuple[list[dict[str, Any]], list[tuple[str, str]]]


def manifests(world: World) -> list[Manifest]:
    queues, people = world
    return [*(queue(**fields) for fields in queues), *(user(name, namespace) for name, namespace in people)]


class Side:
    """What is desired, and the broker it is brought to."""

    def __init__(self) -> None:
        self.desired = Desired(DRIVER)
        self.broker = FakeBroker()
        self.session = FakeSession(DRIVER, self.broker)
        self.keys: set[Key] = set()

    def enter(self, found: list[Manifest], order: list[int] | None = None) -> None:
        """Enter what each manifest says, in any order, as the engine does."""
        seen = view(broker(), *found)
        for key in self.keys - {m.key for m in found}:
            self.desired.drop(key)
        self.keys = {m.key for m in found}
        for number in order or range(len(found)):
            manifest = found[number]
            compiled, held = self._says(manifest, seen)
            if compiled.parts:
                self.desired.put(manifest.key, compiled, held=held)
            else:
                self.desired.drop(manifest.key)

    @staticmethod
    def _says(manifest: Manifest, seen: Any) -> tuple[Compiled, bool]:
        found = resolve(manifest, seen, grace_over=True, logins=_logins(manifest))
        if found.resolved is not None:
            compiled = DRIVER.compile(found.resolved, CAPABILITIES)
            if not found.observes:
                return compiled, bool(compiled.problems)
        if found.subject is not None and found.standing in {Standing.HELD, Standing.ACCEPTED}:
            return DRIVER.hold(found.subject), True
        return Compiled(()), False

    def plan(self) -> Plan:
        self.desired.assemble(self.desired.ids(), self.broker.resources)
        return plan(
            sorted(self.desired.ids()),
            self.desired,
            self.broker.resources,
            DRIVER,
            may_write=lambda _key: True,
            was_made_by_us=lambda _key: True,
        )

    def converge(self) -> Plan:
        """Apply one plan; return it."""
        found = self.plan()
        outcomes = asyncio.run(self.session.apply(list(found.changes)))
        assert all(outcome.error is None for outcome in outcomes)
        return found

    def permission(self, name: str) -> Permission | None:
        found = self.broker.resources.get(permission_id(name))
        return found if isinstance(found, Permission) else None


@given(WORLDS)
def test_after_a_plan_is_applied_there_is_nothing_left_to_do(world: World) -> None:
    side = Side()
    side.enter(manifests(world))
    side.converge()
    assert side.plan().changes == ()


@given(WORLDS, WORLDS)
def test_after_an_edit_is_applied_there_is_nothing_left_to_do(before: World, after: World) -> None:
    side = Side()
    side.enter(manifests(before))
    side.converge()
    side.enter(manifests(after))
    side.converge()
    assert side.plan().changes == ()


@given(WORLDS, st.randoms(use_true_random=False))
def test_any_order_of_events_ends_in_the_same_state(world: World, chance: random.Random) -> None:
    found = manifests(world)
    one, other = Side(), Side()
    one.enter(found)
    order = list(range(len(found)))
    chance.shuffle(order)
    # Half of them first, in another order and without the rest; then all, some of them twice.
    half = [found[n] for n in order[: len(order) // 2]]
    other.enter(half)
    other.enter(found, order + order[::2])
    for side in (one, other):
        side.converge()
    assert one.broker.resources == other.broker.resources


@given(
    WORLDS,
    WORLDS,
    st.sampled_from([{"annotations": {RECONCILE: "Disabled"}}, {"messageTTL": "soon"}, {"kafka": {"partitions": 3}}]),
)
def test_an_object_on_hold_changes_nothing_whatever_else_happens(
    before: World, after: World, held: dict[str, Any]
) -> None:
    queues, people = before
    mine = {
        "name": "held",
        "namespace": "billing",
        "consumers": refs(USERS),
        "producers": refs(USERS),
        "deadLetter": {},
    }
    for restarted in (False, True):
        side = Side()
        side.enter(manifests(([*queues, mine], people)))
        side.converge()
        objects, names = _of(side, "billing.held")
        if restarted:
            fresh = Side()
            fresh.broker, fresh.session = side.broker, side.session
            side = fresh
        edited = {**mine, **held, "consumers": [], "producers": []}
        kept = [person for person in people if person[1] == "billing"]
        side.enter(manifests(([*after[0], edited], [*kept, *(p for p in after[1] if p not in kept)])))
        side.converge()
        now, names_now = _of(side, "billing.held")
        assert now == objects
        assert {user: names_now.get(user) for user in names} == names


def _of(side: Side, name: str) -> tuple[dict[ResourceId, Resource], dict[str, set[str]]]:
    """Return the objects of a channel, and which of its names each user may use."""
    own = {name, f"{name}_in", f"{name}_dlx", f"{name}_dead"}
    objects = {rid: r for rid, r in side.broker.resources.items() if rid.path[0] in own}
    rights: dict[str, set[str]] = {}
    for found in side.broker.resources.values():
        if isinstance(found, Permission):
            rights[found.user] = {*(parse(found.read) or ()), *(parse(found.write) or ())} & own
    return objects, {u: r for u, r in rights.items() if r}


@given(WORLDS, st.data())
def test_withdrawing_one_of_many_grants_never_touches_the_others(world: World, data: st.DataObject) -> None:
    queues, people = world
    granting = [n for n, q in enumerate(queues) if q.get("consumers")]
    side = Side()
    side.enter(manifests(world))
    side.converge()
    before = {r.user: parse(r.read) for r in side.broker.resources.values() if isinstance(r, Permission)}
    if not granting:
        return
    number = data.draw(st.sampled_from(granting))
    chosen = queues[number]
    gone = data.draw(st.sampled_from(chosen["consumers"]))["name"]
    fewer = {**chosen, "consumers": [c for c in chosen["consumers"] if c["name"] != gone]}
    side.enter(manifests(([fewer if n == number else q for n, q in enumerate(queues)], people)))
    side.converge()
    native = f"{chosen['namespace']}.{chosen['name']}"
    for name, names in before.items():
        now = side.permission(name)
        assert now is not None
        lost = set(names or ()) - set(parse(now.read) or ())
        assert lost <= ({native} if name == f"{chosen['namespace']}.{gone}" else set())
        assert not set(parse(now.read) or ()) - set(names or ())


def _logins(manifest: Manifest) -> tuple[Login, ...]:
    return (Login(f"{manifest.key.namespace}.{manifest.key.name}", Secret(CANARY)),)


@given(WORLDS)
@settings(max_examples=50)
def test_no_secret_is_in_anything_that_is_shown(world: World) -> None:
    side = Side()
    found = manifests(world)
    side.enter(found)
    shown = side.converge()
    lines = [DRIVER.describe(change) for change in shown.changes]
    seen = view(broker(), *found)
    answers = [resolve(m, seen, grace_over=True, logins=_logins(m)) for m in found]
    state = ObjectState(1, {}, MAIN, "2026-01-01T00:00:00Z", plan=lines)
    everything = repr((shown, lines, answers, channel_status(state), side.broker.writes, side.broker.resources))
    assert CANARY not in everything
    replaced = [replace(change) for change in shown.changes]
    assert CANARY not in repr(replaced)


@given(WORLDS)
def test_nobody_can_both_publish_to_and_read_from_one_name(world: World) -> None:
    side = Side()
    side.enter(manifests(world))
    side.converge()
    for found in side.broker.resources.values():
        if isinstance(found, Permission):
            assert found.configure == "^$"
            assert not set(parse(found.write) or ()) & set(parse(found.read) or ())
