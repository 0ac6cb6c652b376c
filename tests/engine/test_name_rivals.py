"""Two namespaces that want one name: who is not admitted keeps nobody out, and who has it does not lose it."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel_operator.api.meta import FINALIZER, Kind
from channel_operator.brokers.rabbitmq.resources import queue_id
from channel_operator.core.model import Key
from tests.engine.world import World, world

ADMITTED = {"channels": "yes"}
BY_LABEL = {"from": "Selector", "selector": {"matchLabels": ADMITTED}}
TEAMS = ("billing", "shop")


def admit(w: World, namespace: str, *, yes: bool) -> None:
    w.kube.namespace(namespace, ADMITTED if yes else {})


def make_rival(w: World, namespace: str) -> Key:
    return w.make_queue("orders", namespace, physicalName="orders", consumers=[{"name": "worker"}])


async def begin(w: World, **admitted: bool) -> None:
    w.make_broker(naming={"physicalName": "Any"}, allowedNamespaces=BY_LABEL)
    for namespace in TEAMS:
        admit(w, namespace, yes=admitted.get(namespace, True))
        w.make_user("worker", namespace)
    await w.start()


def readers(w: World) -> set[str]:
    """Return the namespaces whose user may read the queue."""
    rights = {name: w.permission(f"{name}.worker") for name in TEAMS if f"{name}.worker" in w.names("Permission")}
    return {name for name, right in rights.items() if "orders" in right.read}


@pytest.mark.parametrize("forged", [False, True])
async def test_an_older_object_of_a_namespace_that_is_not_admitted_keeps_no_name(forged: bool) -> None:
    async with world(ref_grace=5) as w:
        await begin(w, billing=False)
        squatter = make_rival(w, "billing")
        if forged:
            w.kube.objects[squatter]["metadata"]["finalizers"] = [FINALIZER]
            w.kube.annotate(squatter, owned=f"created:{w.broker.identity}")
        await w.advance(30)
        queue = make_rival(w, "shop")
        await w.advance(10)
        assert w.ready(queue)
        assert readers(w) == {"shop"}
        assert w.kube.condition(squatter) == ("False", "RefNotPermitted")
        await w.restart()
        admit(w, "billing", yes=True)
        await w.advance(400, step=5)
        assert w.ready(queue), "who has it keeps it"
        assert w.kube.condition(squatter) == ("False", "NameConflict")
        assert readers(w) == {"shop"}
        w.kube.delete(queue)
        await w.advance(400, step=5)
        assert w.ready(squatter)
        assert readers(w) == {"billing"}


@pytest.mark.parametrize("restarts", [False, True])
async def test_who_has_the_queue_does_not_lose_it_when_its_admission_ends(restarts: bool) -> None:
    async with world(ref_grace=5) as w:
        await begin(w)
        queue = make_rival(w, "billing")
        await w.advance(10)
        assert w.ready(queue)
        rival = make_rival(w, "shop")
        await w.advance(10)
        w.broker.messages[queue_id("orders")] = 3
        admit(w, "billing", yes=False)
        if restarts:
            await w.restart()
        await w.advance(400, step=5)
        assert w.kube.condition(queue) == ("False", "RefNotPermitted")
        assert w.kube.condition(rival) == ("False", "NameConflict")
        assert readers(w) == set()
        assert w.broker.messages[queue_id("orders")] == 3
        admit(w, "billing", yes=True)
        await w.advance(400, step=5)
        assert w.ready(queue)
        assert readers(w) == {"billing"}


async def test_the_next_one_is_woken_when_the_broker_stops_admitting_the_first() -> None:
    async with world(ref_grace=5) as w:
        await begin(w)
        w.kube.away = True  # the first has nothing yet
        first, second = make_rival(w, "billing"), make_rival(w, "shop")
        await w.advance(1)
        admit(w, "billing", yes=False)
        w.kube.away = False
        await w.advance(30)
        assert w.ready(second)
        assert w.kube.condition(first) == ("False", "RefNotPermitted")


ACTIONS = st.one_of(
    st.tuples(st.just("make"), st.sampled_from(TEAMS)),
    st.tuples(st.just("delete"), st.sampled_from(TEAMS)),
    st.tuples(st.just("admit"), st.sampled_from(TEAMS), st.booleans()),
    st.tuples(st.just("crash"), st.just("")),
    st.tuples(st.just("time"), st.sampled_from(["0", "1", "70", "400"])),
)


async def history(actions: list[tuple[str, ...]]) -> None:
    async with world(ref_grace=5) as w:
        await begin(w)
        owner: Key | None = None
        admitted = dict.fromkeys(TEAMS, True)
        for action, what, *rest in actions:
            key = Key(Kind.QUEUE, what, "orders")
            if action == "make" and key not in w.kube.objects:
                make_rival(w, what)
            elif action == "delete" and key in w.kube.objects:
                w.kube.delete(key)
            elif action == "admit":
                admitted[what] = bool(rest[0])
                admit(w, what, yes=admitted[what])
            elif action == "crash":
                await w.restart()
            await w.advance(float(what) if action == "time" else 0, step=5)
            there = [k for k in w.kube.objects if k.name == "orders"]
            ready = [k for k in there if w.kube.condition(k) is not None and w.ready(k)]
            assert len(ready) <= 1
            assert len(readers(w)) <= 1
            owner = owner if owner in there else None
            assert owner is None or ready in ([], [owner]), "an owner lost its queue"
            owner = ready[0] if ready else owner
        await w.advance(800, step=5)
        there = [k for k in w.kube.objects if k.name == "orders"]
        entitled = [k for k in there if admitted[k.namespace]]
        if owner in there and owner is not None:
            assert w.ready(owner) is admitted[owner.namespace]
        elif entitled:
            assert sum(w.ready(k) for k in entitled) == 1


@given(st.lists(ACTIONS, min_size=4, max_size=14))
@settings(max_examples=40)
def test_whatever_consents_come_and_go_a_queue_has_one_owner_who_keeps_it(actions: list[tuple[str, ...]]) -> None:
    asyncio.run(history(actions))
