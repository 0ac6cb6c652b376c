"""What a Subscription to a log is on RabbitMQ: the right to read its streams, and a name for the consumer.

It has nothing of its own on the broker: where it reads is the client's choice. Never decides who may do what (core).
"""

from collections.abc import Mapping
from typing import Any

from channel_operator.api.topic import Storage, TopicSpec
from channel_operator.brokers.rabbitmq import topics
from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.parts import granted, kept_grants, refused
from channel_operator.brokers.rabbitmq.site import Site
from channel_operator.brokers.rabbitmq.streams import LogNames
from channel_operator.brokers.rabbitmq.subscription_rules import reader_enforcement, reader_problems
from channel_operator.brokers.rabbitmq.support import client_enforced
from channel_operator.core.accepted import Compiled, ResolvedSubscription, Role, Subject
from channel_operator.core.model import Capabilities

__all__ = ["compiled", "deny", "hold", "is_reader", "withdraw"]


def is_reader(subject: Subject) -> bool:
    """Whether a Subscription reads a log: its Topic says so, or its own status where the Topic is not to be read."""
    topic = subject.topic
    if topic is not None and isinstance(topic.spec, TopicSpec):
        return topic.spec.storage is Storage.LOG
    return bool((subject.told.get("effective") or {}).get("storage") == Storage.LOG)


def compiled(resolved: ResolvedSubscription, site: Site, capabilities: Capabilities) -> Compiled:
    """Return the parts of an accepted Subscription to a log."""
    subject = resolved.subject
    notes = reader_enforcement(resolved)
    problems = reader_problems(resolved, capabilities)
    if resolved.spec.require_broker_enforcement:
        problems += client_enforced(notes)
    if problems:
        return refused(hold(subject, site), problems)
    return Compiled(
        tuple(granted(resolved.grants, {Role.CONSUMER: _access(subject)}, subject)),
        enforcement=notes,
        address=_address(subject, site),
        effective={"storage": str(Storage.LOG)},
        coordinates=_coordinates(subject),
    )


def hold(subject: Subject, site: Site) -> Compiled:
    """Return the parts of such a Subscription on hold: those it lists keep what they may read."""
    kept = tuple(kept_grants(_access(subject), subject))
    return Compiled(kept, address=_address(subject, site), coordinates=_coordinates(subject))


def deny(subject: Subject, site: Site) -> Compiled:
    """Return the parts of such a Subscription that is not admitted: none."""
    return Compiled((), address=_address(subject, site))


def withdraw() -> Compiled:
    """Return the parts of such a Subscription that is deleted: none."""
    return Compiled(())


def _log(subject: Subject) -> LogNames | None:
    """Return the log it reads; where the Topic has gone, as its status told."""
    if subject.topic is not None:
        return topics.log_of(subject.topic)
    native = (subject.told.get("address") or {}).get("rabbitmq") or {}
    streams = tuple(native.get("queues") or ())
    exchange = native.get("exchange")
    return LogNames(exchange if len(streams) > 1 else streams[0], exchange, streams) if exchange and streams else None


def _access(subject: Subject) -> Access:
    """Return what a reader may read: the streams and, from RabbitMQ 4.3 on, the name by which it finds them.

    There a client that may not read the exchange of a super stream is told that it has no partitions.
    """
    log = _log(subject)
    if log is None:
        return Access()
    return Access(read=frozenset({*log.streams, log.entry} if log.is_super else log.streams))


def _address(subject: Subject, site: Site) -> Mapping[str, Any]:
    log = _log(subject)
    native: dict[str, Any] = {"vhost": site.rabbitmq.vhost}
    if log is not None:
        native |= {"exchange": log.entry, "queues": list(log.streams)}
    return {"name": subject.name, "rabbitmq": native}


def _coordinates(subject: Subject) -> Mapping[Role, Mapping[str, Any]]:
    log = _log(subject)
    if log is None:
        return {}
    return {Role.CONSUMER: {"queues": list(log.streams), "stream": log.log, "consumer": subject.name}}
