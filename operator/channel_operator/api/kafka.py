"""What several kinds can say to Kafka: configuration and the growth of partitions. Never reaches a broker."""

from typing import Annotated, ClassVar, Final

from channel_operator.api.schema import Fault, Model, Rule, Text, elements, model, mutable
from channel_operator.api.values import KafkaConfig, Partitions

__all__ = ["GROWTH", "GrowFrom", "GrowingPartitions", "KafkaSettings"]

GrowingPartitions = Annotated[Partitions | None, mutable("grows, with growFrom")]
GrowFrom = Partitions | None

GROWTH: Final = (
    Rule(
        "!has(oldSelf.partitions) || !has(self.partitions) || self.partitions >= oldSelf.partitions",
        "the number of partitions cannot be lowered",
        field=".partitions",
        fault=Fault.FORBIDDEN,
    ),
    Rule(
        "!has(oldSelf.partitions) || !has(self.partitions) || self.partitions <= oldSelf.partitions || "
        "self.?growFrom.orValue(0) == oldSelf.partitions",
        "more partitions change which messages stay in order; to confirm, set growFrom to the present number",
        field=".partitions",
        fault=Fault.FORBIDDEN,
    ),
)
"""For an object with `partitions` and `growFrom`. Growth from an unstated number is the operator's to check."""


@model
class KafkaSettings(Model):
    """What only Kafka knows."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.config) || !has(self.resetConfig) || self.resetConfig.all(k, !(k in self.config))",
            "a key cannot be both set in config and reset in resetConfig",
            field=".resetConfig",
            holds=lambda self: not set(self.config or ()) & set(self.reset_config),
        ),
    )

    config: KafkaConfig | None = None
    """Topic configuration by Kafka's own keys, for instance `max.message.bytes: "2097152"`. Only the keys listed here
    are managed; all others are left as they are."""
    reset_config: Annotated[tuple[Annotated[str, Text(max_length=200)], ...], elements("set", at_most=64)] = ()
    """Keys to hand back to the cluster's default."""
