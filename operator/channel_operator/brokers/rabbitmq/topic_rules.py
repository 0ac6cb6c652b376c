"""What RabbitMQ cannot do of a Topic, and what honouring its fields means there.

Decides refusals and enforcement notes. Never builds an object.
"""

from collections.abc import Iterator

from channel_operator.api.reasons import Reason
from channel_operator.api.topic import Compaction, Storage, TopicSpec
from channel_operator.brokers.rabbitmq.streams import MAX_PARTITIONS, told_partitions
from channel_operator.brokers.rabbitmq.support import no_kafka
from channel_operator.core.accepted import Enforcement, ResolvedTopic
from channel_operator.core.model import Capabilities, Problem

__all__ = ["topic_enforcement", "topic_problems"]


def topic_problems(resolved: ResolvedTopic, capabilities: Capabilities) -> tuple[Problem, ...]:
    """Return why this topic cannot be had here; each field is judged by itself."""
    spec = resolved.spec
    of_its_form = _log(resolved) if spec.storage is Storage.LOG else _fan_out(resolved.stated)
    return (*_general(spec), *of_its_form, *no_kafka(spec.kafka, capabilities))


def _general(spec: TopicSpec) -> Iterator[Problem]:
    if spec.compaction is not Compaction.NONE:
        yield _unsupported("spec.compaction", "RabbitMQ has no compaction; remove it, or use a Broker on Kafka")


def _fan_out(spec: TopicSpec) -> Iterator[Problem]:
    keeps = "a topic with storage FanOut keeps no messages"
    if spec.partitions is not None:
        yield _unsupported("spec.partitions", f"{keeps}; remove it, or use storage: Log")
    if spec.grow_from is not None:
        yield _unsupported("spec.growFrom", f"{keeps}; remove it")
    if spec.retention is not None:
        yield _unsupported("spec.retention", f"{keeps}; set messageTTL or limits on its Subscriptions, or storage: Log")
    if spec.replicas is not None:
        yield _unsupported("spec.replicas", f"{keeps}; set replicas on its Subscriptions, or storage: Log")
    if spec.rabbitmq is not None and spec.rabbitmq.stream_producers:
        yield _unsupported("spec.rabbitmq.streamProducers", f"{keeps} and is no stream; remove it, or use storage: Log")


def _log(resolved: ResolvedTopic) -> Iterator[Problem]:
    spec = resolved.spec
    made = told_partitions(resolved.subject)
    if spec.grow_from is not None or (made is not None and (spec.partitions or 1) != made):
        field = "spec.growFrom" if spec.grow_from is not None else "spec.partitions"
        has = f"this topic has {made}; " if made is not None else ""
        text = f"{field}: RabbitMQ cannot change the number of partitions of a topic; {has}take the change back"
        yield Problem(Reason.IMMUTABLE_ON_BROKER, text, field=field)
    if (spec.partitions or 1) > MAX_PARTITIONS:
        yield _unsupported("spec.partitions", f"at most {MAX_PARTITIONS} on RabbitMQ; state fewer")


def _unsupported(field: str, text: str) -> Problem:
    return Problem(Reason.UNSUPPORTED_BY_BROKER, f"{field}: {text}", field=field)


def topic_enforcement(spec: TopicSpec) -> tuple[Enforcement, ...]:
    """Return who honours each field."""
    entries = list(_log_notes(spec) if spec.storage is Storage.LOG else _fan_out_notes())
    if spec.require_broker_enforcement:
        entries.append(Enforcement("spec.requireBrokerEnforcement", "Broker", "nothing is left to the client"))
    return tuple(entries)


def _fan_out_notes() -> Iterator[Enforcement]:
    text = "a message goes to the Subscriptions that exist when it is sent and is not kept"
    yield Enforcement("spec.storage", "Broker", text)


def _log_notes(spec: TopicSpec) -> Iterator[Enforcement]:
    text = "a stream: messages are kept for spec.retention, and reading one takes nothing away"
    yield Enforcement("spec.storage", "Broker", text)
    if (spec.partitions or 1) > 1:
        text = (
            "a super stream; AMQP publishers choose the partition by the routing key, 0 to "
            f"{(spec.partitions or 1) - 1}; stream clients by hashing"
        )
        yield Enforcement("spec.partitions", "Broker", text)
    if spec.retention is not None:
        text = "whole segments go, the oldest first, and never the one being written: what is kept can be more"
        yield Enforcement("spec.retention", "Broker", text)
    if spec.replicas is not None:
        yield Enforcement("spec.replicas", "Broker", "as many as the cluster has nodes at creation")
    if spec.rabbitmq is not None and spec.rabbitmq.stream_producers:
        text = "producers may write to the very names that consumers may read: who is both has both rights on them"
        yield Enforcement("spec.rabbitmq.streamProducers", "Broker", text)
