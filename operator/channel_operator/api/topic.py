"""The Topic: a publish-subscribe channel. Decides what its manifest may say, never what a broker makes of it."""

from enum import StrEnum
from typing import Annotated, ClassVar

from channel_operator.api.common import ChannelSpec, NamespaceConsent, ObjectRef, ObjectRefs
from channel_operator.api.kafka import GROWTH, GrowFrom, GrowingPartitions, KafkaSettings
from channel_operator.api.schema import IMMUTABLE, Model, Rule, model, mutable
from channel_operator.api.values import Duration, Flag, Quantity, Replicas

__all__ = ["Compaction", "Retention", "Storage", "TopicKafka", "TopicRabbitMQ", "TopicSpec"]


class Storage(StrEnum):
    """What a topic does with a message."""

    FAN_OUT = "FanOut"
    LOG = "Log"


class Compaction(StrEnum):
    """Whether a log forgets what newer messages replace."""

    NONE = "None"
    KEEP_LATEST = "KeepLatest"


@model
class Retention(Model):
    """How long a log keeps messages; what is reached first counts."""

    time: Duration | None = None
    """Age at which messages go, for instance 168h."""
    bytes: Quantity | None = None
    """Size at which the oldest messages go, over all partitions, for instance 20Gi."""


@model
class TopicRabbitMQ(Model):
    """What only RabbitMQ knows."""

    stream_producers: Flag = False
    """true: producers may also publish by the stream protocol. That needs write on the stream itself, the same name
    they may read. Only with storage Log."""


@model
class TopicKafka(KafkaSettings):
    """What only Kafka knows."""


@model
class TopicSpec(ChannelSpec):
    """What the topic should be, who may publish and who may subscribe."""

    RULES: ClassVar[tuple[Rule, ...]] = GROWTH

    broker_ref: Annotated[ObjectRef, IMMUTABLE]
    """The Broker that holds this topic; its owner must admit this namespace. Cannot be changed."""
    storage: Annotated[Storage | None, IMMUTABLE] = None
    """FanOut: a message goes to the Subscriptions that exist and is not kept. Log: messages are kept for `retention`
    and can be read again. Default: FanOut on RabbitMQ, Log on Kafka. Cannot be changed."""
    partitions: GrowingPartitions = None
    """Number of partitions of a log. Default: the Broker's on Kafka, 1 on RabbitMQ. Never lowered; to raise it (on
    Kafka), set growFrom as well."""
    grow_from: GrowFrom = None
    """The present number of partitions: confirms that `partitions` is meant to grow from it."""
    retention: Retention | None = None
    """How long a log keeps messages. Default: the broker's own."""
    compaction: Compaction = Compaction.NONE
    """None: messages go by `retention`. KeepLatest: of each key the latest message is kept (Kafka)."""
    replicas: Annotated[Replicas | None, mutable("not on RabbitMQ")] = None
    """On how many nodes a log is kept. Default: the Broker's. Cannot be changed on RabbitMQ."""
    producers: ObjectRefs = ()
    """BrokerUsers that may publish, from any namespace. Whoever is taken off the list loses access."""
    subscribers: NamespaceConsent = NamespaceConsent()
    """Which namespaces may have Subscriptions to this topic. Narrowing it ends theirs."""
    rabbitmq: TopicRabbitMQ | None = None
    """What only RabbitMQ knows; refused on any other broker."""
    kafka: TopicKafka | None = None
    """What only Kafka knows; refused on any other broker."""
