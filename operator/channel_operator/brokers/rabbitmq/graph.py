"""How RabbitMQ's objects hang together: what is written before what, what is attached to what, what is whose.

Decides the order of writing. Never decides whether something is written.
"""

from collections.abc import Collection, Mapping

from channel_operator.brokers.rabbitmq.names import DEAD_SUFFIX, ChannelNames
from channel_operator.brokers.rabbitmq.resources import (
    BINDING,
    DEAD_LETTER_STRATEGY,
    EXCHANGE,
    PERMISSION,
    POLICY,
    QUEUE,
    USER,
    Binding,
    Queue,
    User,
    exchange_id,
    permission_id,
    queue_id,
)
from channel_operator.brokers.rabbitmq.site import is_made_by
from channel_operator.core.model import (
    Action,
    Change,
    Resource,
    ResourceId,
)

__all__ = [
    "BUILD_STAGES",
    "attached",
    "endpoints",
    "foreign_bindings",
    "holds_data",
    "is_dead_letter_queue",
    "marked_users",
    "name_of",
    "needs",
    "stage",
]

_DEAD_LETTER_SUFFIX = ChannelNames.of("").dead_letter_exchange

BUILD_STAGES = 5
"""Stages below this one only add; from it on something is taken away."""


def holds_data(rid: ResourceId) -> bool:
    """Whether deleting this object could lose messages."""
    return rid.kind == QUEUE


def is_dead_letter_queue(rid: ResourceId) -> bool:
    """Whether it is some channel's own dead-letter queue: only derived names end so."""
    return rid.kind == QUEUE and rid.path[0].endswith(DEAD_SUFFIX)


def stage(change: Change) -> int:
    """Order the writes, in the fewest rounds that keep what is referred to ahead of what refers to it.

    Building: users, policies, dead-letter queues and their exchanges (0); queues and their entry exchanges, bindings
    of dead letters, rights (1); dead letters to another queue, whose entry may be just made (2); queues that
    dead-letter at least once, since they keep what has no place to go (3); entry bindings (4), so that no message
    comes in before that. A queue without dead letters takes two rounds. Taking away: users and rights that shrink
    (5), rights that end (6), queues (7), bindings (8), exchanges, policies and dead-letter queues (9).
    """
    rid = change.id
    if change.action is Action.DELETE or change.narrows:
        return _removal_stage(rid, change)
    if isinstance(change.desired, Queue):
        at_least_once = DEAD_LETTER_STRATEGY in dict(change.desired.arguments)
        return 0 if is_dead_letter_queue(rid) else 3 if at_least_once else 1
    if rid.kind == BINDING:
        return _binding_stage(rid)
    if rid.kind == EXCHANGE:
        return 0 if rid.path[0].endswith(_DEAD_LETTER_SUFFIX) else 1
    return 1 if rid.kind == PERMISSION else 0


def _binding_stage(rid: ResourceId) -> int:
    source, _, destination = rid.path[:3]
    if destination.endswith(DEAD_SUFFIX):
        return 1
    return 2 if source.endswith(_DEAD_LETTER_SUFFIX) else 4


def _removal_stage(rid: ResourceId, change: Change) -> int:
    if rid.kind == PERMISSION:
        return 5 if change.action is not Action.DELETE else 6
    if rid.kind == QUEUE:
        return 9 if is_dead_letter_queue(rid) else 7
    return {USER: 5, BINDING: 8}.get(rid.kind, 9)


def endpoints(binding: ResourceId) -> tuple[ResourceId, ResourceId]:
    """Return what a binding connects: its source exchange and its destination."""
    source, kind, destination = binding.path[:3]
    return exchange_id(source), exchange_id(destination) if kind == "exchange" else queue_id(destination)


def needs(resource: Resource) -> tuple[ResourceId, ...]:
    """Return what an object refers to and RabbitMQ refuses to do without: a binding's two ends."""
    return endpoints(resource.id) if isinstance(resource, Binding) else ()


def foreign_bindings(
    observed: Mapping[ResourceId, Resource], owned: Collection[ResourceId], held: Collection[ResourceId]
) -> list[ResourceId]:
    """Find bindings that others made from or to an object of ours; those of an object on hold are left alone.

    So are the ways of other channels' dead letters in: they are the business of the channel they come from, which may
    have been retained without a manifest.
    """
    return [
        rid
        for rid in observed
        if rid.kind == BINDING
        and rid not in owned
        and any(end in owned for end in endpoints(rid))
        and not any(end in held for end in endpoints(rid))
        and not _is_way_of_dead_letters_from(rid, owned)
    ]


def _is_way_of_dead_letters_from(rid: ResourceId, owned: Collection[ResourceId]) -> bool:
    source, kind, _ = rid.path[:3]
    elsewhere = exchange_id(source) not in owned
    return kind == "exchange" and source.endswith(_DEAD_LETTER_SUFFIX) and elsewhere


def attached(rid: ResourceId, observed: Mapping[ResourceId, Resource]) -> list[ResourceId]:
    """Find what goes when this object goes: bindings with either end, a user's permission."""
    match rid.kind:
        case "User":
            right = permission_id(rid.path[0])
            return [right] if right in observed else []
        case "Queue" | "Exchange":
            return [
                other for other, found in observed.items() if isinstance(found, Binding) and rid in endpoints(other)
            ]
        case _:
            return []


def marked_users(observed: Mapping[ResourceId, Resource], tag: str) -> list[ResourceId]:
    """Find the users that the operator with this tag made, each with its permission."""
    found = []
    for rid, resource in observed.items():
        if isinstance(resource, User) and is_made_by(tag, resource.tags):
            found.append(rid)
            found += attached(rid, observed)
    return found


def name_of(rid: ResourceId) -> str | None:
    """Return the name of what has one of its own."""
    return rid.path[0] if rid.kind in {QUEUE, EXCHANGE, POLICY, USER} else None
