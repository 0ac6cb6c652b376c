"""Writes that a broker refuses or puts off: told on the object they concern, tried again where that can help."""

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.resources import permission_id, queue_id
from channel_operator.errors import Blocked, Retry
from tests.engine.world import world

NAME = queue_id("billing.invoices")


async def test_a_refused_write_is_told_and_made_good_at_the_next_resync() -> None:
    async with world() as w:
        w.make_broker()
        w.refuses[NAME] = Blocked("RabbitMQ refused the queue: the vhost is full", reason=Reason.BROKER_REFUSED)
        queue, other = w.make_queue("invoices"), w.make_queue("other")
        await w.start()
        await w.advance(10)
        assert w.ready(other)
        assert w.kube.condition(queue) == ("False", "BrokerRefused")
        assert w.kube.message(queue) == "RabbitMQ refused the queue: the vhost is full"
        written, on_broker = len(w.kube.writes), len(w.broker.writes)
        await w.advance(200)
        assert w.kube.writes[written:] == []
        assert w.broker.writes[on_broker:] == []
        w.refuses.clear()
        await w.advance(200)
        assert w.ready(queue)


async def test_a_write_put_off_is_tried_again_soon() -> None:
    async with world() as w:
        w.make_broker()
        w.refuses[NAME] = Retry("RabbitMQ answers 503; it tries again")
        queue = w.make_queue("invoices")
        await w.start()
        assert w.kube.condition(queue) == ("Unknown", "Progressing")
        assert w.kube.condition(queue, "Reconciling") == ("True", "Progressing")
        await w.advance(5)
        w.refuses.clear()
        await w.advance(15)
        assert w.ready(queue)
        assert len(w.kube.writes) <= 6


async def test_a_refused_permission_is_told_on_its_user_and_mended() -> None:
    async with world() as w:
        w.make_broker()
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(10)
        right = permission_id("billing.worker")
        w.refuses[right] = Blocked("RabbitMQ refused the permission", reason=Reason.BROKER_REFUSED)
        w.kube.edit(queue, consumers=[])
        await w.advance(5)
        assert w.kube.condition(user) == ("False", "BrokerRefused")
        assert w.ready(queue)
        w.refuses.clear()
        await w.advance(400)
        assert w.ready(user, queue)
        assert w.permission("billing.worker").read == "^$"


async def test_a_deletion_that_the_broker_refuses_waits_and_says_for_what() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        await w.start()
        await w.advance(10)
        w.refuses[NAME] = Retry("RabbitMQ answers 503; it tries again")
        w.kube.delete(queue)
        await w.advance(5)
        assert w.kube.condition(queue) == ("Unknown", "Deleting")
        assert w.kube.message(queue) == "Being deleted; waits for Queue billing.invoices on messaging/main."
        w.refuses.clear()
        await w.advance(30)
        assert queue not in w.kube.objects
        assert w.names("Queue") == set()


async def test_what_the_owner_of_the_broker_alone_may_know_is_not_told_on_the_object() -> None:
    async with world() as w:
        w.make_broker()
        secret = 'RabbitMQ at https://rabbitmq.internal:15671: user "operator" lacks rights'
        w.refuses[NAME] = Blocked(secret, reason=Reason.BROKER_REFUSED).telling("the operator lacks rights there")
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        assert w.kube.message(queue) == "Broker messaging/main: the operator lacks rights there"
        assert "internal" not in repr((w.kube.objects[queue], w.kube.events))


async def test_a_queue_that_is_ready_says_that_somebody_listed_cannot_come_in() -> None:
    async with world() as w:
        w.make_broker()
        w.make_user("worker")
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}, {"name": "absent"}])
        await w.start()
        await w.advance(10)
        assert w.ready(queue)
        assert w.kube.message(queue).endswith(" 1 of 2 grants is not given: see status.grants.")
        w.make_user("absent")
        await w.advance(10)
        assert "status.grants" not in w.kube.message(queue)
