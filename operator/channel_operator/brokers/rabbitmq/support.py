"""What this driver cannot do (yet) for a kind, and what honouring its fields means on this broker.

Decides refusals and the enforcement notes of an accepted spec. Never builds an object.
"""

from collections.abc import Sequence

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.delivery_rules import delivery_notes, delivery_problems
from channel_operator.brokers.rabbitmq.settings import Consumed
from channel_operator.core.accepted import Enforcement
from channel_operator.core.model import Capabilities, Problem

__all__ = ["client_enforced", "consumed_problems", "enforcement", "no_kafka"]


def consumed_problems(spec: Consumed, stated: Consumed, capabilities: Capabilities) -> tuple[Problem, ...]:
    """Return why this Queue or Subscription cannot be had here; each field is judged by itself."""
    problems = delivery_problems(spec, stated, capabilities)
    return (*problems, *no_kafka(spec.kafka, capabilities))


def no_kafka(block: object, capabilities: Capabilities) -> tuple[Problem, ...]:
    """Refuse a block of settings for Kafka."""
    if block is None:
        return ()
    text = f"spec.kafka: the Broker is RabbitMQ {capabilities.version}, which knows none of these settings; remove it"
    return (Problem(Reason.UNSUPPORTED_BY_BROKER, text, field="spec.kafka"),)


def client_enforced(entries: Sequence[Enforcement]) -> tuple[Problem, ...]:
    """Return why a manifest that demands enforcement by the broker cannot have what is left to the client."""
    return tuple(
        Problem(
            Reason.CLIENT_ENFORCED,
            f"{entry.field}: {entry.note}; remove the field, or set spec.requireBrokerEnforcement to false",
            field=entry.field,
        )
        for entry in entries
        if entry.by == "Client"
    )


def enforcement(spec: Consumed, capabilities: Capabilities, *, dead_letters_to: str | None) -> tuple[Enforcement, ...]:
    """Return who honours each stated field. `dead_letters_to`: what takes the dead letters, if anything does."""
    entries = [*delivery_notes(spec, capabilities, dead_letters_to=dead_letters_to)]
    if spec.require_broker_enforcement:
        entries.append(Enforcement("spec.requireBrokerEnforcement", "Broker", "nothing is left to the client"))
    return tuple(entries)
