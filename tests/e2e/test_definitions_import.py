"""Somebody imports definitions over ours: what RabbitMQ takes from them is put right and told, messages stay."""

import json
from typing import NamedTuple

import pytest

from tests.harness.amqp import Client, opens
from tests.harness.cluster import condition
from tests.harness.definitions import broker_state
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

BOTH = {"producers": [{"name": "app"}], "consumers": [{"name": "app"}]}
TOUCHED = {"Queue": "orders", "Topic": "events", "Subscription": "paid", "BrokerUser": "app"}


class Shop(NamedTuple):
    """A namespace with one object of each kind, and a message in each of its queues."""

    site: Site
    team: str
    binding: dict[str, str]

    def document(self, **sections: list[Object]) -> Object:
        """Return definitions of the whole cluster with these sections and nothing else."""
        return {"rabbit_version": self.site.rabbitmq.version, **sections}

    def defined(self, section: str, name: str) -> Object:
        """Return one entry of the cluster's definitions as they are, which the caller may alter."""
        found = self.site.rabbit("GET", "/api/definitions")[section]
        mine = [one for one in found if one.get("vhost", self.site.vhost) == self.site.vhost]
        key = "user" if section == "permissions" else "name"
        one: Object = next(entry for entry in mine if entry[key] == name)
        return one

    def bound(self, source: str, queue: str, key: str) -> Object:
        """Return a binding as definitions have it."""
        ends = {"source": source, "destination": queue, "destination_type": "queue"}
        return {"vhost": self.site.vhost, "routing_key": key, "arguments": {}, **ends}

    def load(self, **sections: list[Object]) -> None:
        """Import definitions, as an administrator does who brings a backup back."""
        self.site.rabbit("POST", "/api/definitions", self.document(**sections))

    def drift(self, kind: str) -> list[str]:
        """Return what an object was told that was put right."""
        events = self.site.cluster.events(self.team, TOUCHED[kind])
        return [
            one["message"]
            for one in events
            if one["reason"] == "DriftCorrected" and one["involvedObject"]["kind"] == kind
        ]


@pytest.fixture
def shop(site: Site) -> Shop:
    team = site.namespace("shop")
    site.cluster.apply(
        site.user(team, "app"),
        site.queue(team, "orders", limits={"maxMessages": 10}, rabbitmq={"settings": "Policy"}, deadLetter={}, **BOTH),
        site.topic(team, "events", producers=[{"name": "app"}]),
        site.subscription(
            team, "paid", (team, "events"), consumers=[{"name": "app"}], filter={"routingKeys": ["order.paid"]}
        ),
    )
    for kind, name in TOUCHED.items():
        site.cluster.wait_ready(kind, team, name)
    site.cluster.wait_for("BrokerUser", team, "app", lambda one: one["status"]["grantCount"] == 4, "has all grants")
    with site.client(team, "app") as client:
        client.publish(f"{team}.orders_in", "an order")
        client.publish(f"{team}.events", "an event", key="order.paid")
    return Shop(site, team, site.binding(team, "app"))


def _without_strangers(state: Object) -> Object:
    return {**state, "queues": [one for one in state["queues"] if "spy" not in one["name"]]}


def _administrators_hash(site: Site) -> Object:
    """Return the hash of a password that a test knows and that is not the user's."""
    found = site.rabbit("GET", f"/api/users/{site.rabbitmq.admin_user}")
    return {key: found[key] for key in ("password_hash", "hashing_algorithm")}


def test_what_an_import_changes_is_put_right_and_told_and_messages_stay(world: World, shop: Shop) -> None:
    site, name = shop.site, f"{shop.team}.orders"
    before = broker_state(site, {shop.team: "shop"})
    spy = {"vhost": site.vhost, "durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}}
    user, policy = shop.defined("users", f"{shop.team}.app"), shop.defined("policies", f"{name}_policy")
    permission = shop.defined("permissions", f"{shop.team}.app")
    entry, queue = shop.defined("exchanges", f"{name}_in"), shop.defined("queues", name)
    shop.load(
        users=[{**user, "tags": [*user["tags"], "administrator"]}],
        permissions=[{**permission, "configure": ".*", "read": ".*"}],
        policies=[{**policy, "definition": {"max-length": 5000}, "priority": 3}],
        exchanges=[
            {**entry, "type": "topic"},
            {**shop.defined("exchanges", f"{shop.team}.events"), "arguments": {"alternate-exchange": "amq.fanout"}},
        ],
        queues=[
            {**queue, "arguments": {**queue["arguments"], "x-max-length": 3}},
            {**spy, "name": f"spy-{shop.team}"},
        ],
        bindings=[
            shop.bound(f"{name}_in", f"spy-{shop.team}", ""),
            shop.bound("amq.topic", name, "everything.#"),
            shop.bound(f"{shop.team}.events", f"{shop.team}.paid", "#"),
        ],
    )
    assert _without_strangers(broker_state(site, {shop.team: "shop"})) != before
    world.look(site)
    wait_until(
        lambda: _without_strangers(broker_state(site, {shop.team: "shop"})) == before,
        "it is as it was",
        describe=lambda: f"{json.dumps(broker_state(site, {shop.team: 'shop'}), indent=1)}\n{site.cluster.evidence()}",
    )

    def told() -> bool:
        queue, user, subscription = shop.drift("Queue"), shop.drift("BrokerUser"), shop.drift("Subscription")
        return (
            any("policy" in text for text in queue)
            and any("amq.topic" in text for text in queue)
            and any(f"spy-{shop.team}" in text for text in queue)
            and any("administrator" in text for text in user)
            and any("ermission" in text for text in user)
            and len(subscription) > 0
        )

    wait_until(told, "each change is told", describe=lambda: str({kind: shop.drift(kind) for kind in TOUCHED}))
    for kind, one in TOUCHED.items():
        site.cluster.wait_ready(kind, shop.team, one)
    with Client(shop.binding) as client:
        assert client.receive(name) == ["an order"]
        assert client.receive(f"{shop.team}.paid") == ["an event"]
        client.publish(f"{name}_in", "another")
        assert client.receive(name) == ["another"]
        assert client.try_publish(f"{shop.team}.events", "order.sent") == "UNROUTABLE"
        assert client.try_get(f"{name}_dead") == "ACCESS_REFUSED"
        assert client.attempt(lambda channel: channel.queue_declare("more")) == "ACCESS_REFUSED"


def test_a_password_that_an_import_brings_is_replaced_by_that_of_the_secret(world: World, shop: Shop) -> None:
    """A backup has the password of its day; the binding Secret has today's."""
    site = shop.site
    user = shop.defined("users", f"{shop.team}.app")
    shop.load(users=[{**user, **_administrators_hash(site)}])
    imported = {**shop.binding, "password": site.rabbitmq.admin_password}
    assert (opens(imported), opens(shop.binding)) == (True, False)
    world.look(site)
    wait_until(lambda: opens(shop.binding), "the password of the Secret opens again", describe=site.cluster.evidence)
    assert [text for text in shop.drift("BrokerUser") if "password" in text]
    assert not opens(imported)
    with Client(shop.binding) as client:
        assert client.receive(f"{shop.team}.orders") == ["an order"]


def test_what_an_import_made_otherwise_is_reported_by_name_and_left(world: World, shop: Shop) -> None:
    """A backup over a broker that had lost them: queue, entry and user are made in a way that nobody can change."""
    site, name = shop.site, f"{shop.team}.orders"
    user, entry = shop.defined("users", f"{shop.team}.app"), shop.defined("exchanges", f"{name}_in")
    queue = shop.defined("queues", name)
    ways = (f"queues/{{vhost}}/{name}", f"exchanges/{{vhost}}/{name}_in", f"users/{shop.team}.app")
    for path in ways:
        site.rabbit("DELETE", f"/api/{path}")
    shop.load(
        users=[{**user, **_administrators_hash(site), "tags": ["monitoring"]}],
        permissions=[
            {"user": user["name"], "vhost": site.vhost, "configure": "", "write": ".*", "read": ".*"},
        ],
        queues=[{**queue, "arguments": {"x-queue-type": "classic"}}],
        exchanges=[{**entry, "type": "headers"}],
        bindings=[shop.bound(f"{name}_in", name, "")],
    )
    message = {"properties": {}, "routing_key": name, "payload": "imported", "payload_encoding": "string"}
    site.rabbit("POST", "/api/exchanges/{vhost}/amq.default/publish", message)
    world.look(site)
    says = {
        ("Queue", "orders", "ImmutableOnBroker"): (f"Queue {name} differs", "type classic → quorum"),
        ("BrokerUser", "app", "AdoptionRefused"): (f"User {shop.team}.app exists", "it has the tags monitoring"),
    }
    for (kind, which, reason), texts in says.items():
        stalled = condition(site.cluster.wait_reason(kind, shop.team, which, reason), "Stalled")
        assert stalled is not None
        assert [text for text in texts if text not in stalled["message"]] == [], stalled["message"]
    plan = site.cluster.wait_reason("Queue", shop.team, "orders", "ImmutableOnBroker")["status"]["plan"]
    assert sorted(plan["changes"]) == [
        f"! Exchange {name}_in cannot be changed in place: type headers → fanout",
        f"! Queue {name} cannot be changed in place: type classic → quorum",
    ]
    assert site.ready_messages(name) == 1, "what the import brought is nobody's to throw away"
    assert not opens(shop.binding)

    # As the messages say: once they are out of the way, everything is made anew.
    for path in ways:
        site.rabbit("DELETE", f"/api/{path}")
    world.look(site)
    for kind, which in TOUCHED.items():
        site.cluster.wait_ready(kind, shop.team, which)
    wait_until(lambda: opens(shop.binding), "the user is back", describe=site.cluster.evidence)
    with Client(shop.binding) as client:
        client.publish(f"{name}_in", "new")
        assert client.receive(name) == ["new"]
        assert client.receive(f"{shop.team}.paid") == ["an event"]
