"""What is only observed is never written to, keeps the access it gave, and says what would be done."""

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.resources import Permission, queue_id
from channel_operator.core.model import Key
from tests.engine.held import check_untouched, settled
from tests.engine.world import MAIN, world


async def test_an_observed_queue_shows_what_would_be_done_and_nothing_is() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", managementPolicy="Observe", retry={"maxDeliveries": 3})
        await w.start()
        await w.advance(10)
        assert w.broker.resources == {}
        assert w.kube.condition(queue) == ("False", "Observed")
        assert w.kube.condition(queue, "Drifted") == ("True", "Observed")
        plan = w.kube.status(queue)["plan"]
        assert plan["summary"] == "3 changes not made"
        assert "+ queue billing.invoices (quorum, delivery limit 2)" in plan["changes"]
        w.kube.edit(queue, managementPolicy="Full")
        await w.advance(10)
        assert w.ready(queue)
        assert "plan" not in w.kube.status(queue)
        w.kube.edit(queue, managementPolicy="Observe")
        await w.advance(10)
        assert w.kube.condition(queue) == ("True", "Observed")


async def test_observing_a_queue_keeps_the_grants_it_gave() -> None:
    async with world() as w:
        user, queue = await settled(w)
        secret = w.kube.entries("billing", "worker-binding")["channels.json"]
        on_broker = len(w.broker.writes)
        w.kube.edit(queue, managementPolicy="Observe", consumers=[])
        await w.advance(10)
        await w.restart()
        await w.advance(400)
        check_untouched(w, on_broker, secret)
        assert w.ready(user)


async def test_an_observed_broker_is_never_written_to() -> None:
    async with world() as w:
        w.make_broker(managementPolicy="Observe")
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(400)
        assert w.broker.writes == []
        assert w.kube.condition(queue) == ("False", "Observed")
        assert w.kube.condition(user) == ("False", "Observed")
        for key in (user, queue):
            w.kube.delete(key)
        await w.settle()
        assert user not in w.kube.objects
        assert queue not in w.kube.objects


async def test_what_an_observed_queue_would_lose_stands_in_its_plan() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", deadLetter={})
        await w.start()
        await w.advance(10)
        assert w.ready(queue)
        on_broker = len(w.broker.writes)
        w.kube.edit(queue, managementPolicy="Observe", deadLetter=None)
        await w.advance(10)
        plan = w.kube.status(queue)["plan"]["changes"]
        assert any(line.startswith("-") and "billing.invoices_dlx" in line for line in plan), plan
        assert w.kube.condition(queue) == ("False", "Observed")
        assert len(w.broker.writes) == on_broker


async def test_a_deletion_under_an_observed_broker_does_not_claim_that_access_went() -> None:
    async with world() as w:
        _, queue = await settled(w)
        w.kube.edit(MAIN, managementPolicy="Observe")
        await w.advance(10)
        on_broker = len(w.broker.writes)
        w.kube.delete(queue)
        await w.advance(10)
        assert queue not in w.kube.objects
        assert len(w.broker.writes) == on_broker
        text = "billing.invoices and all rights were left as they are: messaging/main is only observed."
        assert text in [event.message for event in w.kube.events]


async def test_the_plans_of_an_observed_broker_show_every_users_rights() -> None:
    async with world() as w:
        user, queue = await settled(w)
        w.make_user("sender", "shop")
        w.kube.edit(queue, producers=[{"name": "sender", "namespace": "shop"}])
        await w.advance(10)
        w.kube.edit(MAIN, managementPolicy="Observe")
        await w.advance(10)
        on_broker = len(w.broker.writes)
        sender = Key(Kind.BROKER_USER, "shop", "sender")
        for key in (user, sender, queue):
            assert w.kube.condition(key, "Programmed") == ("True", "Observed"), w.kube.status(key)
        w.kube.edit(queue, producers=[], consumers=[{"name": "worker"}, {"name": "sender", "namespace": "shop"}])
        await w.advance(10)
        assert w.kube.status(queue)["plan"]["changes"] == [
            "+ right of shop/sender as Consumer",
            "- right of shop/sender as Producer",
        ]
        assert w.kube.condition(queue, "Programmed") == ("False", "Observed")
        assert w.kube.condition(queue, "Drifted") == ("True", "Observed")
        [line] = w.kube.status(sender)["plan"]["changes"]
        assert line.startswith("~ permission of shop.sender: write")
        assert "billing.invoices" in line
        assert "plan" not in w.kube.status(user)
        w.kube.edit(queue, consumers=[])
        await w.advance(10)
        [line] = w.kube.status(user)["plan"]["changes"]
        assert line.startswith("~ permission of billing.worker: read")
        assert len(w.broker.writes) == on_broker


async def test_what_somebody_changes_at_an_observed_broker_is_noticed_and_left() -> None:
    async with world() as w:
        user, queue = await settled(w)
        w.kube.edit(MAIN, managementPolicy="Observe")
        await w.advance(10)
        on_broker = len(w.broker.writes)
        w.put(Permission("billing.worker", ".*", ".*", ".*"))
        w.take(queue_id("billing.invoices"))
        await w.advance(400)
        [line] = w.kube.status(user)["plan"]["changes"]
        assert "configure replaces a pattern that is not the operator's" in line
        assert any(line.startswith("+ queue billing.invoices") for line in w.kube.status(queue)["plan"]["changes"])
        assert w.kube.condition(user) == ("False", "Observed")
        assert len(w.broker.writes) == on_broker
