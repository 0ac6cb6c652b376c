"""Publish and subscribe across namespaces with real clients: what arrives, and who may not do what."""

import json
from typing import NamedTuple

import pytest

from tests.harness.cluster import condition
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

ALL = {"from": "All"}


class Teams(NamedTuple):
    """The owner of a topic and two teams that subscribe."""

    site: Site
    shop: str
    mail: str
    audit: str

    @property
    def exchange(self) -> str:
        return f"{self.shop}.orders"


@pytest.fixture(scope="module")
def teams(world: World) -> Teams:
    site = world.site()
    shop, mail, audit = (site.namespace(name) for name in ("shop", "mail", "audit"))
    topic = (shop, "orders")
    site.cluster.apply(
        site.subscription(mail, "mailer", topic, consumers=[{"name": "worker"}], deadLetter={}),
        site.subscription(
            audit, "log", topic, consumers=[{"name": "worker"}], filter={"routingKeys": ["order.paid", "order.*.late"]}
        ),
        site.topic(shop, "orders", producers=[{"name": "checkout"}], subscribers=ALL),
        site.user(shop, "checkout"),
        site.user(mail, "worker"),
        site.user(audit, "worker"),
    )
    for kind, namespace, name in (
        ("Topic", shop, "orders"),
        ("Subscription", mail, "mailer"),
        ("Subscription", audit, "log"),
        ("BrokerUser", shop, "checkout"),
        ("BrokerUser", mail, "worker"),
        ("BrokerUser", audit, "worker"),
    ):
        site.cluster.wait_ready(kind, namespace, name)
    return Teams(site, shop, mail, audit)


def test_every_subscription_gets_the_messages_it_wants_and_only_those(teams: Teams) -> None:
    with teams.site.client(teams.shop, "checkout") as sender:
        for key in ("order.paid", "order.sent", "order.sent.late", "other"):
            sender.publish(teams.exchange, key, key=key)
    with teams.site.client(teams.mail, "worker") as mail, teams.site.client(teams.audit, "worker") as audit:
        assert mail.receive(f"{teams.mail}.mailer", 4) == ["order.paid", "order.sent", "order.sent.late", "other"]
        assert audit.receive(f"{teams.audit}.log", 2) == ["order.paid", "order.sent.late"]
        assert audit.get(f"{teams.audit}.log") is None


def test_nobody_may_do_what_the_lists_do_not_say(teams: Teams) -> None:
    queue, other = f"{teams.mail}.mailer", f"{teams.audit}.log"
    exchange = teams.exchange
    with teams.site.client(teams.shop, "checkout") as sender, teams.site.client(teams.mail, "worker") as reader:
        tries = {
            "a publisher reads": sender.try_get(queue),
            "a publisher binds": sender.attempt(lambda c: c.queue_bind(queue, exchange, "x")),
            "a publisher by the default exchange": sender.try_publish("", queue),
            "a publisher makes a queue": sender.attempt(lambda c: c.queue_declare("spy")),
            "a subscriber publishes": reader.try_publish(exchange),
            "a subscriber reads another team's queue": reader.try_get(other),
            "a subscriber binds its own queue anew": reader.attempt(lambda c: c.queue_bind(queue, exchange, "more.#")),
            "a subscriber unbinds": reader.attempt(lambda c: c.queue_unbind(queue, exchange, "#")),
            "a subscriber binds another team's queue": reader.attempt(lambda c: c.queue_bind(other, exchange, "#")),
            "a subscriber deletes its queue": reader.attempt(lambda c: c.queue_delete(queue)),
            "a subscriber reads its dead letters unasked": reader.try_get(f"{queue}_dead"),
            "a subscriber by the dead-letter exchange": reader.try_publish(f"{queue}_dlx"),
        }
        assert tries == dict.fromkeys(tries, "ACCESS_REFUSED")
        assert sender.try_publish(exchange, "order.paid") is None
        assert reader.try_get(queue) is None


def test_the_binding_secret_says_where_to_publish_and_where_to_read(teams: Teams) -> None:
    def channels(namespace: str, user: str) -> list[dict[str, object]]:
        return list(json.loads(teams.site.binding(namespace, user)["channels.json"]))

    assert channels(teams.shop, "checkout") == [
        {"kind": "Topic", "namespace": teams.shop, "name": "orders", "role": "Producer", "exchange": teams.exchange}
    ]
    assert channels(teams.mail, "worker") == [
        {
            "kind": "Subscription",
            "namespace": teams.mail,
            "name": "mailer",
            "role": "Consumer",
            "queues": [f"{teams.mail}.mailer"],
        }
    ]


ODD_KEYS = ["a+b", "100% ü", "#.x", "*.y", "p/q", "two words", "~", "a~b%2F", "€" * 85, "k" * 255]


def test_odd_routing_keys_are_bound_and_unbound_live(world: World) -> None:
    site = world.site()
    shop = site.namespace("shop")
    keys = [*ODD_KEYS, "plain"]
    site.cluster.apply(
        site.topic(shop, "odd", producers=[{"name": "app"}]),
        site.subscription(shop, "all", (shop, "odd"), consumers=[{"name": "app"}], filter={"routingKeys": keys}),
        site.user(shop, "app"),
    )
    site.cluster.wait_ready("Subscription", shop, "all")
    queue, exchange = f"{shop}.all", f"{shop}.odd"
    assert site.bound_to(queue) == {(exchange, key) for key in keys}
    with site.client(shop, "app") as app:
        for key in ("a+b", "100% ü", "p/q", "two words", "~", "a~b%2F", "€" * 85, "k" * 255, "deep.x", "one.y"):
            app.publish(exchange, key, key=key)
            assert app.receive(queue) == [key]
    site.cluster.patch("Subscription", shop, "all", {"spec": {"filter": {"routingKeys": ["plain"]}}})
    wait_until(lambda: site.bound_to(queue) == {(exchange, "plain")}, "only the plain key is bound")
    site.cluster.wait_ready("Subscription", shop, "all")
    with site.client(shop, "app") as app:
        assert {key: app.try_publish(exchange, key) for key in ODD_KEYS} == dict.fromkeys(ODD_KEYS, "UNROUTABLE")
        assert app.try_publish(exchange, "plain") is None


def test_a_filter_change_loses_no_message_that_both_filters_want(world: World) -> None:
    site = world.site()
    shop = site.namespace("shop")
    site.cluster.apply(
        site.topic(shop, "orders", producers=[{"name": "app"}]),
        site.subscription(
            shop, "all", (shop, "orders"), consumers=[{"name": "app"}], filter={"routingKeys": ["order.paid"]}
        ),
        site.user(shop, "app"),
    )
    site.cluster.wait_ready("Subscription", shop, "all")
    queue, sent = f"{shop}.all", 0
    with site.client(shop, "app") as app:

        def send() -> bool:
            nonlocal sent
            app.publish(f"{shop}.orders", str(sent), key="order.paid")  # raises where nothing is bound
            sent += 1
            return site.bound_to(queue) == {(f"{shop}.orders", "order.#")}

        site.cluster.patch("Subscription", shop, "all", {"spec": {"filter": {"routingKeys": ["order.#"]}}})
        wait_until(send, "the filter has changed")
        assert app.receive(queue, sent) == [str(number) for number in range(sent)]


def test_a_namespace_without_consent_gets_nothing_and_consent_taken_back_ends_it(world: World) -> None:
    site = world.site()
    shop, mail = site.namespace("shop"), site.namespace("mail")
    selector = {"from": "Selector", "selector": {"matchLabels": {"orders": "yes"}}}
    site.cluster.apply(
        site.topic(shop, "orders", producers=[{"name": "checkout"}], subscribers=selector),
        site.subscription(mail, "mailer", (shop, "orders"), consumers=[{"name": "worker"}]),
        site.user(shop, "checkout"),
        site.user(mail, "worker"),
    )
    site.cluster.wait_reason("Subscription", mail, "mailer", "RefNotPermitted")
    assert f"{mail}.mailer" not in site.native_queues()
    site.cluster.patch("Namespace", None, mail, {"metadata": {"labels": {"orders": "yes"}}})
    site.cluster.wait_ready("Subscription", mail, "mailer")
    queue, exchange = f"{mail}.mailer", f"{shop}.orders"
    with site.client(shop, "checkout") as sender:
        sender.publish(exchange, "kept")
        wait_until(lambda: site.native_queues()[queue].get("messages") == 1, "the message is in the queue")
        site.cluster.patch("Namespace", None, mail, {"metadata": {"labels": {"orders": None}}})
        wait_until(lambda: not site.bound_to(queue), "the queue is not bound any more")
        site.cluster.wait_reason("Subscription", mail, "mailer", "RefNotPermitted")
        assert sender.try_publish(exchange) == "UNROUTABLE"
    with site.client(mail, "worker") as reader:
        assert reader.try_get(queue) == "ACCESS_REFUSED"
    assert site.native_queues()[queue]["messages"] == 1
    site.cluster.patch("Namespace", None, mail, {"metadata": {"labels": {"orders": "yes"}}})
    site.cluster.wait_ready("Subscription", mail, "mailer")
    with site.client(mail, "worker") as reader:
        assert reader.receive(queue) == ["kept"]


@pytest.mark.parametrize("first", ["Topic", "Subscription"])
def test_topic_and_subscription_may_go_in_either_order(world: World, first: str) -> None:
    site = world.site(spec={"defaults": {"deletionPolicy": "Delete"}})
    shop, mail = site.namespace("shop"), site.namespace("mail")
    site.cluster.apply(site.topic(shop, "orders", subscribers=ALL), site.subscription(mail, "mailer", (shop, "orders")))
    site.cluster.wait_ready("Subscription", mail, "mailer")
    topic, subscription = ("Topic", shop, "orders"), ("Subscription", mail, "mailer")
    one, other = (topic, subscription) if first == "Topic" else (subscription, topic)
    site.cluster.delete(*one)
    if first == "Topic":
        found = site.cluster.wait_reason(*topic, "Deleting")
        assert f"Subscription {mail}/mailer" in json.dumps(found["status"]["conditions"])
    else:
        site.cluster.wait_gone(*one)
    site.cluster.delete(*other)
    site.cluster.wait_gone(*one)
    site.cluster.wait_gone(*other)
    assert site.native_queues() == {}
    assert f"{shop}.orders" not in {one["name"] for one in site.rabbit("GET", "/api/exchanges/{vhost}")}


RETYPED = {
    "the exchange of a Topic": ("Topic", "events", "topic", "events", "direct"),
    "the entry of a Queue": ("Queue", "orders", "fanout", "orders_in", "topic"),
    "the way of its dead letters": ("Queue", "orders", "fanout", "orders_dlx", "headers"),
}


@pytest.mark.parametrize("what", RETYPED)
def test_an_exchange_made_again_by_hand_with_another_type_is_named_and_left_until_it_goes(
    world: World, what: str
) -> None:
    """RabbitMQ cannot change a type, and what hangs on the exchange may be somebody's by now."""
    kind, name, own, exchange, other = RETYPED[what]
    site = world.site()
    shop, both = site.namespace("shop"), {"producers": [{"name": "app"}], "consumers": [{"name": "app"}]}
    site.cluster.apply(
        site.user(shop, "app"),
        site.topic(shop, "events", producers=[{"name": "app"}]),
        site.subscription(shop, "mails", (shop, "events"), consumers=[{"name": "app"}]),
        site.queue(shop, "orders", deadLetter={}, **both),
    )
    whole = [("Topic", "events"), ("Subscription", "mails"), ("Queue", "orders"), ("BrokerUser", "app")]
    for one in whole:
        site.cluster.wait_ready(one[0], shop, one[1])
    with site.client(shop, "app") as app:
        app.publish(f"{shop}.events", "an event", key="order.paid")
        app.publish(f"{shop}.orders_in", "an order")
    native = f"{shop}.{exchange}"
    site.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{native}")
    site.rabbit("PUT", f"/api/exchanges/{{vhost}}/{native}", {"type": other, "durable": True})
    world.look(site)
    found = site.cluster.wait_reason(kind, shop, name, "ImmutableOnBroker")
    text = (
        f"Exchange {native} differs from the manifest and the broker cannot change it in place: type {other} → {own}."
    )
    stalled = condition(found, "Stalled")
    assert stalled is not None
    assert text in stalled["message"]
    assert site.rabbit("GET", f"/api/exchanges/{{vhost}}/{native}")["type"] == other

    # As the message says: deleted at the broker, it is made anew, and everything is bound again.
    site.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{native}")
    world.look(site)
    for one in whole:
        site.cluster.wait_ready(one[0], shop, one[1])
    assert site.rabbit("GET", f"/api/exchanges/{{vhost}}/{native}")["type"] == own
    with site.client(shop, "app") as app:
        app.publish(f"{shop}.events", "another event", key="order.paid")
        app.publish(f"{shop}.orders_in", "another order")
        assert app.receive(f"{shop}.mails", 2) == ["an event", "another event"]
        assert app.receive(f"{shop}.orders", 2) == ["an order", "another order"]
    assert site.bound_to(f"{shop}.orders_dead") == {(f"{shop}.orders_dlx", "")}
