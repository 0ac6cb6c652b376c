"""How messages wait for their consumers: one queue or shards that keep the order of a key, and a way for dead letters.

Decides the native objects that Queue and Subscription have in common. Never decides what a field may say
(delivery_rules), nor where a channel's messages come from.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from channel_operator.api.delivery import Ordering
from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.names import ChannelNames
from channel_operator.brokers.rabbitmq.resources import (
    CONSISTENT_HASH,
    FANOUT,
    HASH_HEADER,
    Binding,
    Exchange,
    Queue,
    queue_id,
)
from channel_operator.brokers.rabbitmq.settings import Consumed, dead_letter_queue, main_queue
from channel_operator.core.accepted import Role, Subject
from channel_operator.core.model import Resource, ResourceId

__all__ = [
    "DeadLetters",
    "consumer_access",
    "consumer_coordinates",
    "dead_letters",
    "entry_exchange",
    "feeds",
    "queues",
    "shards_of",
]


def shards_of(spec: object) -> int | None:
    """Return the number of shards, None for a channel with one queue or a spec that cannot be read."""
    if getattr(spec, "ordering", None) is not Ordering.PER_KEY:
        return None
    shards: int | None = getattr(spec, "shards", None)
    return shards


def queues(names: ChannelNames, spec: Consumed, stated: Consumed) -> list[Queue]:
    """Return the queues that consumers read: one, or the shards, which differ by name only."""
    one = main_queue(names, spec, stated)
    return [one._replace(name=name) for name in names.queues(shards_of(spec))]


def entry_exchange(names: ChannelNames, spec: Consumed) -> Exchange:
    """Return the exchange that messages come in by; with shards it keeps those with one key on one queue."""
    if shards_of(spec) is None:
        return Exchange(names.entry, FANOUT)
    header = ((HASH_HEADER, spec.ordering_key.header),) if spec.ordering_key is not None else ()
    return Exchange(names.entry, CONSISTENT_HASH, arguments=header)


def feeds(names: ChannelNames, spec: Consumed) -> list[Binding]:
    """Return what leads from the entry exchange to the queues."""
    return [names.feeding(queue) for queue in names.queues(shards_of(spec))]


class DeadLetters(NamedTuple):
    """Where dead letters go: what is to be there, and what is not (any more)."""

    wanted: tuple[Resource, ...]
    unwanted: tuple[ResourceId, ...]
    own: str | None
    """The dead-letter queue of its own, where it has one."""


def dead_letters(names: ChannelNames, spec: Consumed, target: Subject | None) -> DeadLetters:
    """Decide for a queue. `target`: the Queue that `deadLetter.queueRef` names.

    Dead letters always take the exchange of the channel's own, so that the target can change while the queue lives.
    """
    dlx, own = names.dead_letter_exchange, Binding(names.dead_letter_exchange, names.dead)
    if spec.dead_letter is None:
        return DeadLetters((), names.dead_ids, None)
    if target is None:
        return DeadLetters((Exchange(dlx, FANOUT), dead_letter_queue(names), own), (), names.dead)
    to_target = Binding(dlx, ChannelNames.of(target.name).entry, "exchange")
    return DeadLetters((Exchange(dlx, FANOUT), to_target), (queue_id(names.dead), own.id), None)


def consumer_access(names: ChannelNames, spec: Consumed) -> Mapping[Role, Access]:
    """Return what consumers may read."""
    return {
        Role.CONSUMER: Access(read=frozenset(names.queues(shards_of(spec)))),
        Role.DEAD_LETTER_CONSUMER: Access(read=frozenset({names.dead})),
    }


def consumer_coordinates(names: ChannelNames, read: Sequence[str]) -> Mapping[Role, Mapping[str, Any]]:
    """Return what consumers need to know; `read`: the queues that they read."""
    return {
        Role.CONSUMER: {"queues": list(read)},
        Role.DEAD_LETTER_CONSUMER: {"queues": [names.dead]},
    }
