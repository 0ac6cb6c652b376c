"""The Subscription: a durable subscription to a Topic. Decides what its manifest may say, never what a broker makes."""

from enum import StrEnum
from typing import Annotated, ClassVar

from channel_operator.api.common import LocalRef, ObjectRef, Overflow
from channel_operator.api.delivery import DeadLetterStrategy, DeliverySpec, GroupProtocol, QueueRabbitMQ
from channel_operator.api.schema import IMMUTABLE, Fault, Model, Rule, Text, elements, model
from channel_operator.api.values import Timestamp

__all__ = ["Filter", "StartFrom", "StartPosition", "SubscriptionKafka", "SubscriptionSpec"]


class StartPosition(StrEnum):
    """Where a new subscription begins."""

    LATEST = "Latest"
    EARLIEST = "Earliest"
    TIMESTAMP = "Timestamp"


@model
class StartFrom(Model):
    """Where a new subscription begins. It counts once, when the subscription is made."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.position == 'Timestamp') == has(self.timestamp)",
            "timestamp goes with position: Timestamp, and with nothing else",
            field=".timestamp",
            holds=lambda self: (self.position is StartPosition.TIMESTAMP) == (self.timestamp is not None),
        ),
    )

    position: Annotated[StartPosition, IMMUTABLE] = StartPosition.LATEST
    """Latest: messages sent from now on. Earliest: everything that is kept. Timestamp: from that moment on. Cannot be
    changed."""
    timestamp: Annotated[Timestamp | None, IMMUTABLE] = None
    """The moment to begin at, for instance 2030-01-31T12:00:00Z; exactly with `position: Timestamp`. Cannot be
    changed."""


@model
class Filter(Model):
    """Which of the topic's messages are wanted."""

    routing_keys: Annotated[tuple[Annotated[str, Text(max_length=255)], ...], elements("set", at_most=64)] = ()
    """Patterns of routing keys: words separated by dots, * for one word, # for any number, for instance order.*.paid.
    Default: # (everything). RabbitMQ with storage FanOut only."""


@model
class SubscriptionKafka(Model):
    """What only Kafka knows."""

    group_protocol: Annotated[GroupProtocol, IMMUTABLE] = GroupProtocol.CLASSIC
    """Classic: a consumer group, each partition read by one consumer. Share (preview): a share group, consumers take
    single messages as from a queue. Cannot be changed."""


@model
class SubscriptionSpec(DeliverySpec):
    """Which topic is subscribed to, how its messages are delivered and who may receive them."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.limits) || !has(self.limits.overflow) || self.limits.overflow != 'RejectNew'",
            "a subscription cannot refuse messages: that would refuse the topic's publishers; use DropOldest",
            field=".limits.overflow",
            fault=Fault.FORBIDDEN,
            holds=lambda self: self.limits is None or self.limits.overflow is not Overflow.REJECT_NEW,
        ),
        Rule(
            "!has(self.deadLetter) || self.deadLetter.strategy != 'AtLeastOnce'",
            "a subscription cannot use AtLeastOnce: a full queue would refuse the topic's publishers; use AtMostOnce",
            field=".deadLetter.strategy",
            fault=Fault.FORBIDDEN,
            holds=lambda self: (
                self.dead_letter is None or self.dead_letter.strategy is not DeadLetterStrategy.AT_LEAST_ONCE
            ),
        ),
    )

    topic_ref: Annotated[ObjectRef, IMMUTABLE]
    """The Topic to subscribe to; its owner must admit this namespace. Cannot be changed."""
    start_from: StartFrom = StartFrom()
    """Where the subscription begins. Default: messages sent from now on."""
    filter: Filter | None = None
    """Which messages are wanted. Default: all."""
    consumers: Annotated[tuple[LocalRef, ...], elements("atomic", at_most=256)] = ()
    """BrokerUsers of this namespace that may receive. Whoever is taken off the list loses access."""
    rabbitmq: QueueRabbitMQ | None = None
    """What only RabbitMQ knows; refused on any other broker."""
    kafka: SubscriptionKafka | None = None
    """What only Kafka knows; refused on any other broker."""
