"""What this version does not do: refused by name, with the field and what to do, and nothing is made of it."""

from pathlib import Path
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from tests.e2e.saying import says
from tests.harness.site import Site
from tests.harness.world import World
from tests.lab.rabbitmq import RabbitMQ

UNSUPPORTED_ON_A_QUEUE: dict[str, tuple[dict[str, Any], str]] = {
    "priorities": (
        {"rabbitmq": {"maxPriority": 5}},
        "spec.rabbitmq.maxPriority: quorum queues have built-in priorities and take no maximum; remove it",
    ),
    "settings of Kafka": (
        {"kafka": {"partitions": 3}},
        "spec.kafka: the Broker is RabbitMQ {version}, which knows none of these settings; remove it",
    ),
    "a time to live that RabbitMQ refuses": (
        {"messageTTL": "99999h"},
        (
            "spec.messageTTL: RabbitMQ {version} takes at most 87600h (ten years); state less, or remove the field to "
            "keep messages for ever"
        ),
    ),
}


@pytest.fixture(scope="module")
def shared(world: World) -> Site:
    """Make one Broker for the tests that write nothing to it."""
    return world.site()


@pytest.mark.parametrize("what", UNSUPPORTED_ON_A_QUEUE)
def test_a_queue_that_asks_for_what_is_not_there_is_told_which_field(shared: Site, what: str) -> None:
    shop = shared.namespace("shop")
    spec, message = UNSUPPORTED_ON_A_QUEUE[what]
    shared.cluster.apply(shared.queue(shop, "orders", **spec))
    message = message.format(version=shared.rabbitmq.version)
    says(shared, "Queue", shop, "orders", Reason.UNSUPPORTED_BY_BROKER, message, on="Accepted")
    assert not [name for name in shared.native_queues() if name.startswith(shop)]


UNSUPPORTED_ON_A_LOG: dict[str, tuple[dict[str, Any], Reason, str]] = {
    "a filter": (
        {"filter": {"routingKeys": ["order.paid"]}},
        Reason.FILTERS_UNSUPPORTED,
        (
            "spec.filter: the topic has storage Log, whose stream goes whole to everyone who reads it; remove it, and "
            "split the Topic by event type instead"
        ),
    ),
    "what only the client can do": (
        {"startFrom": {"position": "Earliest"}, "requireBrokerEnforcement": True},
        Reason.CLIENT_ENFORCED,
        (
            'spec.startFrom: the consumer states its offset itself: x-stream-offset "first" over AMQP; remove the '
            "field, or set spec.requireBrokerEnforcement to false"
        ),
    ),
}


@pytest.mark.parametrize("what", UNSUPPORTED_ON_A_LOG)
def test_a_reader_of_a_log_that_asks_for_what_is_not_there_is_told_which_field(shared: Site, what: str) -> None:
    shop = shared.namespace("shop")
    spec, reason, message = UNSUPPORTED_ON_A_LOG[what]
    shared.cluster.apply(
        shared.topic(shop, "log", storage="Log"), shared.subscription(shop, "reader", (shop, "log"), **spec)
    )
    shared.cluster.wait_ready("Topic", shop, "log")
    says(shared, "Subscription", shop, "reader", reason, message, on="Accepted")


def test_a_broker_version_without_delayed_retry_is_named(world: World, tmp_path: Path) -> None:
    older = RabbitMQ(tmp_path / "previous", world.lab.ca, version="previous")
    older.start()
    try:
        site = Site(world.cluster, older).start()
        shop = site.namespace("shop")
        retry = {"maxDeliveries": 5, "backoff": {"initial": "1s", "max": "1m"}}
        site.cluster.apply(site.queue(shop, "orders", retry=retry))
        says(
            site,
            "Queue",
            shop,
            "orders",
            Reason.BROKER_VERSION_TOO_OLD,
            f"spec.retry.backoff: RabbitMQ {older.version} cannot delay a retry, which came with 4.3; "
            "upgrade the broker, or remove the field",
            on="Accepted",
        )
        site.cluster.apply(site.queue(shop, "orders", retry={"maxDeliveries": 5}))
        site.cluster.wait_ready("Queue", shop, "orders")
    finally:
        older.stop()
