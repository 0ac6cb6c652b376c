"""What RabbitMQ cannot do of a Subscription, and what honouring its fields means there.

Decides refusals and enforcement notes beyond those that a Queue has too (delivery_rules). Never builds an object.
"""

from collections.abc import Iterator
from typing import Final

from channel_operator.api.common import Overflow
from channel_operator.api.delivery import Ordering
from channel_operator.api.reasons import Reason
from channel_operator.api.subscription import StartPosition, SubscriptionSpec
from channel_operator.api.topic import TopicSpec
from channel_operator.brokers.rabbitmq.support import consumed_problems, enforcement, no_kafka
from channel_operator.core.accepted import Enforcement, ResolvedSubscription
from channel_operator.core.model import Capabilities, Problem

__all__ = ["reader_enforcement", "reader_problems", "subscription_enforcement", "subscription_problems"]

_LONGEST_KEY: Final = 255
"""Bytes of a routing key: AMQP 0-9-1 sends it as a short string."""


def subscription_problems(resolved: ResolvedSubscription, capabilities: Capabilities) -> tuple[Problem, ...]:
    """Return why this subscription cannot be had here; each field is judged by itself."""
    shared = consumed_problems(resolved.spec, resolved.stated, capabilities)
    return (*shared, *_of_its_own(resolved.spec))


def _of_its_own(spec: SubscriptionSpec) -> Iterator[Problem]:
    if spec.start_from.position is not StartPosition.LATEST:
        yield _unsupported(
            "spec.startFrom",
            "the topic has storage FanOut and keeps no messages, so a subscription begins with the next one; "
            "remove it, or use a Topic with storage: Log",
        )
    if spec.ordering is Ordering.PER_KEY and spec.shards is None:
        yield _unsupported("spec.shards", "PerKey needs the number of shards on RabbitMQ; state it")
    if spec.limits is not None and spec.limits.overflow is Overflow.REJECT_NEW:
        # In the manifest itself the API server refuses it.
        yield _unsupported(
            "spec.limits",
            "the Broker's spec.defaults.limits has overflow RejectNew, which would refuse the topic's publishers; "
            "state spec.limits with overflow: DropOldest",
        )
    for key in spec.filter.routing_keys if spec.filter is not None else ():
        if len(key.encode()) > _LONGEST_KEY:
            yield _unsupported(
                "spec.filter.routingKeys", f"{key[:20]}… is longer than {_LONGEST_KEY} bytes; shorten it"
            )


def _unsupported(field: str, text: str) -> Problem:
    return Problem(Reason.UNSUPPORTED_BY_BROKER, f"{field}: {text}", field=field)


def subscription_enforcement(resolved: ResolvedSubscription, capabilities: Capabilities) -> tuple[Enforcement, ...]:
    """Return who honours each field."""
    spec, target = resolved.spec, resolved.dead_letter
    dead = str(target.key) if target is not None else "the dead-letter queue" if spec.dead_letter is not None else None
    entries = list(enforcement(spec, capabilities, dead_letters_to=dead))
    if spec.filter is not None:
        text = "words between dots; * stands for one, # for any number; a message that fits several comes once"
        entries.append(Enforcement("spec.filter.routingKeys", "Broker", text))
    return tuple(entries)


_OF_QUEUES: Final = (
    ("retry", "spec.retry"),
    ("dead_letter", "spec.deadLetter"),
    ("message_ttl", "spec.messageTTL"),
    ("limits", "spec.limits"),
    ("ack_timeout", "spec.ackTimeout"),
    ("replicas", "spec.replicas"),
    ("rabbitmq", "spec.rabbitmq"),
)
"""Fields that need a queue of the subscription's own."""


def reader_problems(resolved: ResolvedSubscription, capabilities: Capabilities) -> tuple[Problem, ...]:
    """Return why this subscription to a log cannot be had here. Defaults of the Broker are for queues only."""
    stated = resolved.stated
    return (*_of_queues(stated), *_reader_ordering(resolved), *no_kafka(stated.kafka, capabilities))


def _of_queues(stated: SubscriptionSpec) -> Iterator[Problem]:
    if stated.filter is not None:
        text = (
            "spec.filter: the topic has storage Log, whose stream goes whole to everyone who reads it; remove it, and "
            "split the Topic by event type instead"
        )
        yield Problem(Reason.FILTERS_UNSUPPORTED, text, field="spec.filter")
    for name, field in _OF_QUEUES:
        if getattr(stated, name) is not None:
            text = "the topic has storage Log, and its stream is read by all in common; remove it"
            yield _unsupported(field, text)


def _reader_ordering(resolved: ResolvedSubscription) -> Iterator[Problem]:
    stated, topic = resolved.stated, resolved.topic.spec
    if stated.ordering is Ordering.PER_KEY:
        text = "PerKey is not for a topic with storage Log, whose partitions keep the order of a key; use None"
        yield _unsupported("spec.ordering", text)
    partitions = (topic.partitions if isinstance(topic, TopicSpec) else None) or 1
    if stated.ordering is Ordering.STRICT and partitions > 1:
        text = f"Strict needs a topic with one partition, and this one has {partitions}; use None"
        yield _unsupported("spec.ordering", text)


_OFFSETS: Final = {
    StartPosition.LATEST: '"next"',
    StartPosition.EARLIEST: '"first"',
    StartPosition.TIMESTAMP: "a timestamp",
}


def reader_enforcement(resolved: ResolvedSubscription) -> tuple[Enforcement, ...]:
    """Return who honours each field of a subscription to a log."""
    spec = resolved.spec
    position = spec.start_from.position
    text = f"the consumer states its offset itself: x-stream-offset {_OFFSETS[position]} over AMQP"
    if position is StartPosition.TIMESTAMP:
        text += f" ({spec.start_from.timestamp})"
    by = "Client"
    if position is StartPosition.LATEST:
        # Unless it states another, RabbitMQ lets a consumer begin with the next message.
        text, by = "where a consumer states no offset; it may state any", "Broker"
    entries = [Enforcement("spec.startFrom", by, text)]
    if spec.ordering is Ordering.STRICT:
        entries.append(Enforcement("spec.ordering", "Broker", "every consumer reads all messages in their order"))
    if spec.require_broker_enforcement:
        entries.append(Enforcement("spec.requireBrokerEnforcement", "Broker", "nothing is left to the client"))
    return tuple(entries)
