"""Manifests may come and go in any order: the end is the same, and nothing gets stuck on the way."""

import itertools

import pytest

from tests.harness.definitions import broker_state
from tests.harness.kubeapi import Object
from tests.harness.site import Site, platform_objects
from tests.harness.world import World

NAMES = ("secret", "authority", "broker", "sender", "receiver", "queue")
# Every rotation, forwards and backwards: each object comes first and last, and before and after each other one.
ORDERS = [
    tuple(itertools.islice(itertools.cycle(names), start, start + len(NAMES)))
    for names in (NAMES, NAMES[::-1])
    for start in range(len(NAMES))
]


class Place:
    """A site that is built piece by piece."""

    def __init__(self, world: World) -> None:
        self.site = Site(world.cluster, world.rabbitmq)
        self.site.make_vhost()
        self.site.home = world.cluster.namespace("messaging", self.site.label)
        self.team = self.site.namespace()
        secret, authority = platform_objects(world.rabbitmq, self.site.home)
        queue = self.site.queue(
            self.team,
            "orders",
            producers=[{"name": "sender"}],
            consumers=[{"name": "receiver"}],
            deadLetter={"consumers": [{"name": "receiver"}]},
            retry={"maxDeliveries": 3},
        )
        self.objects: dict[str, Object] = {
            "secret": secret,
            "authority": authority,
            "broker": self.site.broker(),
            "sender": self.site.user(self.team, "sender"),
            "receiver": self.site.user(self.team, "receiver"),
            "queue": queue,
        }

    def apply(self, order: tuple[str, ...]) -> None:
        for name in order:
            self.site.cluster.apply(self.objects[name])

    def delete(self, order: tuple[str, ...]) -> None:
        for name in order:
            self.site.cluster.delete(*self._where(name))

    def wait_ready(self) -> None:
        for name in ("broker", "sender", "receiver", "queue"):
            self.site.cluster.wait_ready(*self._where(name))

    def wait_gone(self) -> None:
        for name in NAMES:
            self.site.cluster.wait_gone(*self._where(name))

    def state(self) -> Object:
        return broker_state(self.site, {self.team: "team"})

    def _where(self, name: str) -> tuple[str, str, str]:
        found = self.objects[name]
        return found["kind"], found["metadata"]["namespace"], found["metadata"]["name"]


@pytest.fixture(scope="module")
def places(rough: World) -> list[Place]:
    """Apply the same manifests in every order, each in a place of its own, all at once."""
    rough.replica().start()
    made = [Place(rough) for _ in ORDERS]
    for place, order in zip(made, ORDERS, strict=True):
        place.apply(order)
    return made


def test_references_in_any_order_end_in_the_same_objects_on_the_broker(places: list[Place]) -> None:
    for place in places:
        place.wait_ready()
    expected = places[0].state()
    assert {one["name"] for one in expected["queues"]} == {"team.orders", "team.orders_dead"}
    assert {one["user"] for one in expected["permissions"]} == {"team.sender", "team.receiver"}
    for place, order in zip(places, ORDERS, strict=True):
        assert place.state() == expected, order


def test_every_grant_is_given_whatever_came_first(places: list[Place]) -> None:
    for place in places:
        queue = place.site.cluster.wait_for(
            "Queue",
            place.team,
            "orders",
            lambda found: {one["state"] for one in found["status"].get("grants", ())} == {"Granted"},
            "shows every grant as given",
        )
        assert queue["status"]["grantCount"] == 3


def test_objects_deleted_in_any_order_go_and_the_queue_stays(places: list[Place]) -> None:
    for place in places:
        place.wait_ready()
    for place, order in zip(places, ORDERS, strict=True):
        place.delete(order)
    for place in places:
        place.wait_gone()
        kept = {one["name"] for one in place.state()["queues"]}
        assert kept == {"team.orders", "team.orders_dead"}


def test_the_credentials_last_to_go_take_no_access_with_them(rough: World) -> None:
    """In the usual order nothing is left but what holds messages."""
    place = Place(rough)
    place.apply(NAMES)
    place.wait_ready()
    place.delete(("sender", "receiver", "queue", "broker"))
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender"), ("BrokerUser", "receiver")):
        place.site.cluster.wait_gone(kind, place.team, name)
    place.site.cluster.wait_gone("Broker", place.site.home, "main")
    state = place.state()
    assert (state["users"], state["permissions"]) == ([], [])
    assert [one["name"] for one in state["queues"]] == ["team.orders", "team.orders_dead"]
