"""What holds for an object once every default is applied: the shape of `status.effective`.

Decides shape and bounds. A field the CRD does not know would be dropped by the API server without a word, so whatever
is reported as effective must have its place here.
"""

from typing import Annotated

from pydantic import WithJsonSchema

from channel_operator.api.schema import Model, Text, elements, model

__all__ = ["Effective", "EffectiveBackoff", "EffectiveDeadLetter", "EffectiveLimits", "EffectiveRetention"]

_Word = Annotated[str, Text(max_length=64, min_length=0)]
_Name = Annotated[str, Text(max_length=512, min_length=0)]
# Both as stated (512Mi) and as computed (268435456).
_Size = Annotated[
    int | str,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
]


@model
class EffectiveBackoff(Model):
    """Delay between tries."""

    initial: _Word | None = None
    """Delay before the second try."""
    max: _Word | None = None
    """Longest delay."""


@model
class EffectiveRetry(Model):
    """How often a message is tried."""

    max_deliveries: int | None = None
    """Deliveries in all."""
    backoff: EffectiveBackoff | None = None
    """Delay between tries."""


@model
class EffectiveDeadLetter(Model):
    """Where dead letters go."""

    name: _Name | None = None
    """Name of the dead-letter queue or topic on the broker."""
    strategy: _Word | None = None
    """AtMostOnce or AtLeastOnce."""


@model
class EffectiveLimits(Model):
    """How much a queue may hold."""

    max_messages: int | None = None
    """Most messages."""
    max_bytes: _Size | None = None
    """Most bytes."""
    overflow: _Word | None = None
    """DropOldest or RejectNew."""


@model
class EffectiveRetention(Model):
    """How long a log keeps messages."""

    time: _Word | None = None
    """Age."""
    bytes: _Size | None = None
    """Size over all partitions."""
    bytes_per_partition: _Size | None = None
    """Size of each partition."""


@model
class EffectiveRabbitMQ(Model):
    """What holds on RabbitMQ."""

    type: _Word | None = None
    """Quorum, Classic or Stream."""
    settings: _Word | None = None
    """Arguments or Policy."""
    max_priority: int | None = None
    """Highest message priority."""


@model
class EffectiveKafka(Model):
    """What holds on Kafka."""

    group_protocol: _Word | None = None
    """Classic or Share."""
    partitions: int | None = None
    """Number of partitions."""


@model
class Effective(Model):
    """What holds, defaults included."""

    management_policy: _Word | None = None
    """Full or Observe."""
    adoption_policy: _Word | None = None
    """IfCompatible, Never or AllowDataLoss."""
    deletion_policy: _Word | None = None
    """Retain, Delete or DeleteIfEmpty."""
    ordering: _Word | None = None
    """None, Strict or PerKey."""
    shards: int | None = None
    """Parts that work side by side."""
    storage: _Word | None = None
    """FanOut or Log."""
    partitions: int | None = None
    """Number of partitions."""
    replicas: int | None = None
    """Nodes on which messages are kept."""
    retry: EffectiveRetry | None = None
    """How often a message is tried."""
    dead_letter: EffectiveDeadLetter | None = None
    """Where dead letters go."""
    message_ttl: _Word | None = None
    """How long a message may wait."""
    ack_timeout: _Word | None = None
    """How long a consumer may take."""
    limits: EffectiveLimits | None = None
    """How much may wait."""
    retention: EffectiveRetention | None = None
    """How long a log keeps messages."""
    compaction: _Word | None = None
    """None or KeepLatest."""
    routing_keys: Annotated[tuple[_Name, ...], elements("atomic", at_most=64)] = ()
    """Which messages a subscription gets."""
    username: _Name | None = None
    """User name on the broker."""
    rabbitmq: EffectiveRabbitMQ | None = None
    """On RabbitMQ."""
    kafka: EffectiveKafka | None = None
    """On Kafka."""
