"""Only the leader writes; what it had in mind when it lost the lead is forgotten."""

from tests.engine.world import MAIN, world


async def test_a_replica_that_does_not_lead_any_more_writes_nothing() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        written, on_broker, told = len(w.kube.writes), len(w.broker.writes), len(w.kube.events)
        w.leads = False
        w.kube.edit(queue, deadLetter={})
        w.make_queue("late")
        w.make_user("worker")
        await w.advance(400)
        assert w.broker.writes[on_broker:] == []
        assert w.kube.writes[written:] == []
        assert w.kube.events[told:] == []


async def test_a_deletion_is_not_carried_out_by_a_replica_that_lost_the_lead() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        await w.start()
        await w.advance(10)
        w.leads = False
        w.kube.delete(queue)
        await w.advance(30)
        assert queue in w.kube.objects
        assert "billing.invoices" in w.names("Queue")


async def test_the_next_leader_goes_on_where_the_last_one_stopped() -> None:
    async with world() as w:
        w.make_broker()
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(10)
        w.leads = False
        w.kube.edit(queue, deadLetter={})
        late = w.make_queue("late", consumers=[{"name": "worker"}])
        await w.advance(30)
        w.leads = True
        await w.restart()
        await w.advance(10)
        assert w.ready(MAIN, user, queue, late)
        assert "late" in w.permission("billing.worker").read


async def test_a_standby_that_leads_later_starts_with_what_it_watched() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        assert w.ready(queue)
        assert w.manager is not None
        assert w.manager.quiet()
