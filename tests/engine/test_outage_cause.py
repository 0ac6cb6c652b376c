"""A broker that is away for one reason after the other: the Broker tells few of them, and those that stay."""

from tests.engine.kubestub import Write
from tests.engine.world import MAIN, World, world


async def test_an_outage_that_fails_in_another_way_each_time_is_not_told_each_time() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        await w.advance(30)
        written = len(w.kube.writes)
        w.broker.unreachable = True
        for second in range(1200):
            w.broker.cause = f"way {second % 7}"
            await w.advance(1)
        w.broker.unreachable = False
        await w.advance(60)
        assert w.ready(MAIN)
        assert w.kube.written(written)[Write("status", MAIN)] <= 5
        assert w.kube.told(MAIN) == ["BrokerUnreachable", "BrokerRecovered"]


async def test_another_cause_that_stays_is_told_and_at_once_after_an_edit() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        w.broker.unreachable = True
        for cause, seconds in (("nothing listens", 90), ("no TLS", 90), ("another authority", 90), ("silent", 3700)):
            w.broker.cause = cause
            await w.advance(seconds)
            assert cause in told(w)
        w.broker.cause = "another name"
        await w.advance(90)
        assert "silent" in told(w)
        w.kube.edit(MAIN, resyncInterval="7m")
        await w.settle()
        assert "another name" in told(w)


def told(w: World) -> str:
    """Return what the Broker says of being reachable."""
    return next(str(one["message"]) for one in w.kube.status(MAIN)["conditions"] if one["type"] == "Reachable")


async def test_a_broker_gone_as_a_whole_is_not_said_to_answer_on_one_side() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        await w.advance(30)
        w.broker.unreachable = True
        await w.advance(90)
        assert w.kube.condition(MAIN) == ("False", "BrokerUnreachable")
        assert "answers" not in told(w)


async def test_a_broker_has_not_recovered_before_everything_was_written_once() -> None:
    async with world() as w:
        broker = w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        w.broker.unreachable = True
        w.kube.edit(queue, deadLetter={})
        await w.advance(60)
        for writes in (0, 1):
            # It answers and goes away again over the first writes.
            w.broker.unreachable, w.broker.writes_left = False, writes
            await w.advance(60)
            assert w.broker.unreachable
            assert w.kube.told(broker) == ["BrokerUnreachable"]
            assert w.kube.condition(broker, "Reachable") == ("False", "BrokerUnreachable")
        w.broker.unreachable, w.broker.writes_left = False, None
        await w.advance(60)
        assert w.ready(broker, queue)
        assert w.kube.told(broker) == ["BrokerUnreachable", "BrokerRecovered"]
