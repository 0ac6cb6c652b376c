"""A crash after any write, to the broker or to Kubernetes, then a restart: the same end, nothing lost, no second owner.

The scenario makes every kind of write; it is run once without a fault to count them and to learn the end, then once
for every write that can be the last.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import pytest

from channel_operator.api.meta import OWNED
from channel_operator.brokers.rabbitmq.resources import Permission, Queue, User, queue_id
from channel_operator.core.model import Key, Secret
from tests.engine.world import World, world

ADOPTED = Queue("billing.adopted", "quorum", arguments=(("x-queue-type", "quorum"),))
STEPS = 3


class End(NamedTuple):
    """What counts at the end, free of what a crash may change (passwords, versions, times)."""

    broker: frozenset[Any]
    ready: dict[str, tuple[str, str]]
    origins: dict[str, str]
    records: dict[str, str]
    matching: bool


async def step(w: World, number: int) -> None:
    """Do what users do, one commit at a time."""
    match number:
        case 0:
            w.make_broker(defaults={"deletionPolicy": "Delete"})
            w.make_user("worker")
            w.make_user("sender")
            w.make_queue("invoices", consumers=[{"name": "worker"}], producers=[{"name": "sender"}], deadLetter={})
            w.make_queue("adopted", consumers=[{"name": "worker"}], deletionPolicy="Retain")
            w.make_queue("going", consumers=[{"name": "worker"}], deletionPolicy="DeleteIfEmpty")
            w.make_queue("kept", consumers=[{"name": "worker"}], deletionPolicy="DeleteIfEmpty")
        case 1:
            w.broker.messages[queue_id("billing.kept")] = 1
            queue = next(key for key in w.kube.objects if key.name == "invoices")
            w.kube.edit(queue, consumers=[], producers=[{"name": "worker"}])
        case _:
            for key in list(w.kube.objects):
                if key.name in {"going", "kept", "sender", "adopted"}:
                    w.kube.delete(key)


def end_of(w: World) -> End:
    """Look at what is there."""
    objects: Iterable[Key] = [key for key in w.kube.objects if key.kind != "Broker"]
    users = [r for r in w.broker.resources.values() if isinstance(r, User)]
    records = {str(k): w.kube.objects[k]["metadata"]["annotations"].get(OWNED, "") for k in objects}
    return End(
        frozenset(r._replace(password=None) if isinstance(r, User) else r for r in w.broker.resources.values()),
        {str(key): w.kube.condition(key) or ("", "") for key in objects},
        {str(key): w.kube.status(key).get("origin", "") for key in objects},
        {key: record.replace("created:", "creating:") for key, record in records.items()},
        all(
            user.password is not None
            and w.kube.entries("billing", f"{user.name.removeprefix('billing.')}-binding")["password"]
            == user.password.reveal()
            for user in users
        ),
    )


@cache
def _expected() -> dict[str, Any]:
    return {}


async def fault_free() -> tuple[End, list[int], list[int]]:
    """Return the end without a fault, and how many writes each step takes, to the broker and to Kubernetes."""
    known = _expected()
    if not known:
        async with world() as w:
            w.put(ADOPTED)
            await w.start()
            on_broker, on_kube = [], []
            for number in range(STEPS):
                before = len(w.broker.writes), len(w.kube.writes)
                await step(w, number)
                await w.settle()
                on_broker.append(len(w.broker.writes) - before[0])
                on_kube.append(len(w.kube.writes) - before[1])
                await w.advance(40)
            known.update(end=end_of(w), broker=on_broker, kube=on_kube)
    return known["end"], known["broker"], known["kube"]


async def test_the_scenario_ends_as_its_users_expect() -> None:
    end, on_broker, on_kube = await fault_free()
    assert min(*on_broker, *on_kube) > 0
    names = {r.name for r in end.broker if isinstance(r, Queue)}
    assert names == {"billing.invoices", "billing.invoices_dead", "billing.adopted", "billing.kept"}
    assert {r.name for r in end.broker if isinstance(r, User)} == {"billing.worker"}
    permission = next(r for r in end.broker if isinstance(r, Permission))
    assert permission.read == "^$"
    assert permission.write == "^(?:billing\\.(?:invoices_in))$"
    assert set(end.ready.values()) == {("True", "Programmed")}
    assert end.matching


async def end_after_a_crash(number: int, *, broker: int | None = None, kube: int | None = None) -> End:
    """Return what comes of all steps when the operator ends in one of them, after so many writes there."""
    async with world() as w:
        w.put(ADOPTED)
        await w.start()
        for earlier in range(number):
            await step(w, earlier)
            await w.advance(40)
        w.broker.writes_left, w.kube.answers_left = broker, kube
        await step(w, number)
        await w.settle()
        await w.restart()
        await w.advance(40)
        for later in range(number + 1, STEPS):
            await step(w, later)
            await w.advance(40)
        return end_of(w)


@pytest.mark.parametrize("number", range(STEPS))
async def test_a_crash_after_any_write_to_the_broker_changes_nothing_in_the_end(number: int) -> None:
    end, on_broker, _ = await fault_free()
    for last in range(on_broker[number]):
        assert await end_after_a_crash(number, broker=last) == end, f"crashed after {last} writes in step {number}"


@pytest.mark.parametrize("number", range(STEPS))
async def test_a_crash_after_any_write_to_kubernetes_changes_nothing_in_the_end(number: int) -> None:
    end, _, on_kube = await fault_free()
    for last in range(on_kube[number]):
        assert await end_after_a_crash(number, kube=last) == end, f"crashed after {last} writes in step {number}"


async def test_a_password_that_reached_only_the_broker_is_replaced_by_one_that_clients_get() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        w.kube.answers_left = 1  # the claim goes through, the Secret is written but its answer is lost
        w.make_user("worker")
        await w.settle()
        await w.crash()
        w.kube.secrets.pop(("billing", "worker-binding"), None)
        lost = w.user("billing.worker")
        await w.restart()
        await w.advance(20)
        now = w.user("billing.worker")
        assert now.password != lost.password
        assert now.password == Secret(w.kube.entries("billing", "worker-binding")["password"])
