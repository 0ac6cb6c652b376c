"""How messages wait for their consumers: one queue or shards that keep the order of a key, and a way for dead letters.

Decides the native objects that Queue and Subscription have in common. Never decides what a field may say
(delivery_rules), nor where a channel's messages come from.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from channel_operator.api.delivery import Ordering
from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.names import ChannelNames, main_of
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
    "beyond",
    "consumer_access",
    "consumer_coordinates",
    "dead_letters",
    "entry_exchange",
    "feeds",
    "queues",
    "shards_held",
    "shards_of",
    "shown_dead_letters",
    "told_dead_letters",
]


def shards_of(spec: object) -> int | None:
    """Return the number of shards, None for a channel with one queue or a spec that cannot be read."""
    if getattr(spec, "ordering", None) is not Ordering.PER_KEY:
        return None
    shards: int | None = getattr(spec, "shards", None)
    return shards


def shards_held(subject: Subject) -> int | None:
    """Return the number of shards that an object on hold has; of one whose spec cannot be read, as it was last told."""
    if subject.spec is not None:
        return shards_of(subject.spec)
    told = ((subject.told.get("address") or {}).get("rabbitmq") or {}).get("queues") or ()
    # By the names: the main queue, which is the only one where there are no shards, and the dead-letter queue.
    others = {subject.name, ChannelNames.of(subject.name).dead}
    return len([name for name in told if name not in others and main_of(name) == subject.name]) or None


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


def beyond(names: ChannelNames, spec: Consumed) -> tuple[ResourceId, ...]:
    """Return what shows that there are more shards than asked for: messages would go where nobody reads.

    Shards are numbered from 0 without a gap, so what feeds the next one tells.
    """
    shards = shards_of(spec)
    return () if shards is None else (names.feeding(f"{names.queue}_{shards}").id,)


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
    to_target = _to_target(names, target.name)
    return DeadLetters((Exchange(dlx, FANOUT), to_target), (queue_id(names.dead), own.id), None)


def _to_target(names: ChannelNames, target: str) -> Binding:
    return Binding(names.dead_letter_exchange, ChannelNames.of(target).entry, "exchange")


def told_dead_letters(names: ChannelNames, subject: Subject) -> set[ResourceId]:
    """Return the way to the Queue that took the dead letters when the status was last written, where one did."""
    told = ((subject.told.get("effective") or {}).get("deadLetter") or {}).get("name")
    return {_to_target(names, told).id} if isinstance(told, str) else set()


def shown_dead_letters(target: Subject | None) -> Mapping[str, Any]:
    """Return what `status.effective` says of another Queue that takes the dead letters: also the memory of it."""
    return {"deadLetter": {"name": target.name}} if target is not None else {}


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
