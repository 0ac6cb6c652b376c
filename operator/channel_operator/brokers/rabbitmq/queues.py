"""What a Queue is on RabbitMQ: an entry exchange, what its consumers read, and where its dead letters go.

Decides its native objects and who gets which name. Never decides who may do what (core).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from channel_operator.brokers.rabbitmq import delivery
from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.names import ChannelNames
from channel_operator.brokers.rabbitmq.parts import asserted, granted, held, refused, unfed, unwanted, withdrawn
from channel_operator.brokers.rabbitmq.policies import part_for, policy_name, withdrawal
from channel_operator.brokers.rabbitmq.resources import policy_id
from channel_operator.brokers.rabbitmq.settings import effective, left_to_policy
from channel_operator.brokers.rabbitmq.site import Site
from channel_operator.brokers.rabbitmq.support import client_enforced, consumed_problems, enforcement
from channel_operator.core.accepted import Compiled, ResolvedQueue, Role, Subject
from channel_operator.core.model import Capabilities, Resource

__all__ = ["compiled", "hold", "withdraw"]


def compiled(resolved: ResolvedQueue, site: Site, capabilities: Capabilities) -> Compiled:
    """Return the parts of an accepted Queue."""
    subject, spec = resolved.subject, resolved.spec
    names = ChannelNames.of(subject.name)
    dead = delivery.dead_letters(names, spec, resolved.dead_letter)
    notes = enforcement(spec, capabilities, dead_letters_to=_target(resolved))
    problems = consumed_problems(spec, resolved.stated, capabilities)
    if spec.require_broker_enforcement:
        problems += client_enforced(notes)
    if problems:
        return refused(hold(subject, site), problems)
    read = names.queues(delivery.shards_of(spec))
    queues = delivery.queues(names, spec, resolved.stated)
    wanted: list[Resource] = [
        delivery.entry_exchange(names, spec),
        *queues,
        *delivery.feeds(names, spec),
        *dead.wanted,
    ]
    access = {Role.PRODUCER: Access(write=frozenset({names.entry})), **delivery.consumer_access(names, spec)}
    parts = [asserted(one, subject) for one in wanted]
    parts += unwanted((*dead.unwanted, *delivery.beyond(names, spec)), subject)
    parts += unfed(delivery.told_dead_letters(names, subject) - {one.id for one in dead.wanted}, subject)
    priority, alone = site.rabbitmq.policy_priority, left_to_policy(spec)
    parts.append(part_for(names.queue, queues, subject, priority=priority, alone=alone))
    parts += granted(resolved.grants, access, subject)
    return Compiled(
        tuple(parts),
        names=frozenset({names.queue}),
        enforcement=notes,
        address=_address(names, [*read, dead.own] if dead.own else read, site),
        effective={**effective(spec, resolved.stated), **delivery.shown_dead_letters(resolved.dead_letter)},
        coordinates=_coordinates(names, read),
    )


def hold(subject: Subject, site: Site) -> Compiled:
    """Return the parts of a Queue on hold."""
    names, shards = ChannelNames.of(subject.name), delivery.shards_held(subject)
    read = names.queues(shards)
    return Compiled(
        held((*names.main_ids(shards), *names.dead_ids, policy_id(policy_name(names.queue))), subject),
        names=frozenset({names.queue}),
        address=_address(names, read, site),
        coordinates=_coordinates(names, read),
    )


def withdraw(subject: Subject) -> Compiled:
    """Return the parts of a deleted Queue.

    A retained queue keeps its exchanges, bindings and policy too: it stays the channel it was, so a manifest that comes
    back finds everything in place, and whoever else publishes to it loses nothing.
    """
    names = ChannelNames.of(subject.name)
    if subject.removal is None:
        return Compiled((), names=frozenset({names.queue}))
    ids = (*names.main_ids(delivery.shards_of(subject.spec)), *names.dead_ids)
    ids += tuple(sorted(delivery.told_dead_letters(names, subject)))
    parts = [*withdrawn(ids, subject), *withdrawal(names.queue, subject)]
    return Compiled(tuple(parts), names=frozenset({names.queue}))


def _target(resolved: ResolvedQueue) -> str | None:
    """Return what takes the dead letters, in words for the notes."""
    if resolved.dead_letter is not None:
        return str(resolved.dead_letter.key)
    return "the dead-letter queue" if resolved.spec.dead_letter is not None else None


def _address(names: ChannelNames, queues: Sequence[str], site: Site) -> Mapping[str, Any]:
    native = {"vhost": site.rabbitmq.vhost, "exchange": names.entry, "queues": list(queues)}
    return {"name": names.queue, "rabbitmq": native}


def _coordinates(names: ChannelNames, read: Sequence[str]) -> Mapping[Role, Mapping[str, Any]]:
    """Return what clients of each role need to know: it follows from the names, so it holds for a queue on hold too."""
    return {Role.PRODUCER: {"exchange": names.entry}, **delivery.consumer_coordinates(names, read)}
