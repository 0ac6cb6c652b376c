"""What a Topic is on RabbitMQ: a topic exchange to which Subscriptions bind their queues, or a stream that they read.

Decides its native objects and who gets which name. Never decides who may do what (core).
"""

from collections.abc import Mapping
from typing import Any

from channel_operator.api.common import SettingsMode
from channel_operator.api.topic import Storage, TopicSpec
from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.parts import asserted, granted, held, kept_grants, refused, withdrawn
from channel_operator.brokers.rabbitmq.policies import part_for, policy_name
from channel_operator.brokers.rabbitmq.resources import TOPIC, Exchange, exchange_id, policy_id, queue_id
from channel_operator.brokers.rabbitmq.site import Site
from channel_operator.brokers.rabbitmq.streams import (
    LogNames,
    bytes_per_partition,
    log_bindings,
    log_exchange,
    log_streams,
    told_partitions,
)
from channel_operator.brokers.rabbitmq.support import client_enforced
from channel_operator.brokers.rabbitmq.topic_rules import topic_enforcement, topic_problems
from channel_operator.core.accepted import Compiled, ResolvedTopic, Role, Subject
from channel_operator.core.model import Capabilities, Resource, ResourceId

__all__ = ["compiled", "deny", "hold", "log_of", "withdraw"]


def compiled(resolved: ResolvedTopic, site: Site, capabilities: Capabilities) -> Compiled:
    """Return the parts of an accepted Topic."""
    subject, spec = resolved.subject, resolved.spec
    notes = topic_enforcement(spec)
    problems = topic_problems(resolved, capabilities)
    if spec.require_broker_enforcement:
        problems += client_enforced(notes)
    if problems:
        return refused(hold(subject, site), problems)
    log = log_of(subject)
    if log is None:
        parts = [asserted(Exchange(subject.name, TOPIC), subject)]
    else:
        by_policy = _left_to_policy(subject, site)
        streams = log_streams(log, spec, resolved.stated, left_to_policy=by_policy)
        wanted: list[Resource] = [log_exchange(log), *streams, *log_bindings(log)]
        parts = [asserted(one, subject) for one in wanted]
        parts.append(part_for(log.log, streams, subject, priority=site.rabbitmq.policy_priority, alone=by_policy))
    parts += granted(resolved.grants, {Role.PRODUCER: _access(subject)}, subject)
    return Compiled(
        tuple(parts),
        enforcement=notes,
        address=_address(subject, site),
        effective=_effective(resolved, site),
        coordinates=_coordinates(subject),
    )


def hold(subject: Subject, site: Site) -> Compiled:
    """Return the parts of a Topic on hold.

    Its producers keep what they have. Names are no footprint here: the rights to read a stream are given by
    Subscriptions, and what they take back must go all the same.
    """
    return _kept(subject, site, access=True)


def deny(subject: Subject, site: Site) -> Compiled:
    """Return the parts of a Topic to which nobody may publish any more; what it is on the broker stays."""
    return _kept(subject, site, access=False)


def _kept(subject: Subject, site: Site, *, access: bool) -> Compiled:
    kept = kept_grants(_access(subject), subject) if access else ()
    return Compiled(
        (*held(_ids(subject), subject), *kept),
        address=_address(subject, site),
        coordinates=_coordinates(subject),
    )


def withdraw(subject: Subject) -> Compiled:
    """Return the parts of a deleted Topic; one that is retained keeps everything that it is, bindings included."""
    if subject.removal is None:
        return Compiled(())
    return Compiled(tuple(withdrawn(_ids(subject), subject)))


def log_of(subject: Subject) -> LogNames | None:
    """Return the log that a Topic is, by its manifest, else by what its status told; None: it is an exchange."""
    told = subject.told.get("effective") or {}
    if isinstance(subject.spec, TopicSpec):
        if subject.spec.storage is not Storage.LOG:
            return None
        # What is there stays what it is: another number of partitions is refused.
        return LogNames.of(subject.name, told_partitions(subject) or subject.spec.partitions or 1)
    return LogNames.of(subject.name, told_partitions(subject) or 1) if told.get("storage") == Storage.LOG else None


def _ids(subject: Subject) -> list[ResourceId]:
    log = log_of(subject)
    if log is None:
        return [exchange_id(subject.name)]
    streams = [queue_id(name) for name in log.streams]
    bindings = [binding.id for binding in log_bindings(log)]
    return [exchange_id(log.entry), *streams, *bindings, policy_id(policy_name(log.log))]


def _access(subject: Subject) -> Access:
    """Return what publishers may write to: an exchange, and by choice the streams themselves."""
    log = log_of(subject)
    if log is None:
        return Access(write=frozenset({subject.name}))
    return Access(write=frozenset({log.entry, *log.streams} if _has_stream_producers(subject) else {log.entry}))


def _has_stream_producers(subject: Subject) -> bool:
    block = subject.spec.rabbitmq if isinstance(subject.spec, TopicSpec) else None
    return block is not None and block.stream_producers


def _left_to_policy(subject: Subject, site: Site) -> bool:
    """Whether retention comes by a policy alone: as when the Topic was made, else as the Broker says today."""
    made = ((subject.told.get("effective") or {}).get("rabbitmq") or {}).get("settings")
    return (made or site.rabbitmq.settings) == SettingsMode.POLICY


def _effective(resolved: ResolvedTopic, site: Site) -> Mapping[str, Any]:
    """Return what a default decided, and what is to be remembered: the form and the number of partitions."""
    spec, stated, log = resolved.spec, resolved.stated, log_of(resolved.subject)
    if log is None:
        return {"storage": str(Storage.FAN_OUT)}
    mode = SettingsMode.POLICY if _left_to_policy(resolved.subject, site) else SettingsMode.ARGUMENTS
    found: dict[str, Any] = {
        "storage": str(Storage.LOG),
        "partitions": len(log.streams),
        "rabbitmq": {"type": "Stream", "settings": str(mode)},
    }
    share = bytes_per_partition(spec)
    if share is not None and log.is_super:
        found["retention"] = {"bytesPerPartition": share}
    if stated.replicas is None and spec.replicas is not None:
        found["replicas"] = spec.replicas
    return found


def _address(subject: Subject, site: Site) -> Mapping[str, Any]:
    log = log_of(subject)
    native: dict[str, Any] = {"vhost": site.rabbitmq.vhost, "exchange": log.entry if log else subject.name}
    if log is not None:
        native["queues"] = list(log.streams)
    return {"name": subject.name, "rabbitmq": native}


def _coordinates(subject: Subject) -> Mapping[Role, Mapping[str, Any]]:
    log = log_of(subject)
    if log is None:
        return {Role.PRODUCER: {"exchange": subject.name}}
    stream = {"stream": log.log} if _has_stream_producers(subject) else {}
    return {Role.PRODUCER: {"exchange": log.entry, **stream}}
