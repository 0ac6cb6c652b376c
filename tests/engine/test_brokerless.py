"""Deleted Subscriptions whose Topic is gone and whose Broker nothing names: they wait for it to be found."""

import asyncio

from channel_operator.api.meta import Kind
from channel_operator.core.model import Key
from tests.engine.world import MAIN, World, world


async def bereft(w: World) -> Key:
    """Return a Subscription that was deleted while no operator ran, without Topic and without status."""
    w.make_broker()
    topic = w.make_topic("orders", subscribers={"from": "All"})
    key = w.make_subscription("mailer", deletionPolicy="Delete")
    await w.start()
    assert w.ready(key)
    await w.crash()
    w.kube.write_status_by_hand(key, {})
    w.kube.vanish(topic)
    w.kube.delete(key)
    return key


async def test_a_broker_that_takes_its_time_to_answer_is_waited_for() -> None:
    async with world() as w:
        key = await bereft(w)
        w.broker.gate = asyncio.Event()
        await w.start()
        await w.advance(60)
        assert key in w.kube.objects
        assert w.kube.condition(key) == ("Unknown", "Deleting")
        assert "deletionTimeout" in w.kube.message(key)
        w.broker.gate.set()
        await w.advance(10)
        assert key not in w.kube.objects
        assert "billing.mailer" not in w.names("Queue")
        assert w.kube.told(key)[-1] == "Deleted"


async def test_a_broker_that_is_away_is_waited_for_as_long_as_it_says() -> None:
    async with world() as w:
        key = await bereft(w)
        w.broker.unreachable = True
        await w.start()
        await w.advance(500, step=5)
        assert key in w.kube.objects
        await w.advance(120, step=5)
        assert key not in w.kube.objects
        assert w.kube.told(key)[-1] == "Orphaned"


async def test_who_is_released_by_force_waits_for_nothing() -> None:
    async with world() as w:
        key = await bereft(w)
        w.broker.unreachable = True
        w.kube.annotate(key, force_release="true")
        await w.start()
        await w.advance(1)
        assert key not in w.kube.objects


async def test_a_broker_that_goes_is_not_waited_for() -> None:
    async with world() as w:
        key = await bereft(w)
        w.broker.unreachable = True
        await w.start()
        await w.advance(10)
        w.kube.vanish(MAIN)
        await w.advance(10)
        assert key not in w.kube.objects


async def test_what_was_made_on_no_broker_that_is_left_is_let_go_at_once() -> None:
    async with world() as w:
        key = await bereft(w)
        w.broker.identity = "another"
        await w.start()
        await w.advance(1)
        assert key not in w.kube.objects
        assert w.kube.told(Key(Kind.SUBSCRIPTION, "billing", "mailer"))[-1] == "Orphaned"
