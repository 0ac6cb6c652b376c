"""Two replicas: one acts, the other watches and takes over; whoever lost the lead ends without another write."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.e2e.teams import make_team, queue
from tests.harness.counting_proxy import CountingProxy
from tests.harness.observed import management_proxy, observed_replica
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

LEASE = {"lease_duration": "3s", "lease_renew_deadline": "2s", "lease_retry_period": "500ms"}
TAKE_OVER = 3 + 12
"""Seconds after which a take-over that should follow the end of a lease is given up. Not a measurement."""


@dataclass
class Pair:
    """A leader and a standby, each with its own way to the API server, and one Broker behind a proxy."""

    world: World
    leader: Operator
    standby: Operator
    leaders_requests: CountingProxy
    standbys_requests: CountingProxy
    broker_requests: CountingProxy
    site: Site


@pytest.fixture
def pair(rough: World, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Start two replicas one after the other, so that it is known who leads."""
    lease = getattr(request, "param", LEASE)
    settings = {**lease, "leader_election": "true", "lease_name": f"pair-{len(rough.replicas)}"}
    with ExitStack() as stack:
        management = stack.enter_context(management_proxy(rough))
        leader, first = stack.enter_context(observed_replica(rough, **settings, identity="first"))
        standby, second = stack.enter_context(observed_replica(rough, **settings, identity="second"))
        leader.start()
        standby.start(leading=False)
        site = rough.site(management_port=management.port)
        yield Pair(rough, leader, standby, first, second, management, site)
        site.cluster.delete("Broker", site.home, "main")


def _broker_requests(operator: Operator) -> float:
    return operator.metrics().total("channel_operator_broker_request_total")


def test_one_replica_acts_and_the_other_is_ready_and_writes_nothing(pair: Pair) -> None:
    make_team(pair.site, {"orders": {}})
    assert pair.leaders_requests.writes != []
    assert pair.standby.ready()
    assert not pair.standby.leads()
    assert pair.standbys_requests.writes == []
    assert _broker_requests(pair.standby) == 0


def test_a_killed_leader_is_followed_by_the_standby_which_rewrites_nothing(pair: Pair) -> None:
    team = make_team(pair.site, {"orders": {"deletionPolicy": "Delete"}})
    before = len(pair.broker_requests.writes)
    pair.leader.kill()
    assert not pair.standby.leads(), "nobody takes a lease that has not run out"
    pair.site.cluster.delete("Queue", team, "orders")
    pair.site.cluster.apply(queue(pair.site, team, "new"))
    pair.standby.wait_leading(timeout=TAKE_OVER)
    pair.site.cluster.wait_ready("Queue", team, "new")
    pair.site.cluster.wait_gone("Queue", team, "orders")
    written = {one.path for one in pair.broker_requests.writes[before:]}
    # Rights are shared by all queues of a user, so the users' permissions are among them.
    assert all(f"{team}." in path for path in written)
    assert set(pair.site.native_queues()) == {f"{team}.new"}


@pytest.mark.parametrize(
    "pair",
    [{"lease_duration": "300s", "lease_renew_deadline": "200s", "lease_retry_period": "1s"}],
    ids=["a lease of minutes"],
    indirect=True,
)
def test_a_leader_that_ends_in_order_hands_over_at_once(pair: Pair) -> None:
    """The lease would last for minutes, so whoever leads now was let in."""
    team = make_team(pair.site, {"orders": {}})
    assert pair.leader.stop() == 0
    pair.standby.wait_leading(timeout=TAKE_OVER)
    pair.site.cluster.apply(queue(pair.site, team, "new"))
    pair.site.cluster.wait_ready("Queue", team, "new")


def test_a_leader_that_was_frozen_past_its_lease_ends_without_a_write(pair: Pair) -> None:
    team = make_team(pair.site, {"orders": {"deletionPolicy": "Delete"}})
    pair.leader.pause()
    # All this waits in its sockets when it wakes up.
    pair.site.cluster.apply(queue(pair.site, team, "new"))
    pair.site.cluster.delete("Queue", team, "orders")
    pair.standby.wait_leading(timeout=TAKE_OVER)
    pair.site.cluster.wait_ready("Queue", team, "new")
    pair.site.cluster.wait_gone("Queue", team, "orders")
    kubernetes, broker = len(pair.leaders_requests.writes), _settled_writes(pair)
    pair.leader.resume()
    wait_until(lambda: not pair.leader.running, "the former leader ends", describe=pair.leader.last_words)
    assert pair.leaders_requests.writes[kubernetes:] == []
    assert pair.broker_requests.writes[broker:] == []
    assert pair.standby.leads()
    assert set(pair.site.native_queues()) == {f"{team}.new"}


def test_a_leader_cut_off_from_the_api_server_ends_and_the_other_goes_on(pair: Pair) -> None:
    team = make_team(pair.site, {"orders": {}})
    broker = _settled_writes(pair)
    pair.leaders_requests.before = lambda _: False
    wait_until(lambda: not pair.leader.running, "the former leader ends", describe=pair.leader.last_words)
    pair.standby.wait_leading(timeout=TAKE_OVER)
    assert pair.broker_requests.writes[broker:] == []
    pair.site.cluster.apply(queue(pair.site, team, "new"))
    pair.site.cluster.wait_ready("Queue", team, "new")


def _settled_writes(pair: Pair) -> int:
    """Return how many writes the broker has had, once a whole look found nothing more to do."""
    pair.site.cluster.look_now(pair.site.home, "main")
    seen = len(pair.broker_requests.requests)
    wait_until(lambda: len(pair.broker_requests.requests) > seen + 2, "the broker is looked at")
    return len(pair.broker_requests.writes)
