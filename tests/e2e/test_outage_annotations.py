"""What a person asks for by annotation while the broker is away: hands off, and letting go by force."""

from collections.abc import Iterator

import pytest

from channel_operator.api.meta import FORCE_RELEASE, RECONCILE
from tests.e2e.teams import RECEIVER, SENDER, make_team, queue
from tests.harness.cluster import condition
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.proxy import FaultProxy


@pytest.fixture
def proxy(world: World) -> Iterator[FaultProxy]:
    """Lead the operator to the management API through a proxy, which forwards again in the end."""
    made = world.proxy(world.rabbitmq.management_port)
    yield made
    made.forward()


@pytest.fixture
def site(world: World, proxy: FaultProxy) -> Site:
    """Give a Broker behind the proxy that is looked at every second."""
    return world.site(management_port=proxy.port, spec={"resyncInterval": "1s"})


def _go_away(site: Site, proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.cut()
    site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")


def test_hands_off_is_heard_while_the_broker_is_away_and_heeded_when_it_is_back(
    world: World, site: Site, proxy: FaultProxy
) -> None:
    team = make_team(site, {"orders": {}, "jobs": {}})
    _go_away(site, proxy)
    site.cluster.annotate("Queue", team, "orders", {RECONCILE: "Disabled"})
    found = site.cluster.wait_reason("Queue", team, "orders", "Disabled")
    assert (condition(found, "Stalled"), condition(found, "Reconciling")) == (None, None)
    assert (condition(found, "Ready") or {})["status"] == "True", "it keeps the last word"
    site.cluster.apply(site.queue(team, "orders"), site.queue(team, "jobs"))
    proxy.forward()
    site.cluster.wait_ready("Broker", site.home, "main")

    # The other queue gets the same edit, so the operator is through with both.
    def denied() -> bool:
        return "jobs" not in site.permissions()[f"{team}.receiver"]["read"]

    wait_until(denied, "the other queue's edit takes effect", describe=site.cluster.evidence)
    world.look(site)
    permissions = site.permissions()
    assert "orders" in permissions[f"{team}.receiver"]["read"]
    assert "orders_in" in permissions[f"{team}.sender"]["write"]
    site.cluster.annotate("Queue", team, "orders", {RECONCILE: None})
    wait_until(
        lambda: "orders" not in site.permissions()[f"{team}.receiver"]["read"],
        "the edit takes effect",
        describe=site.cluster.evidence,
    )


def test_a_queue_on_hold_is_let_go_while_the_broker_is_away(site: Site, proxy: FaultProxy) -> None:
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}})
    site.cluster.annotate("Queue", team, "orders", {RECONCILE: "Disabled"})
    site.cluster.wait_reason("Queue", team, "orders", "Disabled")
    _go_away(site, proxy)
    site.cluster.delete("Queue", team, "orders")
    site.cluster.wait_gone("Queue", team, "orders")
    proxy.forward()
    site.cluster.wait_ready("Broker", site.home, "main")
    assert f"{team}.orders" in site.native_queues()


def test_hands_off_taken_back_while_the_broker_is_away_takes_effect_when_it_is_back(
    site: Site, proxy: FaultProxy
) -> None:
    team = make_team(site, {"orders": {}})
    site.cluster.annotate("Queue", team, "orders", {RECONCILE: "Disabled"})
    site.cluster.wait_reason("Queue", team, "orders", "Disabled")
    site.cluster.apply(queue(site, team, "orders", consumers=[*RECEIVER, *SENDER]))
    _go_away(site, proxy)
    site.cluster.annotate("Queue", team, "orders", {RECONCILE: None})
    site.cluster.wait_reason("Queue", team, "orders", "BrokerUnreachable")
    proxy.forward()
    site.cluster.wait_ready("Queue", team, "orders")
    wait_until(
        lambda: "orders" in site.permissions()[f"{team}.sender"]["read"],
        "the new consumer is let in",
        describe=site.cluster.evidence,
    )


def test_whatever_kind_is_let_go_by_force_while_the_broker_is_away(world: World, site: Site, proxy: FaultProxy) -> None:
    """Queues stay, since nobody was there to delete them; rights go when the broker is back."""
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}})
    site.cluster.apply(
        site.topic(team, "events", producers=SENDER, deletionPolicy="Delete"),
        site.subscription(team, "mails", (team, "events"), consumers=RECEIVER, deletionPolicy="Delete"),
    )
    released = [("Subscription", "mails"), ("Topic", "events"), ("Queue", "orders")]
    for kind, name in released:
        site.cluster.wait_ready(kind, team, name)
    _go_away(site, proxy)
    for kind, name in released:
        site.cluster.annotate(kind, team, name, {FORCE_RELEASE: "true"})
        site.cluster.delete(kind, team, name)
    for kind, name in released:
        site.cluster.wait_gone(kind, team, name)
        site.cluster.wait_event(team, name, "ReleasedByForce")
    assert f"{team}.orders" in site.native_queues()
    proxy.forward()
    site.cluster.wait_ready("Broker", site.home, "main")
    world.look(site)
    assert set(site.native_queues()) == {f"{team}.orders", f"{team}.mails"}

    def nothing_left() -> bool:
        found = site.permissions()
        return all(
            found[f"{team}.{name}"][what] == "^$" for name in ("sender", "receiver") for what in ("write", "read")
        )

    wait_until(nothing_left, "the grants of what was released are gone", describe=site.cluster.evidence)
