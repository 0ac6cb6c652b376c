"""The API server goes away: the operator lives on, writes nothing wrong to the broker, and catches up afterwards."""

import time
from collections.abc import Iterator

import pytest

from tests.e2e.teams import DEAD, make_team, queue, send
from tests.harness.cluster import is_ready
from tests.harness.counting_proxy import CountingProxy
from tests.harness.definitions import broker_state
from tests.harness.observed import management_proxy
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

AWAY = 60.0
"""Seconds without an API server: an upgrade of a single control plane takes about as long."""


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


def _observed(operator: Operator, site: Site) -> float:
    return operator.metrics().total("channel_operator_broker_observed_timestamp_seconds", broker=f"{site.home}/main")


@pytest.fixture
def away(rough: World) -> Iterator[tuple[Site, CountingProxy]]:
    """Lend a Broker behind a proxy that counts what reaches RabbitMQ."""
    with management_proxy(rough) as proxy:
        yield rough.site(management_port=proxy.port, spec={"resyncInterval": "1s"}), proxy


def test_a_minute_without_the_api_server_loses_nothing_and_costs_no_needless_write(
    rough: World, operator: Operator, away: tuple[Site, CountingProxy]
) -> None:
    site, proxy = away
    team = make_team(site, {"orders": {"deadLetter": DEAD}, "still": {}, "jobs": {"deletionPolicy": "Delete"}})
    send(site, team, "orders", "still")
    # These are on their way when it goes; none may be lost, and none may come out wrong.
    site.cluster.apply(queue(site, team, "new", deadLetter=DEAD), queue(site, team, "orders"))
    before = site.cluster.get("Queue", team, "still")
    state = broker_state(site, {})
    began = time.monotonic()
    rough.control_plane.kill()
    try:
        observed = _observed(operator, site)
        written = len(proxy.writes)
        _edit_at_the_broker(site, team)
        wait_until(lambda: _repaired(site, team), "what was changed by hand is put right", describe=operator.last_words)
        wait_until(lambda: time.monotonic() - began >= AWAY, "a minute passes", timeout=2 * AWAY)
        assert operator.running
        assert operator.probe("healthz") == 200
        assert operator.probe("readyz") != 200
        assert _observed(operator, site) > observed + AWAY / 2, "the broker is still looked at"
        assert _names(state) <= _names(broker_state(site, {})), "nothing was taken away"
        assert not [one for one in proxy.writes[written:] if "foreign" in one.path]
    finally:
        rough.control_plane.start()
    _catch_up(site, team)
    wait_until(lambda: operator.probe("readyz") == 200, "the watches are back")
    site.cluster.wait_event(team, "still", "DriftCorrected")
    assert site.cluster.get("Queue", team, "still") == before, "it was Ready all the time"
    assert {one["name"] for one in broker_state(site, {})["queues"]} == {
        *(f"{team}.{name}" for name in ("orders", "orders_dead", "still", "new", "new_dead", "after")),
        "foreign",
    }
    send(site, team, "orders", "new", "after")
    with site.client(team, "receiver") as receiver:
        assert receiver.receive(f"{team}.still") == ["for still"], "what was sent before is there"
        assert receiver.receive(f"{team}.orders", 2) == ["for orders"] * 2
    done = len(proxy.writes)
    rough.look(site)
    assert proxy.writes[done:] == [], "all is as it should be"


def _edit_at_the_broker(site: Site, team: str) -> None:
    """Delete an exchange, widen a permission, and make a queue that is nobody's business."""
    site.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{team}.still_in")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    site.rabbit("PUT", f"/api/permissions/{{vhost}}/{team}.sender", everything)
    site.rabbit("PUT", "/api/queues/{vhost}/foreign", {"durable": True})


def _repaired(site: Site, team: str) -> bool:
    state = broker_state(site, {})
    bound = any(one["source"] == f"{team}.still_in" for one in state["bindings"])
    return bound and site.permissions()[f"{team}.sender"]["configure"] != ".*"


def _catch_up(site: Site, team: str) -> None:
    """Ask for a queue more and one less; wait until these and what was asked for before are done."""
    cluster = site.cluster
    cluster.apply(queue(site, team, "after"))
    cluster.delete("Queue", team, "jobs")
    for name in ("after", "new", "orders"):
        cluster.wait_ready("Queue", team, name)
    cluster.wait_gone("Queue", team, "jobs")


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
