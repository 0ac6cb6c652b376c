"""How messages of a Queue or a Subscription reach their consumers: order, tries, dead letters, limits.

Decides the fields and rules that both kinds share. Never says which broker honours them.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from channel_operator.api.common import (
    ChannelSpec,
    Limits,
    LocalRef,
    ObjectRefs,
    QueueType,
    Retry,
    SettingsMode,
)
from channel_operator.api.schema import IMMUTABLE, Fault, Model, Rule, Text, model, mutable
from channel_operator.api.values import Count, Duration, Replicas

__all__ = [
    "DeadLetter",
    "DeadLetterStrategy",
    "DeliverySpec",
    "GroupProtocol",
    "Ordering",
    "OrderingKey",
    "QueueRabbitMQ",
]

CREATION = "at the broker's limits: see settings on RabbitMQ"


class Ordering(StrEnum):
    """What order consumers may rely on."""

    NONE = "None"
    STRICT = "Strict"
    PER_KEY = "PerKey"


class DeadLetterStrategy(StrEnum):
    """How safely a dead letter travels."""

    AT_MOST_ONCE = "AtMostOnce"
    AT_LEAST_ONCE = "AtLeastOnce"


class GroupProtocol(StrEnum):
    """How consumers of one group share the work on Kafka."""

    CLASSIC = "Classic"
    SHARE = "Share"


@model
class OrderingKey(Model):
    """What keeps messages together under ordering PerKey."""

    header: Annotated[str, Text(max_length=200)]
    """Name of the message header whose value is the key: messages with the same value stay in order."""


@model
class DeadLetter(Model):
    """Where messages go that cannot be delivered: after the last try, expired, or pushed out of a full queue."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.consumers) || size(self.consumers) == 0 || !has(self.queueRef)",
            "consumers are for this queue's own dead-letter queue; with queueRef, list them on that Queue",
            field=".consumers",
            fault=Fault.FORBIDDEN,
            holds=lambda self: not self.consumers or self.queue_ref is None,
        ),
    )

    queue_ref: LocalRef | None = None
    """A Queue of the same namespace that receives the dead letters. Default: a queue of its own, made by the
    operator, with the suffix _dead."""
    consumers: ObjectRefs = ()
    """BrokerUsers that may read this queue's own dead-letter queue."""
    strategy: Annotated[DeadLetterStrategy, mutable("new queues only")] = DeadLetterStrategy.AT_MOST_ONCE
    """AtMostOnce: fast; a dead letter can be lost when the broker fails at that moment. AtLeastOnce: the message is
    kept until the dead-letter queue has it; needs overflow RejectNew."""


@model
class QueueRabbitMQ(Model):
    """What only RabbitMQ knows."""

    type: Annotated[QueueType | None, IMMUTABLE] = None
    """Quorum: replicated, for messages that matter. Classic: on one node, for messages that may be lost.
    Default: the Broker's. Cannot be changed."""
    settings: Annotated[SettingsMode | None, IMMUTABLE] = None
    """Arguments: settings are part of the queue's declaration, fast at any number of queues; raising one later needs
    a new queue. Policy: the queue gets a policy of its own and every setting can change at any time. Default: the
    Broker's. Cannot be changed."""
    max_priority: Annotated[Annotated[Count, Field(ge=1, le=255)] | None, IMMUTABLE] = None
    """Highest message priority of a Classic queue. Cannot be changed."""


@model
class DeliverySpec(ChannelSpec):
    """What Queue and Subscription have in common."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.shards) || self.ordering == 'PerKey'",
            "shards go with ordering: PerKey only",
            field=".shards",
            fault=Fault.FORBIDDEN,
            holds=lambda self: self.shards is None or self.ordering is Ordering.PER_KEY,
        ),
        Rule(
            "!has(self.orderingKey) || self.ordering == 'PerKey'",
            "orderingKey goes with ordering: PerKey only",
            field=".orderingKey",
            fault=Fault.FORBIDDEN,
            holds=lambda self: self.ordering_key is None or self.ordering is Ordering.PER_KEY,
        ),
    )

    ordering: Annotated[Ordering, IMMUTABLE] = Ordering.NONE
    """None: consumers work side by side in any order. Strict: one consumer at a time, all messages in order. PerKey:
    messages with the same key stay in order, `shards` consumers work side by side. Cannot be changed."""
    shards: Annotated[Annotated[Count, Field(ge=2, le=256)] | None, IMMUTABLE] = None
    """With ordering PerKey: how many parts work side by side. Cannot be changed."""
    ordering_key: Annotated[OrderingKey | None, IMMUTABLE] = None
    """With ordering PerKey: what the key is. Default: the routing key on RabbitMQ, the message key on Kafka. Cannot
    be changed."""
    retry: Annotated[Retry | None, mutable(CREATION)] = None
    """How often and how fast a message is tried again when its consumer fails. Default: the Broker's, else without
    end."""
    dead_letter: DeadLetter | None = None
    """Keeps what cannot be delivered. `deadLetter: {}` makes a dead-letter queue for this one. Without it such
    messages are dropped."""
    message_ttl: Annotated[Duration | None, mutable(CREATION)] = None
    """How long a message may wait before it expires, for instance 24h. Default: for ever."""
    limits: Annotated[Limits | None, mutable(CREATION)] = None
    """How many messages or bytes the queue may hold, and what happens when it is full. Default: the Broker's, else
    without limit."""
    ack_timeout: Annotated[Duration | None, mutable(CREATION)] = None
    """How long a consumer may take to acknowledge a message before it is taken away. Default: the broker's own."""
    replicas: Annotated[Replicas | None, mutable("not on RabbitMQ")] = None
    """On how many nodes the messages are kept. Default: the Broker's. Cannot be changed on RabbitMQ."""
