"""The API server goes away: the operator lives on, writes nothing wrong to the broker, and catches up afterwards."""

from collections.abc import Iterator

import pytest

from tests.e2e.teams import DEAD, make_team, queue, send
from tests.harness.cluster import is_ready
from tests.harness.definitions import broker_state
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

FAILED_REQUESTS = 50
"""Unanswered requests after which the API server has been away for long enough: some twenty seconds of backoff."""


@pytest.fixture(scope="module")
def operator(rough: World) -> Operator:
    """Run one operator for all tests of this module."""
    # A read of a Secret that a frozen API server does not answer holds its Broker up until it times out: read seldom.
    return rough.replica(settings={"broker_secret_sweep": "60s"}).start()


@pytest.fixture
def site(rough: World, operator: Operator) -> Iterator[Site]:
    """Lend a Broker that is looked at every second."""
    yield rough.site(spec={"resyncInterval": "1s"})
    assert operator.running


def _failed(operator: Operator) -> float:
    return operator.metrics().total("channel_operator_kube_request_total", code="error")


def _observed(operator: Operator, site: Site) -> float:
    return operator.metrics().total("channel_operator_broker_observed_timestamp_seconds", broker=f"{site.home}/main")


def test_the_api_server_away_costs_no_broker_write_and_no_readiness(
    rough: World, operator: Operator, site: Site
) -> None:
    team = make_team(site, {"orders": {"deadLetter": DEAD}, "jobs": {"deletionPolicy": "Delete"}})
    before = broker_state(site, {})
    # These are on their way when it goes; none may be lost, and none may come out wrong.
    site.cluster.apply(queue(site, team, "new", deadLetter=DEAD), queue(site, team, "orders"))
    rough.control_plane.kill()
    try:
        failed, observed = _failed(operator), _observed(operator, site)
        wait_until(lambda: _failed(operator) >= failed + FAILED_REQUESTS, "requests fail", describe=operator.last_words)
        assert operator.running
        assert operator.probe("healthz") == 200
        assert operator.probe("readyz") != 200
        assert _observed(operator, site) > observed, "the broker is still looked at"
        meanwhile = broker_state(site, {})
        assert _names(before) <= _names(meanwhile), "nothing was taken away"
    finally:
        rough.control_plane.start()
    site.cluster.apply(queue(site, team, "after"))
    site.cluster.delete("Queue", team, "jobs")
    for name in ("after", "new", "orders"):
        site.cluster.wait_ready("Queue", team, name)
    site.cluster.wait_gone("Queue", team, "jobs")
    assert {one["name"] for one in broker_state(site, {})["queues"]} == {
        *(f"{team}.{name}" for name in ("orders", "orders_dead", "new", "new_dead", "after"))
    }
    wait_until(lambda: operator.probe("readyz") == 200, "the watches are back")
    send(site, team, "orders", "new", "after")


def _names(state: dict[str, list[dict[str, str]]]) -> set[str]:
    return {str(one["name"]) for one in state["queues"]} | {str(one["user"]) for one in state["permissions"]}


def test_a_frozen_api_server_is_outlived_too(rough: World, operator: Operator, site: Site) -> None:
    team = make_team(site, {"orders": {}})
    rough.control_plane.pause()
    try:
        # Its connections stay open and nothing comes: drift is put right meanwhile, since that needs nobody's consent.
        observed = _observed(operator, site)
        site.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{team}.orders_in")
        wait_until(lambda: any(one["name"] == f"{team}.orders_in" for one in _exchanges(site)), "it is made again")
        assert _observed(operator, site) > observed
        assert operator.probe("healthz") == 200
    finally:
        rough.control_plane.resume()
    site.cluster.wait_event(team, "orders", "DriftCorrected")
    site.cluster.apply(queue(site, team, "new"))
    site.cluster.wait_ready("Queue", team, "new")
    found = site.cluster.get("Queue", team, "orders")
    assert found is not None
    assert is_ready(found)


def _exchanges(site: Site) -> list[dict[str, str]]:
    found: list[dict[str, str]] = site.rabbit("GET", "/api/exchanges/{vhost}")
    return found


def test_a_deletion_nobody_saw_is_found_when_the_watch_is_back(rough: World, operator: Operator, site: Site) -> None:
    """A Namespace has no finalizer of ours: its labels may change and it may go while no watch looks."""
    team = make_team(site, {"orders": {}})
    operator.pause()
    try:
        site.cluster.patch("Namespace", None, team, {"metadata": {"labels": dict.fromkeys(site.label)}})
    finally:
        operator.resume()
    site.cluster.wait_reason("Queue", team, "orders", "RefNotPermitted")
    wait_until(lambda: not site.permissions(), "access is withdrawn")
    assert f"{team}.orders" in site.native_queues()
    assert rough.operator is operator
