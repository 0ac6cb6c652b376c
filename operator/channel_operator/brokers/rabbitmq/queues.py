"""What a Queue is on RabbitMQ: an entry exchange, a queue, and where its dead letters go.

Decides its native objects and who gets which name. Never decides who may do what (core).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.names import ChannelNames
from channel_operator.brokers.rabbitmq.parts import asserted, granted, held, refused, withdrawn
from channel_operator.brokers.rabbitmq.resources import FANOUT, Binding, Exchange
from channel_operator.brokers.rabbitmq.settings import dead_letter_queue, effective, main_queue
from channel_operator.brokers.rabbitmq.site import Site
from channel_operator.brokers.rabbitmq.support import enforcement, queue_problems
from channel_operator.core.accepted import Compiled, ResolvedQueue, Role, Subject
from channel_operator.core.model import Capabilities

__all__ = ["compiled", "hold", "withdraw"]


def compiled(resolved: ResolvedQueue, site: Site, capabilities: Capabilities) -> Compiled:
    """Return the parts of an accepted Queue."""
    subject, spec = resolved.subject, resolved.spec
    problems = queue_problems(
        spec,
        resolved.stated,
        capabilities,
        default_type=site.spec.defaults.queue_type,
        default_settings=site.rabbitmq.settings,
    )
    if problems:
        return refused(hold(subject, site), problems)
    names = ChannelNames.of(subject.name)
    parts = [
        asserted(Exchange(names.entry, FANOUT), subject),
        asserted(main_queue(names, spec, resolved.stated), subject),
        asserted(Binding(names.entry, names.queue), subject),
    ]
    if spec.dead_letter is not None:
        parts += [
            asserted(Exchange(names.dead_letter_exchange, FANOUT), subject),
            asserted(dead_letter_queue(names), subject),
            asserted(Binding(names.dead_letter_exchange, names.dead), subject),
        ]
    else:
        parts += withdrawn(names.dead_ids, subject)
    parts += granted(resolved.grants, _access(names), subject)
    queues = [names.queue, names.dead] if spec.dead_letter is not None else [names.queue]
    return Compiled(
        tuple(parts),
        names=frozenset(names),
        enforcement=enforcement(spec, capabilities),
        address=_address(names, queues, site),
        effective=effective(spec, resolved.stated),
        coordinates=_coordinates(names),
    )


def hold(subject: Subject, site: Site) -> Compiled:
    """Return the parts of a Queue on hold."""
    names = ChannelNames.of(subject.name)
    return Compiled(
        held(names.main_ids + names.dead_ids, subject),
        names=frozenset(names),
        address=_address(names, [names.queue], site),
        coordinates=_coordinates(names),
    )


def withdraw(subject: Subject) -> Compiled:
    """Return the parts of a deleted Queue.

    A retained queue keeps its exchanges and bindings too: it stays the channel it was, so a manifest that comes back
    finds everything in place, and whoever else publishes to it loses nothing.
    """
    names = ChannelNames.of(subject.name)
    if subject.removal is None:
        return Compiled((), names=frozenset(names))
    return Compiled(tuple(withdrawn(names.main_ids + names.dead_ids, subject)), names=frozenset(names))


def _address(names: ChannelNames, queues: Sequence[str], site: Site) -> Mapping[str, Any]:
    native = {"vhost": site.rabbitmq.vhost, "exchange": names.entry, "queues": list(queues)}
    return {"name": names.queue, "rabbitmq": native}


def _coordinates(names: ChannelNames) -> Mapping[Role, Mapping[str, Any]]:
    """Return what clients of each role need to know: it follows from the names, so it holds for a queue on hold too."""
    return {
        Role.PRODUCER: {"exchange": names.entry},
        Role.CONSUMER: {"queues": [names.queue]},
        Role.DEAD_LETTER_CONSUMER: {"queues": [names.dead]},
    }


def _access(names: ChannelNames) -> Mapping[Role, Access]:
    return {
        Role.PRODUCER: Access(write=frozenset({names.entry})),
        Role.CONSUMER: Access(read=frozenset({names.queue})),
        Role.DEAD_LETTER_CONSUMER: Access(read=frozenset({names.dead})),
    }
