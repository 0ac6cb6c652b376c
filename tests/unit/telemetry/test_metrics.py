"""The metrics people build alerts on: their names, types and labels never change by accident."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from channel_operator.engine.ports import BrokerFigures
from channel_operator.telemetry.metrics import Metrics
from tests.harness.metric_names import documented

FROZEN = {
    "channel_operator_reconcile_total": ("counter", {"kind", "result"}),
    "channel_operator_reconcile_duration_seconds": ("histogram", {"kind"}),
    "channel_operator_reconcile_in_progress_start_time_seconds": ("gauge", {"broker"}),
    "channel_operator_workqueue_depth": ("gauge", {"broker", "priority"}),
    "channel_operator_broker_request_total": ("counter", {"broker", "operation", "outcome"}),
    "channel_operator_broker_request_duration_seconds": ("histogram", {"broker", "operation"}),
    "channel_operator_broker_up": ("gauge", {"broker", "plane"}),
    "channel_operator_broker_observed_timestamp_seconds": ("gauge", {"broker"}),
    "channel_operator_resources": ("gauge", {"kind", "broker", "ready"}),
    "channel_operator_deletion_oldest_timestamp_seconds": ("gauge", {"kind", "broker"}),
    "channel_operator_drift_detected_total": ("counter", {"broker", "resource"}),
    "channel_operator_drift_corrected_total": ("counter", {"broker", "resource"}),
    "channel_operator_orphans": ("gauge", {"broker"}),
    "channel_operator_brake_engaged": ("gauge", {"broker"}),
    "channel_operator_credential_issued_timestamp_seconds": ("gauge", {"broker"}),
    "channel_operator_certificate_expiry_timestamp_seconds": ("gauge", {"broker", "which"}),
    "channel_operator_kube_request_total": ("counter", {"verb", "code"}),
    "channel_operator_leader": ("gauge", set[str]()),
    "channel_operator_build_info": ("gauge", {"version"}),
}

MAIN = BrokerFigures(
    broker="messaging/main",
    up={"management": True, "data": False},
    depth={"edit": 3},
    resources={("Queue", "true"): 7, ("Queue", "false"): 1},
    observed_at=1000.0,
    in_progress_since=1001.0,
    deleting_since={"Queue": 950.0},
    orphans=2,
    brake_engaged=True,
    oldest_credential_at=900.0,
    certificates={"management": 5000.0},
)


@pytest.fixture
def metrics() -> Metrics:
    """Metrics in which everything has happened once."""
    metrics = Metrics()
    metrics.figures_from(lambda: [MAIN])
    metrics.reconciled("Queue", "success", 0.02)
    metrics.drift_detected("messaging/main", "Queue")
    metrics.drift_corrected("messaging/main", "Queue", 2)
    metrics.leading(leader=True)
    metrics.kube_request("patch", "200")
    metrics.broker("messaging/main").request("put_queue", "ok", 0.004)
    return metrics


def text_of(metrics: Metrics) -> str:
    return metrics.scrape("").body.decode()


def test_names_types_and_labels_are_frozen(metrics: Metrics) -> None:
    found = {}
    for family in text_string_to_metric_families(text_of(metrics)):
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, labels)
    assert found == FROZEN


def test_the_page_for_operators_names_every_metric_with_its_type_and_labels_and_no_other() -> None:
    assert {name: (kind, set(labels)) for name, (kind, labels) in documented().items()} == FROZEN


def test_every_metric_says_what_it_is(metrics: Metrics) -> None:
    for family in text_string_to_metric_families(text_of(metrics)):
        assert re.fullmatch(r"[A-Z1].+\.", family.documentation), family.name


def test_gauges_are_read_when_asked_and_not_before() -> None:
    metrics = Metrics()
    reads = []

    def figures() -> list[BrokerFigures]:
        reads.append(1)
        return [MAIN]

    metrics.figures_from(figures)
    assert not reads
    text = text_of(metrics)
    assert len(reads) == 1
    assert 'channel_operator_broker_up{broker="messaging/main",plane="data"} 0.0' in text
    assert 'channel_operator_resources{broker="messaging/main",kind="Queue",ready="true"} 7.0' in text


def test_what_is_not_known_has_no_sample() -> None:
    metrics = Metrics()
    metrics.figures_from(lambda: [BrokerFigures(broker="messaging/new")])
    text = text_of(metrics)
    assert "channel_operator_broker_observed_timestamp_seconds{" not in text
    assert "messaging/new" not in text


def test_errors_are_counted_from_zero_so_that_the_first_one_is_a_rise() -> None:
    assert 'channel_operator_reconcile_total{kind="Queue",result="error"} 0.0' in text_of(Metrics())


def test_a_deleted_broker_leaves_no_series(metrics: Metrics) -> None:
    metrics.broker("messaging/other").request("put_queue", "ok", 0.004)
    metrics.figures_from(tuple)
    metrics.forget("messaging/main")
    text = text_of(metrics)
    assert "messaging/main" not in text
    assert "messaging/other" in text


def test_openmetrics_is_served_to_who_asks_for_it(metrics: Metrics) -> None:
    scrape = metrics.scrape("application/openmetrics-text; version=1.0.0")
    assert scrape.content_type.startswith("application/openmetrics-text")
    assert scrape.body.decode().endswith("# EOF\n")


def test_two_sets_of_metrics_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.kube_request("get", "200")
    assert "channel_operator_kube_request_total{" not in text_of(second)
