"""The metrics: their names, labels and where their values come from. Decides nothing.

Counters and durations are told as things happen; gauges are read from a snapshot when Prometheus asks, so that ten
thousand objects cost nothing between scrapes. Labels name kinds and brokers only, never users, queues or texts.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import product
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from channel_operator import __version__
from channel_operator.api.meta import Kind
from channel_operator.brokers.base import Recorder
from channel_operator.engine.ports import RESULTS, Attribute, BrokerFigures
from channel_operator.telemetry.tracing import NoTracer, Tracer

__all__ = ["Metrics", "Scrape"]

_PREFIX = "channel_operator_"
_RECONCILE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

Figures = Callable[[], Iterable[BrokerFigures]]


class Scrape(NamedTuple):
    """An answer to Prometheus."""

    body: bytes
    content_type: str


class _BrokerRecorder:
    """Counts the calls to one broker; implements `brokers.base.Recorder`."""

    def __init__(self, broker: str, requests: Counter, durations: Histogram, tracer: Tracer) -> None:
        self._tracer = tracer
        self._broker = broker
        self._requests = requests
        self._durations = durations

    def request(self, operation: str, outcome: str, seconds: float) -> None:
        self._requests.labels(self._broker, operation, outcome).inc()
        self._durations.labels(self._broker, operation).observe(seconds)
        self._tracer.call(self._broker, operation, outcome, seconds)


class Metrics(Collector):
    """All metrics in a registry of their own; implements `Telemetry` and `KubeRecorder`."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or NoTracer()
        # A creation time beside every counter would double the series for nothing anyone asks.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own
        registry = self.registry = CollectorRegistry()
        self._figures: Figures = tuple
        self._leader = False
        self._reconciles = Counter(
            f"{_PREFIX}reconcile", "Objects that went through a pass.", ("kind", "result"), registry=registry
        )
        self._durations = Histogram(
            f"{_PREFIX}reconcile_duration_seconds",
            "Time from an object's change being seen to its status written.",
            ("kind",),
            buckets=_RECONCILE_SECONDS,
            registry=registry,
        )
        self._requests = Counter(
            f"{_PREFIX}broker_request", "Calls to brokers.", ("broker", "operation", "outcome"), registry=registry
        )
        self._request_durations = Histogram(
            f"{_PREFIX}broker_request_duration_seconds",
            "Duration of calls to brokers.",
            ("broker", "operation"),
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._detected = Counter(
            f"{_PREFIX}drift_detected",
            "Native objects found changed by somebody else.",
            ("broker", "resource"),
            registry=registry,
        )
        self._corrected = Counter(
            f"{_PREFIX}drift_corrected", "Native objects put right.", ("broker", "resource"), registry=registry
        )
        self._kube = Counter(
            f"{_PREFIX}kube_request", "Calls to the Kubernetes API server.", ("verb", "code"), registry=registry
        )
        Info(f"{_PREFIX}build", "The running version.", registry=registry).info({"version": __version__})
        registry.register(self)
        # A counter that first shows up as 1 was never seen to rise: alerts on errors would miss the first one.
        for kind, result in product(Kind, RESULTS):
            self._reconciles.labels(kind, result)

    def figures_from(self, source: Figures) -> None:
        """Say where the gauges' values are read at scrape time; `source` must be quick and must not wait."""
        self._figures = source

    def reconciled(self, kind: str, result: str, seconds: float | None) -> None:
        """Count one object's pass, and its duration when a status was due."""
        self._reconciles.labels(kind, result).inc()
        if seconds is not None:
            self._durations.labels(kind).observe(seconds)

    def drift_detected(self, broker: str, resource: str, count: int = 1) -> None:
        """Count native objects found changed."""
        self._detected.labels(broker, resource).inc(count)

    def drift_corrected(self, broker: str, resource: str, count: int = 1) -> None:
        """Count native objects put right."""
        self._corrected.labels(broker, resource).inc(count)

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        """Have what runs inside show as a span, where tracing is on."""
        return self._tracer.span(name, **attributes)

    def leading(self, leader: bool) -> None:  # noqa: FBT001  # as in the protocol
        """Note whether this replica leads."""
        self._leader = leader

    def broker(self, broker: str) -> Recorder:
        """Return the recorder for one broker's calls."""
        return _BrokerRecorder(broker, self._requests, self._request_durations, self._tracer)

    def forget(self, broker: str) -> None:
        """Drop the series of a Broker that is no more."""
        for metric in (self._requests, self._request_durations, self._detected, self._corrected):
            metric.remove_by_labels({"broker": broker})

    def kube_request(self, verb: str, code: str) -> None:
        """Count one call to the API server."""
        self._kube.labels(verb, code).inc()

    def scrape(self, accept: str) -> Scrape:
        """Render everything in the form the Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return Scrape(encode(self.registry), content_type)

    def describe(self) -> Iterable[Metric]:
        """Return the gauges without values, so that registering does not read the snapshot."""
        return _Gauges().families()

    def collect(self) -> Iterator[Metric]:
        """Read the snapshot."""
        gauges = _Gauges()
        gauges.leader.add_metric((), float(self._leader))
        for figures in self._figures():
            gauges.add(figures)
        yield from gauges.families()


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=labels)


class _Gauges:
    """The gauges of one scrape."""

    def __init__(self) -> None:
        self.leader = _gauge("leader", "1 on the replica that leads.")
        self._up = _gauge("broker_up", "Whether the broker answers, by plane.", "broker", "plane")
        self._depth = _gauge("workqueue_depth", "Objects waiting for a pass.", "broker", "priority")
        self._resources = _gauge("resources", "Objects of the API, by readiness.", "kind", "broker", "ready")
        self._deleting = _gauge(
            "deletion_oldest_timestamp_seconds",
            "Deletion time of the oldest one that waits to go.",
            "kind",
            "broker",
        )
        self._observed = _gauge("broker_observed_timestamp_seconds", "Last full look at the broker.", "broker")
        self._in_progress = _gauge(
            "reconcile_in_progress_start_time_seconds", "Start of the pass that runs now; absent when none.", "broker"
        )
        self._orphans = _gauge("orphans", "Objects on the broker that no manifest names.", "broker")
        self._brake = _gauge("brake_engaged", "1 while deletions or revocations wait for a release.", "broker")
        self._credentials = _gauge(
            "credential_issued_timestamp_seconds", "Issue time of the oldest credentials in use.", "broker"
        )
        self._certificates = _gauge(
            "certificate_expiry_timestamp_seconds", "Expiry of certificates the operator meets.", "broker", "which"
        )

    def families(self) -> list[Metric]:
        """Return all of them."""
        return [family for family in vars(self).values() if isinstance(family, Metric)]

    def add(self, figures: BrokerFigures) -> None:
        """Take the values of one broker."""
        broker = figures.broker
        for plane, up in figures.up.items():
            self._up.add_metric((broker, plane), float(up))
        for priority, depth in figures.depth.items():
            self._depth.add_metric((broker, priority), depth)
        for (kind, ready), count in figures.resources.items():
            self._resources.add_metric((kind, broker, ready), count)
        for which, expiry in figures.certificates.items():
            self._certificates.add_metric((broker, which), expiry)
        for kind, since in figures.deleting_since.items():
            self._deleting.add_metric((kind, broker), since)
        for family, value in (
            (self._orphans, figures.orphans),
            (self._brake, figures.brake_engaged),
            (self._observed, figures.observed_at),
            (self._in_progress, figures.in_progress_since),
            (self._credentials, figures.oldest_credential_at),
        ):
            if value is not None:
                family.add_metric((broker,), float(value))
