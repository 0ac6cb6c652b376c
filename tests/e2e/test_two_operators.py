"""Two Kubernetes clusters with an operator each on one virtual host: neither touches what the other has made."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.e2e.conftest import SETTINGS
from tests.e2e.teams import DEAD, make_team, send
from tests.harness.amqp import Client, opens
from tests.harness.cluster import condition
from tests.harness.definitions import broker_state
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.world import World


@pytest.fixture(scope="module")
def elsewhere(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Lend a second cluster with an operator, whose id differs because the cluster does."""
    with World(tmp_path_factory.mktemp("elsewhere"), rabbitmq=world.rabbitmq, settings=SETTINGS) as other:
        yield other


class Side(NamedTuple):
    """One cluster with a Broker on the virtual host that both share."""

    world: World
    site: Site

    def look(self) -> None:
        """Have this side's operator look at the whole virtual host."""
        self.world.look(self.site)

    def orphans(self) -> list[str]:
        """Return what this side's Broker shows as nobody's."""
        found = self.site.cluster.get("Broker", self.site.home, "main")
        assert found is not None
        names: list[str] = (found["status"].get("orphans") or {}).get("names", [])
        return names


@pytest.fixture
def sides(world: World, elsewhere: World) -> tuple[Side, Side]:
    site = world.site()
    other = Site(elsewhere.cluster, world.rabbitmq, vhost=site.vhost).start()
    return Side(world, site), Side(elsewhere, other)


def _users(site: Site, team: str) -> list[Object]:
    """Return the users of a namespace as the broker has them, hashes and tags included."""
    return [one for one in site.rabbit("GET", "/api/users") if one["name"].startswith(f"{team}.")]


def test_each_leaves_alone_what_the_other_has_made(sides: tuple[Side, Side]) -> None:
    here, there = sides
    spec = {"orders": {"deadLetter": DEAD, "deletionPolicy": "Delete"}}
    teams = [make_team(side.site, spec) for side in sides]
    for side, team in zip(sides, teams, strict=True):
        send(side.site, team, "orders")

    def everything() -> tuple[Object, list[list[Object]]]:
        return broker_state(here.site, {team: team for team in teams}), [_users(here.site, team) for team in teams]

    before = everything()
    tags = {tuple(one["tags"]) for users in before[1] for one in users}
    assert len(tags) == 2, "each operator has a mark of its own"
    for side in sides:
        side.look()
        assert everything() == before
        assert [name for name in side.orphans() if any(team in name for team in teams)] == []

    bindings = {name: there.site.binding(teams[1], name) for name in ("sender", "receiver")}
    names = [f"{teams[1]}.sender", f"{teams[1]}.receiver"]
    theirs = [there.site.permissions()[name] for name in names], _users(there.site, teams[1])
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender"), ("BrokerUser", "receiver")):
        here.site.cluster.delete(kind, teams[0], name)
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender"), ("BrokerUser", "receiver")):
        here.site.cluster.wait_gone(kind, teams[0], name)
    here.look()
    assert _users(here.site, teams[0]) == []
    assert set(there.site.native_queues()) == {f"{teams[1]}.orders", f"{teams[1]}.orders_dead"}
    assert ([there.site.permissions()[name] for name in names], _users(there.site, teams[1])) == theirs
    with Client(bindings["sender"]) as sender, Client(bindings["receiver"]) as receiver:
        sender.publish(f"{teams[1]}.orders_in", "still")
        assert receiver.receive(f"{teams[1]}.orders", 2) == ["for orders", "still"]


def test_one_username_in_both_clusters_belongs_to_whoever_had_it_first(sides: tuple[Side, Side]) -> None:
    here, there = sides
    team = make_team(here.site, {"orders": {}})
    namespace: Any = {"name": team, "labels": there.site.label}
    there.site.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    binding, before = here.site.binding(team, "receiver"), _users(here.site, team)
    there.site.cluster.apply(there.site.user(team, "receiver"))
    found = condition(there.site.cluster.wait_reason("BrokerUser", team, "receiver", "AdoptionRefused"), "Stalled")
    assert found is not None
    assert found["message"].startswith(f"User {team}.receiver exists on the broker already: ")
    there.look()
    there.site.cluster.delete("BrokerUser", team, "receiver")
    there.site.cluster.wait_gone("BrokerUser", team, "receiver")
    there.look()
    assert _users(here.site, team) == before
    assert opens(binding)
    with here.site.client(team, "receiver") as receiver:
        assert receiver.try_get(f"{team}.orders") is None
