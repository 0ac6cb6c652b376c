"""What the Broker object says of itself, and the figures behind the gauges."""

from channel_operator.api.meta import FINALIZER
from channel_operator.engine.ports import NO_BROKER
from tests.engine.kubestub import Write
from tests.engine.world import MAIN, world


async def test_a_broker_says_what_it_is_and_how_it_is_reached() -> None:
    async with world() as w:
        broker = w.make_broker()
        await w.start()
        status = w.kube.status(broker)
        assert (status["product"], status["version"], status["identity"]) == ("Fake", "4.3.6", "fake-1")
        assert w.kube.message(broker, "Reachable") == "Management plane: answers. Data plane: answers."
        assert w.kube.condition(broker) == ("True", "Accepted")
        assert w.kube.objects[broker]["metadata"]["finalizers"] == [FINALIZER]
        assert w.kube.written()[Write("status", broker)] == 1


async def test_a_data_plane_that_nobody_named_is_said_not_to_be_checked() -> None:
    async with world() as w:
        broker = w.make_broker(rabbitmq={"managementUrls": ["https://rabbitmq:15671"]})
        await w.start()
        assert "not checked" in w.kube.message(broker, "Reachable")
        assert w.ready(broker)


async def test_an_unencrypted_broker_is_warned_of_once() -> None:
    async with world() as w:
        broker = w.make_broker(tls={"mode": "Disabled"})
        await w.start()
        await w.advance(400)
        w.kube.secret("messaging", "rabbitmq-login", username="operator", password="another-one")
        await w.advance(100)
        assert w.kube.told(broker) == ["TlsDisabled"]


async def test_many_changes_cost_a_broker_few_status_writes() -> None:
    async with world() as w:
        broker = w.make_broker()
        await w.start()
        for number in range(30):
            w.make_queue(f"q{number}")
            await w.advance(1)
        await w.advance(10)
        assert w.kube.status(broker)["channels"] == {"total": 30, "ready": 30, "drifted": 0}
        assert w.kube.written()[Write("status", broker)] <= 10


async def test_reconcile_at_on_a_broker_looks_at_everything_at_once() -> None:
    async with world() as w:
        broker, queue = w.make_broker(), w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        w.take(w.queue("billing.invoices").id)
        w.kube.annotate(broker, reconcile_at="now")
        await w.settle()
        assert "billing.invoices" in w.names("Queue")
        assert w.kube.told(queue)[-1] == "DriftCorrected"


async def test_the_figures_follow_what_happens() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        w.make_queue("good")
        w.make_queue("bad", messageTTL="soon")
        await w.start()
        await w.advance(10)
        figures = w.figures
        assert figures.up == {"management": True, "data": True}
        assert figures.resources == {("Queue", "true"): 1, ("Queue", "false"): 1, ("BrokerUser", "true"): 1}
        assert figures.depth == {"edit": 0, "retry": 0, "resync": 0}
        assert figures.observed_at is not None
        assert figures.in_progress_since is None
        issued = w.kube.status(user)["credentials"]["issuedAt"]
        assert figures.oldest_credential_at == w.clock.now().fromisoformat(issued).timestamp()
        w.broker.unreachable = True
        await w.advance(400)
        figures = w.figures
        assert figures.up == {"management": False, "data": False}
        w.kube.vanish(MAIN)
        await w.settle()
        assert w.figures.up == {}
        assert w.gauges(NO_BROKER).resources == {("Queue", "false"): 2, ("BrokerUser", "false"): 1}


async def test_a_broker_that_is_released_by_force_goes_before_what_depends_on_it() -> None:
    async with world() as w:
        broker = w.make_broker()
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        await w.start()
        await w.advance(10)
        w.kube.delete(broker)
        await w.advance(10)
        assert "waits for Queue billing/invoices" in w.kube.message(broker)
        w.kube.annotate(broker, force_release="true")
        await w.advance(10)
        assert broker not in w.kube.objects
        w.kube.delete(queue)
        await w.advance(10)
        assert queue not in w.kube.objects
        assert "billing.invoices" in w.names("Queue")


async def test_orphans_are_what_a_retained_queue_left_and_not_the_users_that_went_with_it() -> None:
    async with world() as w:
        broker = w.make_broker()
        user = w.make_user("worker")
        queue = w.make_queue("invoices", deadLetter={}, consumers=[{"name": "worker"}])
        kept = w.make_queue("kept")
        await w.start()
        await w.advance(10)
        for key in (user, queue):
            w.kube.delete(key)
        await w.advance(400)
        assert w.kube.status(broker)["orphans"] == {
            "count": 4,
            "names": [
                "Exchange billing.invoices_dlx",
                "Exchange billing.invoices_in",
                "Queue billing.invoices",
                "Queue billing.invoices_dead",
            ],
        }
        assert w.figures.orphans == 4
        assert w.ready(kept)
        w.make_queue("invoices", deadLetter={})
        await w.advance(400)
        assert "orphans" not in w.kube.status(broker)
