"""What keeps objects, brokers and incarnations apart: bugs, moves, and things that come and go under one name."""

from channel_operator.brokers.fake import FakeBroker
from channel_operator.brokers.rabbitmq.resources import queue_id
from tests.engine.world import world

SECOND = "https://second:15671"


async def test_a_bug_that_one_object_meets_keeps_no_other_from_its_turn_and_is_tried_again() -> None:
    async with world() as w:
        w.expects_bugs = True
        w.compile_fails_for = "billing.unlucky"
        w.make_broker()
        w.make_user("worker")
        unlucky = w.make_queue("unlucky", consumers=[{"name": "worker"}])
        lucky = w.make_queue("lucky", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(20)
        assert w.ready(lucky)
        assert w.counts.results["Queue", "error"] > 1
        w.compile_fails_for = None
        await w.advance(130)
        assert w.ready(lucky, unlucky)


async def test_a_bug_takes_nothing_from_an_object_that_has_something() -> None:
    async with world() as w:
        w.expects_bugs = True
        w.make_broker()
        w.make_user("worker")
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(10)
        on_broker = len(w.broker.writes)
        w.compile_fails_for = "billing.invoices"
        w.kube.edit(queue, consumers=[])
        await w.advance(400)
        assert w.broker.writes[on_broker:] == []


async def test_an_object_made_anew_for_another_broker_leaves_the_first_one() -> None:
    async with world() as w:
        w.brokers[SECOND] = FakeBroker(identity="fake-2")
        w.make_broker()
        w.make_broker("second", SECOND)
        user = w.make_user("worker")
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(10)
        w.kube.delete(queue)
        await w.settle()
        moved = w.make_queue("invoices", brokerRef={"name": "second", "namespace": "messaging"})
        await w.advance(10)
        assert w.ready(moved, user)
        assert queue_id("billing.invoices") in w.brokers[SECOND].resources
        assert w.permission("billing.worker").read == "^$"


async def test_an_object_that_was_replaced_while_nobody_watched_is_another_one() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        await w.start()
        await w.advance(10)
        w.kube.quiet = True
        w.kube.vanish(queue)
        w.make_queue("invoices", limits={"maxMessages": 5})
        w.kube.quiet = False
        await w.restart()
        await w.advance(10)
        assert w.kube.condition(queue) == ("False", "AdoptionRefused")
        assert "billing.invoices" in w.names("Queue")


async def test_a_dead_letter_queue_that_is_not_wanted_any_more_goes_once_it_is_empty() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", deletionPolicy="DeleteIfEmpty", deadLetter={})
        await w.start()
        await w.advance(10)
        w.broker.messages[queue_id("billing.invoices_dead")] = 2
        w.kube.edit(queue, deadLetter=None)
        await w.advance(400)
        assert w.ready(queue)
        assert "billing.invoices_dead" in w.names("Queue")
        written = len(w.kube.writes)
        await w.advance(700)
        assert w.kube.writes[written:] == [], "waiting for it costs nothing"
        w.broker.messages.clear()
        await w.advance(400)
        assert w.names("Queue") == {"billing.invoices"}
        assert w.names("Exchange") == {"billing.invoices_in"}


async def test_many_objects_in_one_apply_all_become_ready() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        users = [w.make_user(f"u{n}") for n in range(30)]
        queues = [
            w.make_queue(f"q{n}", producers=[{"name": f"u{n}"}], consumers=[{"name": f"u{(n + 1) % 30}"}])
            for n in range(30)
        ]
        await w.advance(10)
        assert w.ready(*users, *queues)
        assert {count for write, count in w.kube.written().items() if write.key in {*users, *queues}} == {1}
