"""A right is given on behalf of an object only once that object's finalizer and owner record stand."""

from channel_operator.brokers.rabbitmq.resources import Permission
from tests.engine.world import World, world


def reads(w: World) -> str:
    right = w.permission("billing.worker")
    assert isinstance(right, Permission)
    return right.read


async def test_nothing_is_granted_while_the_claim_cannot_be_written() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        assert w.ready(user)
        w.kube.away = True
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.advance(5)
        assert "invoices" not in reads(w)
        assert "billing.invoices" not in w.names("Queue")
        w.kube.away = False
        await w.advance(60)
        assert w.ready(user, queue)
        assert "invoices" in reads(w)


async def test_what_is_withdrawn_does_not_wait_for_what_is_new() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        old = w.make_queue("old", consumers=[{"name": "worker"}])
        await w.start()
        assert w.ready(user, old)
        w.kube.away = True
        w.make_queue("new", consumers=[{"name": "worker"}])
        w.kube.edit(old, consumers=[])
        await w.advance(5)
        assert "old" not in reads(w)
