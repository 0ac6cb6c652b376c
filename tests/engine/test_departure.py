"""How objects leave while something is in the way: a broker that is away, credentials that are gone, conflicts."""

import re

from channel_operator.api.meta import FINALIZER
from tests.engine.held import settled
from tests.engine.kubestub import Write
from tests.engine.world import MAIN, world


async def test_credentials_gone_first_do_not_hold_up_a_broker_that_goes() -> None:
    async with world() as w:
        user, queue = await settled(w, deletionPolicy="Delete")
        await w.crash()
        w.kube.secrets.clear()
        for key in (MAIN, user, queue):
            w.kube.delete(key)
        await w.start()
        await w.advance(10)
        assert w.kube.objects == {}
        assert set(w.kube.told(queue)) >= {"Orphaned"}
        assert "billing.invoices" in w.names("Queue")


async def test_a_broker_object_gone_by_force_lets_its_dependants_go_as_orphans() -> None:
    async with world() as w:
        user, queue = await settled(w, deletionPolicy="Delete")
        w.kube.vanish(MAIN)
        await w.settle()
        assert w.kube.condition(queue) == ("Unknown", "RefNotFound")
        w.kube.delete(queue)
        w.kube.delete(user)
        await w.advance(5)
        assert w.kube.objects == {}
        assert w.kube.told(queue)[-1] == "Orphaned"


async def test_a_deletion_waits_for_a_broker_that_is_away_and_is_done_when_it_is_back() -> None:
    async with world() as w:
        user, queue = await settled(w, deletionPolicy="Delete")
        w.broker.unreachable = True
        await w.advance(310)
        written = len(w.kube.writes)
        w.kube.delete(queue)
        await w.advance(100)
        assert w.kube.condition(queue) == ("Unknown", "Deleting")
        # The API server's times are of full seconds.
        assert re.search(r"waits for Broker messaging/main, at most (599|600) s more: it", w.kube.message(queue))
        assert w.kube.written(written)[Write("status", queue)] == 1
        w.broker.unreachable = False
        await w.advance(60)
        assert queue not in w.kube.objects
        assert w.names("Queue") == set()
        assert w.ready(user)


async def test_after_the_deletion_timeout_it_is_let_go_as_an_orphan() -> None:
    async with world() as w:
        w.make_broker(deletionTimeout="5m")
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        await w.start()
        w.broker.unreachable = True
        await w.advance(400)
        w.kube.delete(queue)
        await w.advance(290)
        assert queue in w.kube.objects
        await w.advance(20)
        assert queue not in w.kube.objects
        assert w.kube.told(queue)[-1] == "Orphaned"


async def test_a_user_released_in_an_outage_is_removed_when_the_broker_is_back() -> None:
    async with world() as w:
        user, queue = await settled(w)
        w.broker.unreachable = True
        await w.advance(310)
        w.kube.annotate(user, force_release="true")
        w.kube.delete(user)
        await w.advance(5)
        assert user not in w.kube.objects
        assert w.kube.told(user)[-1] == "ReleasedByForce"
        w.broker.unreachable = False
        await w.advance(60)
        assert "billing.worker" not in w.names("User")
        assert "billing.worker" not in w.names("Permission")
        assert w.ready(queue)


async def test_force_release_drops_the_finalizer_keeps_the_queue_and_takes_the_grants() -> None:
    async with world() as w:
        user, queue = await settled(w, deletionPolicy="Delete")
        w.kube.annotate(queue, force_release="true")
        w.kube.delete(queue)
        await w.settle()
        assert queue not in w.kube.objects
        assert "billing.invoices" in w.names("Queue")
        assert w.permission("billing.worker").read == "^$"
        assert w.kube.told(queue)[-1] == "ReleasedByForce"
        assert w.ready(user)


async def test_a_finalizer_that_meets_a_conflict_still_goes() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="Delete")
        w.kube.conflicts = 2
        w.kube.delete(queue)
        await w.advance(10)
        assert queue not in w.kube.objects


async def test_a_claim_that_meets_a_conflict_is_made_again() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        w.kube.conflicts = 2
        queue = w.make_queue("invoices")
        await w.advance(10)
        assert w.ready(queue)
        assert w.kube.objects[queue]["metadata"]["finalizers"] == [FINALIZER]


async def test_the_finalizers_of_others_stay_and_hold_the_object_only() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="Delete")
        w.kube.objects[queue]["metadata"]["finalizers"].append("example.org/other")
        w.kube.annotate(queue, unrelated="1")
        w.kube.delete(queue)
        await w.advance(5)
        assert w.kube.objects[queue]["metadata"]["finalizers"] == ["example.org/other"]
        assert w.names("Queue") == set()


async def test_a_damaged_owner_record_never_leads_to_a_deletion() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="Delete")
        w.kube.annotate(queue, owned="nonsense")
        w.kube.delete(queue)
        await w.advance(5)
        assert queue not in w.kube.objects
        assert "billing.invoices" in w.names("Queue")


async def test_an_object_deleted_while_no_operator_ran_is_seen_off_after_the_start() -> None:
    async with world() as w:
        user, queue = await settled(w, deletionPolicy="Delete")
        await w.crash()
        w.kube.delete(queue)
        await w.start()
        assert queue not in w.kube.objects
        assert w.names("Queue") == set()
        assert w.permission("billing.worker").read == "^$"
        assert w.ready(user)


async def test_a_manifest_that_vanished_unseen_is_noticed_by_the_sweep() -> None:
    async with world() as w:
        _, queue = await settled(w)
        w.kube.quiet = True
        w.kube.vanish(queue)
        w.kube.quiet = False
        await w.advance(310)
        assert w.permission("billing.worker").read == "^$"
        assert "billing.invoices" in w.names("Queue")
