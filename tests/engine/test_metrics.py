"""The real metrics, fed by the whole engine: what happens in a small world is what a scrape shows."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from channel_operator.telemetry.metrics import Metrics
from tests.engine.world import MAIN, World, world
from tests.lab.tls import CertificateAuthority

PREFIX = "channel_operator_"
BROKER = {"broker": "messaging/main"}
OF_THE_EDGE = {"leader", "build_info", "kube_request"}
"""Families that the engine does not feed."""


class Scraped:
    """What Prometheus would read of a world."""

    def __init__(self, metrics: Metrics, w: World) -> None:
        metrics.figures_from(lambda: w.manager.figures() if w.manager is not None else [])
        self._metrics = metrics

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        families = text_string_to_metric_families(self._metrics.scrape("").body.decode())
        found = [sample for family in families for sample in family.samples if sample.name == PREFIX + name]
        return [(dict(sample.labels), sample.value) for sample in found]

    def total(self, name: str, **labels: str) -> float:
        return sum(value for found, value in self.samples(name) if labels.items() <= found.items())

    def names(self) -> set[str]:
        """Name all families."""
        families = text_string_to_metric_families(self._metrics.scrape("").body.decode())
        return {family.name.removeprefix(PREFIX) for family in families}

    def fed(self) -> set[str]:
        """Name the families that have a sample with something in it."""
        families = text_string_to_metric_families(self._metrics.scrape("").body.decode())
        return {f.name.removeprefix(PREFIX) for f in families if any(sample.value for sample in f.samples)}


async def test_every_metric_of_the_engine_shows_what_it_is_about() -> None:
    metrics = Metrics()
    async with world(telemetry=metrics) as w:
        scraped = Scraped(metrics, w)
        ends = CertificateAuthority.create("brokers").issue("rabbitmq", ("localhost",)).cert_pem
        w.broker.certificates = {"management": ends, "data": ends}
        w.make_broker(brake={"maxDeletions": 1, "window": "10m"})
        w.make_user("worker")
        names = [f"q{number}" for number in range(4)]
        queues = [w.make_queue(name, consumers=[{"name": "worker"}], deletionPolicy="Delete") for name in names]
        retained = w.make_queue("retained")
        w.make_queue("bad", messageTTL="soon")
        await w.start()
        await w.advance(10)
        assert scraped.total("broker_up", **BROKER) == 2
        assert scraped.total("resources", kind="Queue", ready="true", **BROKER) == 5
        assert scraped.total("resources", kind="Queue", ready="false", **BROKER) == 1
        assert scraped.total("reconcile_total", kind="Queue", result="success") >= 5
        assert scraped.total("reconcile_total", kind="Queue", result="blocked") >= 1
        assert scraped.total("reconcile_duration_seconds_count", kind="Queue") >= 6
        assert scraped.total("broker_request_total", operation="probe", outcome="ok", **BROKER) >= 1
        assert scraped.total("broker_request_duration_seconds_count", **BROKER) >= 1
        assert {labels["which"] for labels, _ in scraped.samples("certificate_expiry_timestamp_seconds")} == {
            "management",
            "data",
        }
        assert scraped.total("orphans", **BROKER) == 0

        w.take(w.queue("billing.q0").id)
        w.kube.delete(retained)
        await w.advance(400)
        assert scraped.total("drift_detected_total", resource="Queue", **BROKER) == 1
        assert scraped.total("drift_corrected_total", resource="Queue", **BROKER) == 1
        assert scraped.total("orphans", **BROKER) == 2

        deleted_at = w.clock.now().timestamp()
        for queue in queues:
            w.kube.delete(queue)
        await w.advance(30)
        assert scraped.total("brake_engaged", **BROKER) == 1
        [(labels, since)] = scraped.samples("deletion_oldest_timestamp_seconds")
        assert labels == {"kind": "Queue", **BROKER}
        assert abs(since - deleted_at) <= 1

        gate = w.broker.gate = asyncio.Event()
        w.make_queue("late")
        await w.settle()
        assert scraped.total("reconcile_in_progress_start_time_seconds", **BROKER) > 0
        w.make_queue("later")
        await w.settle()
        assert scraped.total("workqueue_depth", priority="edit", **BROKER) == 1
        assert scraped.fed() | OF_THE_EDGE == scraped.names()
        gate.set()
        await w.settle()
        assert scraped.samples("reconcile_in_progress_start_time_seconds") == []


async def test_a_broker_that_is_away_shows_as_down_and_one_that_is_gone_does_not_show() -> None:
    metrics = Metrics()
    async with world(telemetry=metrics) as w:
        scraped = Scraped(metrics, w)
        w.make_broker()
        w.make_queue("invoices")
        w.broker.unreachable = True
        await w.start()
        await w.advance(10)
        assert [value for _, value in scraped.samples("broker_up")] == [0, 0]
        assert scraped.total("broker_request_total", outcome="unreachable", **BROKER) >= 1
        assert scraped.total("reconcile_total", kind="Queue", result="waiting") >= 1
        assert scraped.samples("orphans") == [], "nobody looked yet"
        assert scraped.samples("broker_observed_timestamp_seconds") == []
        w.kube.annotate(MAIN, reconcile="Disabled")
        await w.advance(10)
        assert scraped.samples("broker_up") == [], "it is not asked"
        w.kube.vanish(MAIN)
        await w.advance(10)
        assert scraped.samples("broker_up") == []
        assert scraped.samples("resources") == [({"kind": "Queue", "broker": "none", "ready": "false"}, 1)]


async def test_a_bug_counts_as_an_error_of_the_object_it_showed_with() -> None:
    metrics = Metrics()
    async with world(telemetry=metrics) as w:
        scraped = Scraped(metrics, w)
        w.expects_bugs, w.compile_fails_for = True, "billing.odd"
        w.make_broker()
        w.make_queue("odd")
        await w.start()
        await w.advance(10)
        assert scraped.total("reconcile_total", kind="Queue", result="error") >= 1
        assert scraped.total("reconcile_total", kind="BrokerUser", result="error") == 0
