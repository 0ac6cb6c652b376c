"""The Queue: a point-to-point channel. Decides what its manifest may say, never what a broker makes of it."""

from typing import Annotated, ClassVar

from channel_operator.api.common import ObjectRef, ObjectRefs, Overflow
from channel_operator.api.delivery import DeadLetterStrategy, DeliverySpec, GroupProtocol, Ordering, QueueRabbitMQ
from channel_operator.api.kafka import GROWTH, GrowFrom, GrowingPartitions, KafkaSettings
from channel_operator.api.schema import IMMUTABLE, Fault, Rule, model

__all__ = ["QueueKafka", "QueueSpec"]


@model
class QueueKafka(KafkaSettings):
    """What only Kafka knows."""

    RULES: ClassVar[tuple[Rule, ...]] = GROWTH

    group_protocol: Annotated[GroupProtocol, IMMUTABLE] = GroupProtocol.CLASSIC
    """Classic: a consumer group, each partition read by one consumer. Share (preview): a share group, consumers take
    single messages as from a queue. Cannot be changed."""
    partitions: GrowingPartitions = None
    """Number of partitions of the topic. Default: the Broker's, or what `ordering` demands. Never lowered; to raise
    it, set growFrom as well."""
    grow_from: GrowFrom = None
    """The present number of partitions: confirms that `partitions` is meant to grow from it."""


@model
class QueueSpec(DeliverySpec):
    """What the queue should be and who may use it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.deadLetter) || self.deadLetter.strategy != 'AtLeastOnce' || !has(self.limits) || "
            "!has(self.limits.overflow) || self.limits.overflow != 'DropOldest'",
            "DropOldest contradicts deadLetter.strategy: AtLeastOnce, which needs RejectNew; remove one of the two",
            field=".limits.overflow",
            fault=Fault.FORBIDDEN,
            holds=lambda self: (
                self.dead_letter is None
                or self.dead_letter.strategy is not DeadLetterStrategy.AT_LEAST_ONCE
                or self.limits is None
                or self.limits.overflow is not Overflow.DROP_OLDEST
            ),
        ),
        Rule(
            "self.ordering != 'PerKey' || has(self.shards)",
            "ordering: PerKey needs shards, the number of parts that work side by side",
            field=".shards",
            fault=Fault.REQUIRED,
            holds=lambda self: self.ordering is not Ordering.PER_KEY or self.shards is not None,
        ),
        Rule(
            "self.ordering != 'PerKey' || !has(self.kafka) || !has(self.kafka.partitions)",
            "with ordering: PerKey the number of partitions is spec.shards; remove kafka.partitions",
            field=".kafka.partitions",
            fault=Fault.FORBIDDEN,
            holds=lambda self: (
                self.ordering is not Ordering.PER_KEY or self.kafka is None or self.kafka.partitions is None
            ),
        ),
        Rule(
            "self.ordering != 'Strict' || !has(self.kafka) || !has(self.kafka.partitions) || "
            "self.kafka.partitions == 1",
            "ordering: Strict allows one partition only",
            field=".kafka.partitions",
            holds=lambda self: (
                self.ordering is not Ordering.STRICT or self.kafka is None or self.kafka.partitions in {None, 1}
            ),
        ),
    )

    ROOT_RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.?spec.?deadLetter.?queueRef.?name.orValue('') != self.metadata.name",
            "a queue cannot be its own dead-letter queue; name another Queue, or write deadLetter: {}",
            field=".spec.deadLetter.queueRef.name",
        ),
    )

    broker_ref: Annotated[ObjectRef, IMMUTABLE]
    """The Broker that holds this queue; its owner must admit this namespace. Cannot be changed."""
    producers: ObjectRefs = ()
    """BrokerUsers that may send to this queue, from any namespace. Whoever is taken off the list loses access."""
    consumers: ObjectRefs = ()
    """BrokerUsers that may receive from this queue, from any namespace. Whoever is taken off the list loses access."""
    rabbitmq: QueueRabbitMQ | None = None
    """What only RabbitMQ knows; refused on any other broker."""
    kafka: QueueKafka | None = None
    """What only Kafka knows; refused on any other broker."""
