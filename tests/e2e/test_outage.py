"""RabbitMQ goes away in every way it can: nobody's channel stops being Ready, few words are made, nothing is lost."""

from collections.abc import Iterator

import pytest

from tests.e2e.rough import status_writes
from tests.e2e.teams import DEAD, make_team, queue, send
from tests.harness.cluster import condition
from tests.harness.counting_proxy import CountingProxy, is_write
from tests.harness.definitions import broker_state
from tests.harness.kubeapi import Object
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.proxy import Direction, FaultProxy


@pytest.fixture(scope="module")
def operator(rough: World) -> Operator:
    """Run one operator for all outages of this module."""
    return rough.replica().start()


@pytest.fixture
def proxy(rough: World) -> FaultProxy:
    """Put a proxy between the operator and RabbitMQ's management API."""
    return rough.proxy(rough.rabbitmq.management_port)


@pytest.fixture
def site(rough: World, operator: Operator, proxy: FaultProxy) -> Iterator[Site]:
    """Lend a Broker behind the proxy that is looked at every second."""
    yield rough.site(management_port=proxy.port, spec={"resyncInterval": "1s"})
    assert operator.running


def _wait_away(site: Site) -> Object:
    return site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")


def _object(site: Site, kind: str, namespace: str, name: str) -> Object:
    found = site.cluster.get(kind, namespace, name)
    assert found is not None
    return {"kind": kind, **found}


def test_in_an_outage_ready_channels_stay_ready_and_few_words_are_made(rough: World, operator: Operator) -> None:
    assert operator.running
    site = rough.site(spec={"resyncInterval": "1s"})
    cluster = site.cluster
    team = make_team(site, {"orders": {"deadLetter": DEAD}})
    settled = [
        _object(site, "Queue", team, "orders"),
        _object(site, "BrokerUser", team, "sender"),
        _object(site, "BrokerUser", team, "receiver"),
    ]
    broker = _object(site, "Broker", site.home, "main")
    recording = cluster.record("Broker", "BrokerUser", "Queue")
    try:
        rough.rabbitmq.stop()
        away = _wait_away(site)
        reachable = condition(away, "Reachable")
        assert reachable is not None
        assert (reachable["status"], reachable["reason"]) == ("False", "BrokerUnreachable")
        assert "nothing listens there" in reachable["message"]
        cluster.wait_event(site.home, "main", "BrokerUnreachable")

        new = cluster.apply(queue(site, team, "new"))[0]
        waiting = cluster.wait_reason("Queue", team, "new", "BrokerUnreachable")
        assert condition(waiting, "Reconciling") is not None
        assert condition(waiting, "Stalled") is None
        changed = cluster.apply(queue(site, team, "orders"))[0]
        cluster.wait_reason("Queue", team, "orders", "BrokerUnreachable")

        rough.rabbitmq.start()
        cluster.wait_ready("Broker", site.home, "main")
        for name in ("new", "orders"):
            cluster.wait_ready("Queue", team, name)
        cluster.wait_event(site.home, "main", "BrokerRecovered")
    finally:
        recording.stop()
        if not rough.rabbitmq.running:
            rough.rabbitmq.start()
    for untouched in settled[1:]:
        said = status_writes(recording, untouched)
        assert all(_ready(status) for status in said), said
        assert len(said) <= 2
    assert len(status_writes(recording, {"kind": "Queue", **new})) <= 2 + 1  # the last one says that it is Ready
    assert len(status_writes(recording, {"kind": "Queue", **changed})) <= 2
    assert len(status_writes(recording, broker)) <= 5


def _ready(status: Object) -> bool:
    return {"Ready": "True"}.items() <= {one["type"]: one["status"] for one in status["conditions"]}.items()


def test_a_frozen_broker_is_told_of_and_what_was_asked_for_meanwhile_comes_after(
    rough: World, operator: Operator
) -> None:
    assert operator.running
    site = rough.site()
    team = make_team(site, {"orders": {}})
    rough.rabbitmq.pause()
    try:
        site.cluster.apply(queue(site, team, "new"))
        found = site.cluster.wait_reason("Queue", team, "new", "BrokerUnreachable")
        assert condition(found, "Reconciling") is not None
        reachable = condition(_wait_away(site), "Reachable")
        assert reachable is not None
        assert "no answer in time" in reachable["message"]
        assert _ready(_object(site, "Queue", team, "orders")["status"])
    finally:
        rough.rabbitmq.resume()
    found = site.cluster.wait_ready("Queue", team, "new")
    assert found["status"]["origin"] == "Created"
    send(site, team, "new", "orders")


@pytest.mark.parametrize("direction", ["request", "response"])
def test_connections_cut_in_the_middle_of_anything_leave_no_half_done_queue(
    site: Site, proxy: FaultProxy, direction: Direction
) -> None:
    team = make_team(site, {"whole": {"deadLetter": DEAD}})
    names = []
    # Within a request, within the TLS handshake of a new connection, and after one or a few requests.
    for count in (0, 150, 900, 2500):
        name = f"cut-{count}"
        names.append(name)
        before = proxy.accepted
        proxy.cut_after(count, direction=direction)
        site.cluster.apply(queue(site, team, name, deadLetter=DEAD))
        wait_until(lambda before=before: proxy.accepted > before, "connections are cut")  # type: ignore[misc]  # binds this turn's value
        proxy.forward()
        site.cluster.wait_ready("Queue", team, name)
    site.cluster.wait_ready("Broker", site.home, "main")
    expected = _about(site, team, "whole")
    for name in names:
        assert _about(site, team, name) == expected
        found = _object(site, "Queue", team, name)
        assert found["status"]["origin"] == "Created", "what was half done was ours all the time"
    send(site, team, *names)


def _about(site: Site, team: str, name: str) -> Object:
    """Return what the broker has of one channel, with a common name for it."""
    state = broker_state(site, {team: "team"})

    def mine(one: Object) -> bool:
        return any(f"team.{name}" == str(value).removesuffix("_dead").removesuffix("_in") for value in one.values())

    kept: Object = {kind: [one for one in state[kind] if mine(one)] for kind in ("queues", "exchanges", "bindings")}
    return {kind: str(found).replace(name, "NAME") for kind, found in kept.items()}


def test_a_half_closed_connection_is_not_waited_on(site: Site, proxy: FaultProxy) -> None:
    team = make_team(site, {"orders": {}})
    for number in range(3):
        proxy.half_close()
        site.cluster.apply(queue(site, team, f"new-{number}"))
        site.cluster.wait_ready("Queue", team, f"new-{number}")


def test_a_slow_broker_is_worked_with(site: Site, proxy: FaultProxy) -> None:
    team = make_team(site, {"orders": {}})
    proxy.delay(0.2)
    site.cluster.apply(queue(site, team, "slow", deadLetter=DEAD))
    site.cluster.wait_ready("Queue", team, "slow")
    assert _ready(_object(site, "Broker", site.home, "main")["status"])


def test_a_write_whose_answer_never_came_is_not_mistaken_for_somebody_elses(rough: World, operator: Operator) -> None:
    assert operator.running
    certificate = rough.lab.ca.issue("rabbitmq")
    with CountingProxy(rough.rabbitmq.management_url, trust=rough.rabbitmq.ca_pem, certificate=certificate) as proxy:
        site = rough.site(management_port=proxy.port)
        team = make_team(site, {"orders": {}})
        proxy.after = lambda request: not is_write(request)
        site.cluster.apply(queue(site, team, "new"))
        wait_until(
            lambda: any(one["name"] == f"{team}.new_in" for one in site.rabbit("GET", "/api/exchanges/{vhost}")),
            "the first write arrives",
            describe=lambda: str(proxy.requests[-10:]),
            timeout=10,
        )
        _wait_away(site)
        proxy.after = lambda _: True
        found = site.cluster.wait_ready("Queue", team, "new")
        assert found["status"]["origin"] == "Created"
        site.cluster.wait_ready("Broker", site.home, "main")


def test_a_black_hole_is_an_outage_and_its_end_a_recovery(rough: World, operator: Operator) -> None:
    assert operator.running
    proxy = rough.proxy(rough.rabbitmq.management_port)
    site = rough.site(management_port=proxy.port)
    team = make_team(site, {"orders": {}})
    proxy.black_hole()
    site.cluster.apply(queue(site, team, "orders"), queue(site, team, "new"))
    _wait_away(site)
    site.cluster.wait_reason("Queue", team, "new", "BrokerUnreachable")
    proxy.forward()
    proxy.cut()
    site.cluster.wait_ready("Queue", team, "new")
    site.cluster.wait_ready("Broker", site.home, "main")


def test_one_brokers_outage_is_not_anothers(site: Site, proxy: FaultProxy, rough: World) -> None:
    other = rough.site()
    proxy.refuse()
    proxy.cut()
    _wait_away(site)
    make_team(other, {"orders": {}})


def test_only_the_clients_port_gone_is_told_as_such_and_stops_no_work(rough: World, operator: Operator) -> None:
    assert operator.running
    proxy = rough.proxy(rough.rabbitmq.amqps_port)
    site = rough.site(amqps_port=proxy.port)
    team = make_team(site, {"orders": {}})
    proxy.refuse()
    proxy.cut()
    reachable = condition(_wait_away(site), "Reachable")
    assert reachable is not None
    assert "Management plane: answers. Data plane:" in reachable["message"]
    site.cluster.apply(queue(site, team, "new"))
    site.cluster.wait_ready("Queue", team, "new")
    proxy.forward()
    site.cluster.wait_ready("Broker", site.home, "main")
