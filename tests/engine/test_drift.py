"""What changed at the broker without a word in the manifests: told, put right, or left."""

import pytest

from channel_operator.brokers.rabbitmq.resources import Binding, Exchange, Permission, Queue
from channel_operator.core.model import Secret
from tests.engine.world import TAG, world

FITTING = Queue(
    "billing.invoices",
    "quorum",
    arguments=(("x-dead-letter-exchange", "billing.invoices_dlx"), ("x-queue-type", "quorum")),
)


OTHER = Queue("billing.invoices", "classic", arguments=(("x-max-length", 10),))


@pytest.mark.parametrize("adopted", [False, True])
async def test_a_foreign_binding_is_removed_from_our_queue_and_left_on_an_adopted_one(*, adopted: bool) -> None:
    async with world() as w:
        w.make_broker()
        if adopted:
            w.put(FITTING)
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        stranger = Binding("amq.topic", "billing.invoices", routing_key="all")
        w.put(stranger)
        await w.advance(400)
        assert (stranger.id in w.broker.resources) is adopted
        assert w.kube.told(queue).count("DriftCorrected") == (0 if adopted else 1)
        assert w.counts.corrected["Binding"] == (0 if adopted else 1)


async def test_drift_is_seen_told_and_put_right() -> None:
    async with world() as w:
        w.make_broker()
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(10)
        w.take(Exchange("billing.invoices_in", "fanout").id)
        w.put(Permission("billing.worker", "^$", ".*", "^(?:billing\\.(?:invoices))$"))
        await w.advance(400)
        assert w.names("Exchange") == {"billing.invoices_in"}
        assert w.permission("billing.worker").write == "^$"
        assert w.kube.told(queue)[-1] == "DriftCorrected"
        assert w.kube.told(user)[-1] == "DriftCorrected"
        assert w.counts.detected == w.counts.corrected == {"Exchange": 1, "Binding": 1, "Permission": 1}
        assert w.ready(user, queue)


async def test_a_user_deleted_by_hand_comes_back_with_its_password_also_after_a_restart() -> None:
    async with world(secrets_sweep=1e9) as w:
        w.make_broker()
        user = w.make_user("worker")
        w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(10)
        password = w.kube.entries("billing", "worker-binding")["password"]
        await w.restart()
        w.take(w.user("billing.worker").id)
        assert "billing.worker" not in w.names("Permission")
        await w.advance(400)
        assert w.user("billing.worker").password == Secret(password)
        assert "invoices" in w.permission("billing.worker").read
        assert w.ready(user)


async def test_a_queue_changed_by_hand_into_what_cannot_be_mended_is_told_and_heals_when_it_is_gone() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        w.put(OTHER)
        await w.advance(400)
        assert w.kube.condition(queue) == ("False", "ImmutableOnBroker")
        assert w.queue("billing.invoices") == OTHER
        w.take(OTHER.id)
        await w.advance(400)
        assert w.ready(queue)
        assert w.queue("billing.invoices").type == "quorum"


async def test_a_tag_put_on_our_user_by_hand_is_drift_and_goes_and_the_password_stays() -> None:
    """With the tag administrator an application could read and change everything on the broker."""
    async with world(secrets_sweep=1e9) as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        await w.advance(10)
        password = w.kube.entries("billing", "worker-binding")["password"]
        await w.restart()  # the password is not read again for this
        w.put(w.user("billing.worker")._replace(tags=("administrator", TAG)))
        await w.advance(400)
        found = w.user("billing.worker")
        assert found.tags == (TAG,)
        assert found.password == Secret(password)
        assert w.kube.told(user)[-1] == "DriftCorrected"
        assert w.counts.corrected == {"User": 1}
        assert w.ready(user)


@pytest.mark.parametrize("tags", [(), ("administrator",)])
async def test_a_user_that_lost_our_mark_by_hand_is_nobodys_proven_making_and_stays(tags: tuple[str, ...]) -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        await w.advance(10)
        w.put(w.user("billing.worker")._replace(tags=tags))
        await w.advance(400)
        assert w.user("billing.worker").tags == tags
        assert w.kube.condition(user) == ("False", "AdoptionRefused")
        w.kube.delete(user)
        await w.advance(10)
        assert "billing.worker" in w.names("User")
