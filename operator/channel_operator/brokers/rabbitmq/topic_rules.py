"""What RabbitMQ cannot do of a Topic, and what honouring its fields means there.

Decides refusals and enforcement notes. Never builds an object.
"""

from collections.abc import Iterator

from channel_operator.api.reasons import Reason
from channel_operator.api.topic import Compaction, Storage, TopicSpec
from channel_operator.brokers.rabbitmq.support import no_kafka
from channel_operator.core.accepted import Enforcement
from channel_operator.core.model import Capabilities, Problem

__all__ = ["topic_enforcement", "topic_problems"]


def topic_problems(spec: TopicSpec, capabilities: Capabilities) -> tuple[Problem, ...]:
    """Return why this topic cannot be had here; each field is judged by itself."""
    return (*_general(spec), *_fan_out(spec), *no_kafka(spec.kafka, capabilities))


def _general(spec: TopicSpec) -> Iterator[Problem]:
    if spec.storage is Storage.LOG:
        yield _unsupported("spec.storage", "Log is not supported by this version of the operator on RabbitMQ yet")
    if spec.compaction is not Compaction.NONE:
        yield _unsupported("spec.compaction", "RabbitMQ has no compaction; remove it, or use a Broker on Kafka")


def _fan_out(spec: TopicSpec) -> Iterator[Problem]:
    keeps = "a topic with storage FanOut keeps no messages"
    if spec.partitions is not None:
        yield _unsupported("spec.partitions", f"{keeps}; remove it, or use storage: Log")
    if spec.grow_from is not None:
        yield _unsupported("spec.growFrom", "partitions of a topic on RabbitMQ are fixed; remove it")
    if spec.retention is not None:
        yield _unsupported("spec.retention", f"{keeps}; set messageTTL or limits on its Subscriptions, or storage: Log")
    if spec.replicas is not None:
        yield _unsupported("spec.replicas", f"{keeps}; set replicas on its Subscriptions, or storage: Log")
    if spec.rabbitmq is not None and spec.rabbitmq.stream_producers:
        yield _unsupported("spec.rabbitmq.streamProducers", f"{keeps} and is no stream; remove it, or use storage: Log")


def _unsupported(field: str, text: str) -> Problem:
    return Problem(Reason.UNSUPPORTED_BY_BROKER, f"{field}: {text}", field=field)


def topic_enforcement(spec: TopicSpec) -> tuple[Enforcement, ...]:
    """Return who honours each field."""
    text = "a message goes to the Subscriptions that exist when it is sent and is not kept"
    entries = [Enforcement("spec.storage", "Broker", text)]
    if spec.require_broker_enforcement:
        entries.append(Enforcement("spec.requireBrokerEnforcement", "Broker", "nothing is left to the client"))
    return tuple(entries)
