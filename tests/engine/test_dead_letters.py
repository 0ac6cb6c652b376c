"""Dead letters that go to another Queue: looked up, awaited, changed while the queue lives, never lost in between."""

import itertools
from typing import Any

import pytest

from channel_operator.api.meta import OWNED
from channel_operator.brokers.rabbitmq.resources import Binding, Exchange, binding_id, queue_id
from channel_operator.core.model import Key
from tests.engine.world import World, world

FAILED: dict[str, Any] = {"deadLetter": {"queueRef": {"name": "failed"}}}


def ways(w: World, name: str = "orders") -> set[str]:
    """Return where the dead letters of a queue go."""
    return {rid.path[2] for rid in w.broker.resources if rid.kind == "Binding" and rid.path[0] == f"billing.{name}_dlx"}


async def pair(w: World, **fields: Any) -> tuple[Key, Key]:
    """Return a queue and the one that takes its dead letters, both ready."""
    w.make_broker()
    source, target = w.make_queue("orders", **{**FAILED, **fields}), w.make_queue("failed", **fields)
    await w.start()
    await w.advance(10)
    assert w.ready(source, target)
    return source, target


async def test_the_way_leads_into_the_entry_of_the_other_queue_before_any_message_can_come_in() -> None:
    async with world() as w:
        await pair(w)
        assert ways(w) == {"billing.failed_in"}
        assert queue_id("billing.orders_dead") not in w.broker.resources
        order = [change.id for change in w.broker.writes]
        way = binding_id("billing.orders_dlx", "billing.failed_in", to_exchange=True)
        assert order.index(way) < order.index(Binding("billing.orders_in", "billing.orders").id)


@pytest.mark.parametrize("order", list(itertools.permutations(["broker", "orders", "failed"])))
async def test_in_any_order_all_comes_to_stand(order: tuple[str, ...]) -> None:
    async with world() as w:
        await w.start()
        for one in order:
            if one == "broker":
                w.make_broker()
            else:
                w.make_queue(one, **(FAILED if one == "orders" else {}))
            await w.advance(5)
        assert w.ready(*[key for key in w.kube.objects if key.name in {"orders", "failed"}])
        assert ways(w) == {"billing.failed_in"}


async def test_without_the_other_queue_nothing_is_made_and_the_status_says_which() -> None:
    async with world() as w:
        w.make_broker()
        source = w.make_queue("orders", **FAILED)
        await w.start()
        await w.advance(10)
        assert w.kube.condition(source) == ("Unknown", "RefNotFound")
        assert w.kube.message(source) == (
            'spec.deadLetter.queueRef: there is no Queue "billing/failed" (yet). Create it, or correct the reference.'
        )
        assert w.names("Queue") == set()
        w.make_queue("failed")
        await w.advance(5)
        assert w.ready(source)


async def test_a_target_that_the_broker_does_not_have_yet_is_awaited() -> None:
    async with world() as w:
        w.make_broker()
        w.put(Exchange("billing.failed_in", "topic"))  # somebody else's: the target cannot be made
        source, target = w.make_queue("orders", **FAILED), w.make_queue("failed")
        await w.start()
        await w.advance(10)
        assert w.kube.condition(target) == ("False", "AdoptionRefused")
        assert w.kube.condition(source) == ("Unknown", "RefNotReady")
        assert ways(w) == set()
        w.take(Exchange("billing.failed_in", "topic").id)
        await w.advance(700)
        assert w.ready(source, target)
        assert ways(w) == {"billing.failed_in"}


async def test_at_least_once_is_declared_only_when_its_target_stands() -> None:
    async with world() as w:
        w.make_broker()
        w.put(Exchange("billing.failed_in", "topic"))
        w.make_queue("orders", deadLetter={"queueRef": {"name": "failed"}, "strategy": "AtLeastOnce"})
        w.make_queue("failed")
        await w.start()
        await w.advance(10)
        assert "billing.orders" not in w.names("Queue")
        w.take(Exchange("billing.failed_in", "topic").id)
        await w.advance(700)
        assert "billing.orders" in w.names("Queue")
        assert ways(w) == {"billing.failed_in"}


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any] | None, set[str]]] = {
    "added": ({}, {"queueRef": {"name": "failed"}}, {"billing.failed_in"}),
    "another": (
        {"deadLetter": {"queueRef": {"name": "other"}}},
        {"queueRef": {"name": "failed"}},
        {"billing.failed_in"},
    ),
    "own to reference": ({"deadLetter": {}}, {"queueRef": {"name": "failed"}}, {"billing.failed_in"}),
    "reference to own": (FAILED, {}, {"billing.orders_dead"}),
    "removed": (FAILED, None, set()),
}


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize("what", CHANGES)
async def test_the_target_changes_while_the_queue_lives(what: str, *, adopted: bool, restarts: bool) -> None:
    before, after, expected = CHANGES[what]
    async with world() as w:
        w.make_broker()
        others = [w.make_queue("failed"), w.make_queue("other")]
        source = w.make_queue("orders", **before)
        await w.start()
        await w.advance(10)
        if adopted:
            w.kube.annotate(
                source, owned=w.kube.objects[source]["metadata"]["annotations"][OWNED].replace("created", "adopted")
            )
            await w.advance(5)
        on_broker = len(w.broker.writes)
        if restarts:
            await w.crash()
        w.kube.edit(source, deadLetter=after)
        await (w.start() if restarts else w.settle())
        await w.advance(30)
        assert w.ready(source, *others)
        assert ways(w) == expected
        assert "Queue billing.orders" not in {str(change.id) for change in w.broker.writes[on_broker:]}
        assert "DriftCorrected" not in w.kube.told(source) + w.kube.told(others[0]) + w.kube.told(others[1])


async def test_a_way_is_given_up_only_when_the_new_one_stands() -> None:
    async with world() as w:
        w.make_broker()
        other = w.make_queue("other")
        source = w.make_queue("orders", deadLetter={"queueRef": {"name": "other"}})
        await w.start()
        await w.advance(10)
        w.put(Exchange("billing.failed_in", "topic"))
        w.make_queue("failed")
        w.kube.edit(source, **FAILED)
        await w.advance(10)
        assert w.kube.condition(source) == ("Unknown", "RefNotReady")
        assert ways(w) == {"billing.other_in"}
        w.take(Exchange("billing.failed_in", "topic").id)
        await w.advance(700)
        assert w.ready(source, other)
        assert ways(w) == {"billing.failed_in"}


@pytest.mark.parametrize("policy", ["Retain", "Delete", "DeleteIfEmpty"])
@pytest.mark.parametrize("after", [None, {"queueRef": {"name": "failed"}}])
async def test_messages_in_a_dead_letter_queue_that_is_not_wanted_any_more_stay(policy: str, after: Any) -> None:
    async with world() as w:
        w.make_broker()
        w.make_queue("failed")
        source = w.make_queue("orders", deadLetter={}, deletionPolicy=policy)
        await w.start()
        await w.advance(10)
        w.broker.messages[queue_id("billing.orders_dead")] = 3
        w.kube.edit(source, deadLetter=after)
        await w.advance(700)
        assert w.ready(source)
        assert queue_id("billing.orders_dead") in w.broker.resources
        assert ways(w) == ({"billing.failed_in"} if after else set())
        w.broker.messages.clear()
        await w.advance(700)
        assert (queue_id("billing.orders_dead") in w.broker.resources) is (policy == "Retain")


# -- circles -------------------------------------------------------------------------------------------------------


async def test_a_circle_is_refused_on_every_member_and_ends_for_all_when_one_breaks_it() -> None:
    async with world() as w:
        w.make_broker()
        names = ("a", "b", "c")
        await w.start()
        queues = []
        for name, to in zip(names, ("b", "c", "a"), strict=True):
            queues.append(w.make_queue(name, deadLetter={"queueRef": {"name": to}}))
            await w.advance(2)
        aside = w.make_queue("aside", deadLetter={"queueRef": {"name": "c"}})
        await w.advance(5)
        assert {w.kube.condition(queue) for queue in queues} == {("False", "DeadLetterCycle")}
        assert w.kube.message(queues[0]) == (
            "spec.deadLetter.queueRef: dead letters would come back to where they are from: a → b → c → a. "
            "Break the circle at one of them."
        )
        assert w.kube.condition(aside) == ("Unknown", "RefNotReady"), "what leads into a circle is not on it"
        w.kube.edit(queues[1], deadLetter={})
        await w.advance(30)
        assert w.ready(*queues, aside)
        assert (ways(w, "a"), ways(w, "b"), ways(w, "c")) == (
            {"billing.b_in"},
            {"billing.b_dead"},
            {"billing.a_in"},
        )


async def test_closing_a_circle_takes_nothing_from_queues_at_work() -> None:
    async with world() as w:
        source, target = await pair(w)
        on_broker = len(w.broker.writes)
        w.kube.edit(target, deadLetter={"queueRef": {"name": "orders"}})
        await w.advance(400)
        assert {w.kube.condition(source), w.kube.condition(target)} == {("False", "DeadLetterCycle")}
        assert w.broker.writes[on_broker:] == []
        w.kube.delete(target)
        await w.advance(5)
        assert target not in w.kube.objects, "with Retain it waits for nobody"


# -- deletion ------------------------------------------------------------------------------------------------------


async def test_a_queue_that_takes_dead_letters_waits_for_their_source_and_says_so() -> None:
    async with world() as w:
        source, target = await pair(w, deletionPolicy="Delete")
        w.kube.delete(target)
        await w.advance(30)
        assert w.kube.condition(target, "Programmed") == ("Unknown", "Deleting")
        assert w.kube.message(target) == (
            "Being deleted; waits for Queue billing/orders, whose dead letters come here. Name another Queue in "
            "spec.deadLetter.queueRef there, or delete that first."
        )
        assert w.kube.condition(source) == ("Unknown", "RefNotReady")
        assert ways(w) == {"billing.failed_in"}
        w.kube.edit(source, deadLetter={})
        await w.advance(10)
        assert target not in w.kube.objects
        assert w.ready(source)
        assert w.names("Queue") == {"billing.orders", "billing.orders_dead"}


@pytest.mark.parametrize("first", ["orders", "failed"])
async def test_both_deleted_go_in_any_order(first: str) -> None:
    async with world() as w:
        source, target = await pair(w, deletionPolicy="Delete")
        for key in (source, target) if first == "orders" else (target, source):
            w.kube.delete(key)
            await w.advance(2)
        await w.advance(30)
        assert {source, target}.isdisjoint(w.kube.objects)
        assert w.names("Queue") == w.names("Exchange") == w.names("Binding") == set()


async def test_the_way_of_a_retained_queue_is_not_taken_for_somebody_elses() -> None:
    async with world() as w:
        source, target = await pair(w)
        w.kube.delete(source)
        await w.advance(700)
        assert source not in w.kube.objects
        assert ways(w) == {"billing.failed_in"}
        assert w.ready(target)
