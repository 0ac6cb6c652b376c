"""What Subscriptions cannot do to a Topic's owner, and what of them is no deletion of messages to the brake."""

from collections.abc import Mapping
from typing import Any

from channel_operator.api.meta import FINALIZER
from channel_operator.brokers.rabbitmq.resources import CONSISTENT_HASH, TOPIC, Exchange, queue_id
from channel_operator.core.model import Key
from tests.engine.world import MAIN, World, world

ALL: Mapping[str, Any] = {"from": "All"}
ADMITTED = {"channels": "yes"}


def brake(w: World) -> dict[str, Any]:
    """Return what the Broker shows of its brake."""
    found: dict[str, Any] = w.kube.status(MAIN).get("brake") or {}
    return found


async def subscriptions(w: World, count: int, **fields: Any) -> list[Key]:
    """Return Subscriptions to one Topic, on a Broker with a brake that lets one deletion pass, in a system at rest."""
    w.make_broker(brake={"maxDeletions": 1, "maxRevocations": 1})
    w.make_topic("orders", subscribers=ALL)
    made = [w.make_subscription(f"s{n}", filter={"routingKeys": ["a", "b"]}, **fields) for n in range(count)]
    await w.start()
    await w.advance(10)
    assert w.ready(*made)
    return made


async def test_routing_keys_taken_off_many_subscriptions_are_no_matter_of_the_brake() -> None:
    async with world() as w:
        made = await subscriptions(w, 4)
        for key in made:
            w.kube.edit(key, filter={"routingKeys": ["a"]})
        await w.settle()
        assert w.ready(*made)
        assert all(w.bindings(f"billing.{key.name}") == {("shop.orders", "a")} for key in made)
        assert not brake(w).get("engaged")
        assert "DriftCorrected" not in w.kube.told()


async def test_many_subscriptions_that_keep_their_messages_go_without_a_person() -> None:
    async with world() as w:
        made = await subscriptions(w, 4)
        for key in made:
            w.kube.delete(key)
        await w.settle()
        assert not brake(w).get("engaged")
        assert not any(key in w.kube.objects for key in made)
        assert not any(w.bindings(f"billing.{key.name}") for key in made)
        assert {f"billing.{key.name}" for key in made} <= w.names("Queue")


async def test_a_routing_key_goes_at_once_while_the_dead_letters_of_the_same_edit_stay() -> None:
    async with world() as w:
        made = await subscriptions(w, 3, deadLetter={}, deletionPolicy="Delete")
        for key in made:
            w.broker.messages[queue_id(f"billing.{key.name}_dead")] = 1
            w.kube.edit(key, filter={"routingKeys": ["a"]}, deadLetter=None)
        await w.settle()
        assert not brake(w).get("engaged")
        assert all(w.bindings(f"billing.{key.name}") == {("shop.orders", "a")} for key in made)
        assert all(f"billing.{key.name}_dead" in w.names("Queue") for key in made)


async def test_nobody_that_the_broker_does_not_admit_keeps_a_topic_from_going() -> None:
    async with world() as w:
        w.kube.namespace("shop", ADMITTED)
        w.kube.namespace("elsewhere")
        w.make_broker(allowedNamespaces={"from": "Selector", "selector": {"matchLabels": ADMITTED}})
        topic = w.make_topic("orders", subscribers=ALL, deletionPolicy="Delete")
        await w.start()
        stranger = w.make_subscription("mailer", "elsewhere")
        w.kube.objects[stranger]["metadata"]["finalizers"] = [FINALIZER]
        w.kube.annotate(stranger, reconcile_at="1")
        await w.advance(100)
        w.kube.delete(topic)
        await w.settle()
        assert topic not in w.kube.objects
        assert "shop.orders" not in w.names("Exchange")


async def test_a_broker_that_shuts_a_subscriber_out_lets_the_topic_go() -> None:
    async with world() as w:
        for namespace in ("shop", "billing"):
            w.kube.namespace(namespace, ADMITTED)
        w.make_broker(allowedNamespaces={"from": "Selector", "selector": {"matchLabels": ADMITTED}})
        topic = w.make_topic("orders", subscribers=ALL, deletionPolicy="Delete")
        subscription = w.make_subscription("mailer")
        await w.start()
        assert w.ready(topic, subscription)
        w.kube.delete(topic)
        await w.advance(10)
        assert "Subscription billing/mailer" in w.kube.message(topic)
        w.kube.namespace("billing")
        await w.advance(10)
        assert topic not in w.kube.objects
        assert "billing.mailer" in w.names("Queue")


async def test_a_withdrawn_consent_ends_the_flow_into_shards_even_where_the_manifest_cannot_be_read() -> None:
    async with world() as w:
        w.broker.features = frozenset({CONSISTENT_HASH})
        w.make_broker()
        topic = w.make_topic("orders", subscribers=ALL)
        subscription = w.make_subscription("mailer", ordering="PerKey", shards=2)
        await w.start()
        assert w.ready(subscription)
        w.kube.edit(subscription, messageTTL="soon")
        await w.settle()
        assert fed_by(w, "shop.orders") == {"billing.mailer_in"}
        w.kube.edit(topic, subscribers={"from": "Same"})
        await w.advance(10)
        assert fed_by(w, "shop.orders") == set()
        assert {"billing.mailer_0", "billing.mailer_1"} <= w.names("Queue")


def fed_by(w: World, exchange: str) -> set[str]:
    """Return what an exchange leads to."""
    return {rid.path[2] for rid in w.broker.resources if rid.kind == "Binding" and rid.path[0] == exchange}


async def test_nothing_is_bound_to_a_topic_that_is_only_observed_and_that_is_said() -> None:
    async with world() as w:
        w.make_broker()
        w.put(Exchange("shop.orders", TOPIC))
        topic = w.make_topic("orders", subscribers=ALL, managementPolicy="Observe")
        subscription = w.make_subscription("mailer")
        await w.start()
        await w.advance(10)
        assert w.kube.condition(subscription) == ("Unknown", "RefNotReady")
        assert w.kube.message(subscription) == (
            "Topic shop/orders is only observed (managementPolicy: Observe), so nothing is attached to it."
        )
        assert fed_by(w, "shop.orders") == set()
        w.kube.edit(topic, managementPolicy=None)
        await w.advance(10)
        assert w.ready(topic, subscription)
