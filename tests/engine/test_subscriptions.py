"""Topics and Subscriptions: any order, consent given and taken back, filters that change, Topics that move."""

import itertools

import pytest

from channel_operator.api.meta import Kind
from channel_operator.brokers.fake import FakeBroker
from channel_operator.brokers.rabbitmq.resources import Binding, Exchange, exchange_id
from tests.engine.kubestub import Write
from tests.engine.subscribed import ALL, FEED, STEPS, apply
from tests.engine.world import world


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS[:3])))
@pytest.mark.parametrize("pause", [False, True])
async def test_any_order_of_creation_ends_ready(order: tuple[str, ...], *, pause: bool) -> None:
    async with world() as w:
        await w.start()
        keys = {}
        for step in (*order, "producer", "consumer"):
            keys[step] = await apply(w, step)
            if pause:
                await w.settle()
        await w.settle()
        await w.advance(10)
        assert w.ready(*keys.values())
        assert w.bindings("billing.mailer") == FEED
        producer, consumer = w.permission("shop.checkout"), w.permission("billing.worker")
        assert (producer.write, producer.read) == ("^(?:shop\\.(?:orders))$", "^$")
        assert (consumer.write, consumer.read) == ("^$", "^(?:billing\\.(?:mailer))$")


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS[1:])))
async def test_topic_subscription_and_users_in_one_apply_cost_two_writes_each(order: tuple[str, ...]) -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        before = len(w.kube.writes)
        keys = [await apply(w, step) for step in order]
        await w.settle()
        assert w.ready(*keys)
        written = w.kube.writes[before:]
        for key in keys:
            assert sorted(write.verb for write in written if write.key == key and write.verb != "secret") == [
                "metadata",
                "status",
            ]


async def test_a_subscription_shows_where_it_is_and_what_it_takes() -> None:
    async with world() as w:
        keys = [await apply(w, step) for step in STEPS]
        await w.start()
        status = w.kube.status(keys[2])
        assert status["broker"] == "messaging/main"
        assert status["address"] == {
            "name": "billing.mailer",
            "rabbitmq": {"vhost": "/", "exchange": "shop.orders", "queues": ["billing.mailer"]},
        }
        assert status["effective"]["routingKeys"] == ["#"]
        assert w.kube.status(keys[1])["address"] == {
            "name": "shop.orders",
            "rabbitmq": {"vhost": "/", "exchange": "shop.orders"},
        }


async def test_a_filter_changes_by_bindings_and_the_new_come_before_the_old_go() -> None:
    async with world() as w:
        await apply(w, "broker")
        await apply(w, "topic")
        key = w.make_subscription("mailer", filter={"routingKeys": ["order.paid", "order.sent"]})
        await w.start()
        assert w.bindings("billing.mailer") == {("shop.orders", "order.paid"), ("shop.orders", "order.sent")}
        before = len(w.broker.writes)
        w.kube.edit(key, filter={"routingKeys": ["order.sent", "order.*.late"]})
        await w.settle()
        assert w.bindings("billing.mailer") == {("shop.orders", "order.sent"), ("shop.orders", "order.*.late")}
        assert [(str(c.action), c.id.path[3]) for c in w.broker.writes[before:]] == [
            ("create", "order.*.late"),
            ("delete", "order.paid"),
        ]
        assert w.kube.status(key)["effective"]["routingKeys"] == ["order.sent", "order.*.late"]


async def test_a_filter_edited_while_the_operator_was_away_leaves_no_old_binding_even_on_an_adopted_queue() -> None:
    async with world() as w:
        await apply(w, "broker")
        await apply(w, "topic")
        key = w.make_subscription("mailer", filter={"routingKeys": ["a"]})
        await w.start()
        w.kube.annotate(key, owned="adopted:fake-1")
        await w.settle()
        await w.crash()
        w.kube.edit(key, filter={"routingKeys": ["b"]})
        await w.start()
        assert w.bindings("billing.mailer") == {("shop.orders", "b")}


async def test_a_filter_edited_with_hands_off_leaves_no_old_binding_once_they_are_on_again() -> None:
    async with world() as w:
        await apply(w, "broker")
        await apply(w, "topic")
        key = w.make_subscription("mailer", filter={"routingKeys": ["a", "b"]})
        await w.start()
        w.kube.annotate(key, reconcile="Disabled")
        await w.settle()
        w.kube.edit(key, filter={"routingKeys": ["b"]})
        await w.advance(10)
        w.kube.annotate(key, reconcile=None)
        await w.advance(10)
        assert w.ready(key)
        assert w.bindings("billing.mailer") == {("shop.orders", "b")}


async def test_two_edits_in_a_row_with_a_failure_between_leave_no_binding_behind() -> None:
    async with world() as w:
        await apply(w, "broker")
        await apply(w, "topic")
        key = w.make_subscription("mailer", filter={"routingKeys": ["a"]})
        await w.start()
        w.kube.away = True  # the status cannot be written
        w.kube.edit(key, filter={"routingKeys": ["b"]})
        await w.settle()
        w.broker.writes_left = 0
        w.kube.edit(key, filter={"routingKeys": ["c"]})
        await w.settle()
        w.kube.away = w.broker.unreachable = False
        w.broker.writes_left = None
        await w.advance(400, step=5.0)
        assert w.bindings("billing.mailer") == {("shop.orders", "c")}


async def test_without_consent_nothing_is_made_and_consent_lets_it_begin() -> None:
    async with world() as w:
        await apply(w, "broker")
        topic = w.make_topic("orders")
        key = await apply(w, "subscription")
        await w.start()
        assert w.kube.condition(key, "ResolvedRefs") == ("Unknown", "RefNotPermitted")
        await w.advance(120)
        assert w.kube.condition(key, "ResolvedRefs") == ("False", "RefNotPermitted")
        assert "billing.mailer" not in w.names("Queue")
        w.kube.edit(topic, subscribers=ALL)
        await w.settle()
        assert w.ready(key)
        assert w.bindings("billing.mailer") == FEED


@pytest.mark.parametrize("how", ["narrowed", "label"])
async def test_consent_taken_back_ends_flow_and_access_and_keeps_the_messages(how: str) -> None:
    async with world() as w:
        await apply(w, "broker")
        w.kube.namespace("billing", labels={"team": "money"})
        selector = {"from": "Selector", "selector": {"matchLabels": {"team": "money"}}}
        topic = w.make_topic("orders", subscribers=selector)
        key, _ = await apply(w, "subscription"), await apply(w, "consumer")
        await w.start()
        assert w.bindings("billing.mailer") == FEED
        if how == "narrowed":
            w.kube.edit(topic, subscribers={"from": "Same"})
        else:
            w.kube.namespace("billing", labels={"team": "other"})
        await w.settle()
        assert w.bindings("billing.mailer") == set()
        assert "billing.mailer" in w.names("Queue")
        found = w.permission("billing.worker")
        assert found.read == "^$"
        assert w.kube.condition(key, "Ready") == ("False", "RefNotPermitted")
        w.kube.namespace("billing", labels={"team": "money"})
        w.kube.edit(topic, subscribers=selector)
        await w.settle()
        assert w.ready(key)
        assert w.bindings("billing.mailer") == FEED


async def test_a_missing_topic_is_told_together_with_a_mistake_in_the_manifest() -> None:
    async with world() as w:
        await apply(w, "broker")
        key = w.make_subscription("mailer", messageTTL="soon")
        await w.start()
        await w.advance(1)
        assert w.kube.condition(key, "ResolvedRefs") == ("Unknown", "RefNotFound")
        assert w.kube.condition(key, "Accepted") == ("False", "InvalidSpec")


async def test_a_subscription_whose_topic_moves_stays_where_its_messages_are_and_says_what_to_do() -> None:
    async with world() as w:
        await apply(w, "broker")
        w.make_broker("other", url="https://elsewhere:15671")
        w.brokers["https://elsewhere:15671"] = FakeBroker(identity="fake-2")
        topic, key = await apply(w, "topic"), await apply(w, "subscription")
        await w.start()
        w.kube.delete(topic)
        await w.settle()
        moved = {"brokerRef": {"name": "other", "namespace": "messaging"}, "subscribers": ALL}
        w.kube.apply(Kind.TOPIC, "shop", "orders", moved)
        await w.settle()
        assert w.kube.condition(key, "ResolvedRefs") == ("False", "RefNotReady")
        assert "messaging/other now" in w.kube.message(key, "ResolvedRefs")
        assert w.kube.status(key)["broker"] == "messaging/main"
        await w.restart()
        assert w.kube.status(key)["broker"] == "messaging/main"
        w.kube.delete(key)
        await w.settle()
        assert key not in w.kube.objects
        key = await apply(w, "subscription")
        await w.settle()
        assert w.ready(key)
        assert w.kube.status(key)["broker"] == "messaging/other"


async def test_a_topic_that_may_not_be_taken_over_gives_its_subscriptions_nothing() -> None:
    async with world() as w:
        await apply(w, "broker")
        await w.start()
        w.put(Exchange("shop.orders", "fanout"))
        topic, key = await apply(w, "topic"), await apply(w, "subscription")
        await w.settle()
        assert w.kube.condition(topic, "Programmed") == ("False", "AdoptionRefused")
        assert w.bindings("billing.mailer") == set()
        assert w.kube.condition(key, "ResolvedRefs") == ("Unknown", "RefNotReady")
        assert "Topic shop/orders is not on Broker messaging/main (yet)" in w.kube.message(key, "ResolvedRefs")
        w.take(exchange_id("shop.orders"))
        await w.advance(400, step=5.0)
        assert w.ready(topic, key)
        assert w.bindings("billing.mailer") == FEED


async def test_a_broken_subscription_keeps_its_bindings_across_a_restart() -> None:
    async with world() as w:
        await apply(w, "broker")
        await apply(w, "topic")
        key = w.make_subscription("mailer", filter={"routingKeys": ["order.#"]})
        await w.start()
        w.kube.edit(key, messageTTL="soon", filter={"routingKeys": 5})
        await w.settle()
        await w.restart()
        await w.advance(700, step=5.0)
        assert w.bindings("billing.mailer") == {("shop.orders", "order.#")}


async def test_what_others_bind_to_a_topic_or_a_subscription_goes() -> None:
    async with world() as w:
        for step in STEPS:
            await apply(w, step)
        await w.start()
        w.put(Binding("shop.orders", "spy"))
        w.put(Binding("amq.topic", "billing.mailer"))
        w.put(Binding("shop.orders", "billing.mailer", routing_key="extra.#"))
        await w.advance(700, step=5.0)
        assert w.bindings("spy") == set()
        assert w.bindings("billing.mailer") == FEED


async def test_a_quiet_system_writes_nothing() -> None:
    async with world() as w:
        for step in STEPS:
            await apply(w, step)
        await w.start()
        await w.advance(10)
        kube, broker = len(w.kube.writes), len(w.broker.writes)
        await w.advance(1000, step=5.0)
        await w.restart()
        assert w.kube.writes[kube:] == list[Write]()
        assert w.broker.writes[broker:] == []
