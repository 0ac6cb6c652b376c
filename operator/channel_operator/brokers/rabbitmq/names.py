"""The native names of one channel on RabbitMQ. Decides how they derive from the main name, and nothing else."""

from typing import Final, NamedTuple

from channel_operator.brokers.rabbitmq.resources import Binding, binding_id, exchange_id, queue_id
from channel_operator.core.model import ResourceId

__all__ = ["DEAD_SUFFIX", "ChannelNames"]

_SEPARATOR: Final = "_"
"""Starts derived names: Kubernetes names cannot contain it."""
_ENTRY_SUFFIX: Final = "_in"
_DEAD_LETTER_SUFFIX: Final = "_dlx"
DEAD_SUFFIX: Final = "_dead"


class ChannelNames(NamedTuple):
    """A queue, its entry exchange, its dead-letter exchange and its own dead-letter queue."""

    queue: str
    entry: str
    dead_letter_exchange: str
    dead: str

    @classmethod
    def of(cls, name: str) -> "ChannelNames":
        """Derive them from the name of the queue."""
        return cls(name, name + _ENTRY_SUFFIX, name + _DEAD_LETTER_SUFFIX, name + DEAD_SUFFIX)

    @classmethod
    def feeding(cls, queue: str) -> Binding:
        """Return the binding that feeds one of our queues, be it a channel's own or its dead-letter queue."""
        if queue.endswith(DEAD_SUFFIX):
            names = cls.of(queue.removesuffix(DEAD_SUFFIX))
            return Binding(names.dead_letter_exchange, names.dead)
        return Binding(cls.of(queue).entry, queue)

    @property
    def main_ids(self) -> tuple[ResourceId, ...]:
        """What every queue has."""
        return exchange_id(self.entry), queue_id(self.queue), binding_id(self.entry, self.queue)

    @property
    def dead_ids(self) -> tuple[ResourceId, ...]:
        """What a queue with a dead-letter queue of its own has besides."""
        dlx = self.dead_letter_exchange
        return exchange_id(dlx), queue_id(self.dead), binding_id(dlx, self.dead)
