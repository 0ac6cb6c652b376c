"""The native names of one channel on RabbitMQ. Decides how they derive from the main name, and nothing else."""

import re
from typing import Final, NamedTuple

from channel_operator.brokers.rabbitmq.resources import Binding, binding_id, exchange_id, queue_id
from channel_operator.core.model import ResourceId

__all__ = ["DEAD_SUFFIX", "ENTRY_SUFFIX", "SHARD_WEIGHT", "STAND_IN_SUFFIX", "ChannelNames", "main_of"]

ENTRY_SUFFIX: Final = "_in"
_DEAD_LETTER_SUFFIX: Final = "_dlx"
DEAD_SUFFIX: Final = "_dead"

STAND_IN_SUFFIX: Final = "~next"
"""Ends the name of a queue that takes messages while another is replaced. No manifest can state such a name."""

SHARD_WEIGHT: Final = "1"
"""Routing key that binds a shard: to a consistent-hash exchange it is a weight, and every shard has the same."""

# A Kubernetes name has no underscore, and a stated name may not end like this.
_DERIVED: Final = re.compile(r"_(?:in|dlx|dead|[0-9]{1,3})$")


def main_of(name: str) -> str:
    """Return the main name of the channel that a native name belongs to: `billing.q_in`, `billing.q_7` → `billing.q`.

    So one name stands for all that a channel may ever own, whatever its number of shards.
    """
    return _DERIVED.sub("", name)


class ChannelNames(NamedTuple):
    """A queue, its entry exchange, its dead-letter exchange and its own dead-letter queue."""

    queue: str
    entry: str
    dead_letter_exchange: str
    dead: str

    @classmethod
    def of(cls, name: str) -> "ChannelNames":
        """Derive them from the name of the queue."""
        return cls(name, name + ENTRY_SUFFIX, name + _DEAD_LETTER_SUFFIX, name + DEAD_SUFFIX)

    @classmethod
    def feeding(cls, queue: str) -> Binding:
        """Return the binding that feeds a main queue of a channel, be it the only one or a shard."""
        names = cls.of(main_of(queue))
        return Binding(names.entry, queue, routing_key="" if queue == names.queue else SHARD_WEIGHT)

    def queues(self, shards: int | None) -> tuple[str, ...]:
        """Return the queues that consumers read: the main queue, or that many shards in its place."""
        return (self.queue,) if shards is None else tuple(f"{self.queue}_{number}" for number in range(shards))

    def main_ids(self, shards: int | None) -> tuple[ResourceId, ...]:
        """Return what every channel has: its entry, the queues that consumers read, and what feeds them."""
        queues = self.queues(shards)
        return (
            exchange_id(self.entry),
            *map(queue_id, queues),
            *(self.feeding(queue).id for queue in queues),
        )

    @property
    def dead_ids(self) -> tuple[ResourceId, ...]:
        """What a queue with a dead-letter queue of its own has besides."""
        dlx = self.dead_letter_exchange
        return exchange_id(dlx), queue_id(self.dead), binding_id(dlx, self.dead)
