"""Topics and Subscriptions that go, in either order: what is unbound, what stays, who waits for whom."""

import pytest

from channel_operator.api.meta import FINALIZER, OWNED
from channel_operator.brokers.rabbitmq.resources import queue_id
from tests.engine.subscribed import FEED, STEPS, apply
from tests.engine.world import world


@pytest.mark.parametrize("policy", ["Retain", "Delete", "DeleteIfEmpty"])
@pytest.mark.parametrize("messages", [0, 3])
@pytest.mark.parametrize("topic_gone", [False, True])
async def test_a_deleted_subscription_is_unbound_and_its_messages_go_by_its_policy(
    policy: str, messages: int, *, topic_gone: bool
) -> None:
    async with world() as w:
        await apply(w, "broker")
        topic = await apply(w, "topic")
        key = w.make_subscription("mailer", deletionPolicy=policy)
        await w.start()
        w.broker.messages[queue_id("billing.mailer")] = messages
        if topic_gone:
            w.kube.delete(topic)
            await w.settle()
            assert topic not in w.kube.objects
            await w.restart()
            assert w.kube.condition(key, "ResolvedRefs") == ("Unknown", "RefNotFound")
            assert w.bindings("billing.mailer") == FEED
        w.kube.delete(key)
        await w.settle()
        assert key not in w.kube.objects
        assert w.bindings("billing.mailer") == set()
        stays = policy == "Retain" or (policy == "DeleteIfEmpty" and messages)
        assert ("billing.mailer" in w.names("Queue")) == bool(stays)
        assert "shop.orders" in w.names("Exchange")


async def test_a_topic_that_would_be_deleted_waits_for_its_subscriptions_and_names_them() -> None:
    async with world() as w:
        keys = [await apply(w, step) for step in STEPS]
        topic, subscription = keys[1], keys[2]
        w.kube.edit(topic, deletionPolicy="Delete")
        await w.start()
        w.kube.delete(topic)
        await w.settle()
        assert "shop.orders" in w.names("Exchange")
        assert w.kube.condition(topic, "Ready") == ("Unknown", "Deleting")
        assert "Subscription billing/mailer" in w.kube.message(topic, "Ready")
        producer = w.permission("shop.checkout")
        assert producer.write == "^$"
        w.kube.delete(subscription)
        await w.settle()
        assert topic not in w.kube.objects
        assert "shop.orders" not in w.names("Exchange")


async def test_a_subscription_that_is_not_admitted_holds_no_topic_back() -> None:
    async with world() as w:
        await apply(w, "broker")
        topic = w.make_topic("orders", deletionPolicy="Delete")
        w.make_subscription("intruder", annotations={OWNED: "created:fake-1"})
        await w.start()
        w.kube.delete(topic)
        await w.settle()
        assert topic not in w.kube.objects
        assert "shop.orders" not in w.names("Exchange")


async def test_a_deleted_subscription_that_no_broker_is_known_for_is_let_go() -> None:
    async with world() as w:
        key = w.make_subscription("mailer", annotations={OWNED: "created:gone"})
        w.kube.objects[key]["metadata"]["finalizers"] = [FINALIZER]
        await w.start()
        w.kube.delete(key)
        await w.advance(1)
        assert key not in w.kube.objects
        assert w.kube.told(key) == ["Orphaned"]
