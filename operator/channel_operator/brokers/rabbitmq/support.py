"""What this driver cannot do (yet), and what honouring a field means on this broker.

Decides refusals and the enforcement notes of an accepted spec. Never builds an object.
"""

from collections.abc import Iterator
from typing import Final

from channel_operator.api.brokeruser import AuthenticationType, BrokerUserSpec
from channel_operator.api.common import QueueType, SettingsMode
from channel_operator.api.delivery import DeadLetterStrategy, Ordering
from channel_operator.api.queue import QueueSpec
from channel_operator.api.reasons import Reason
from channel_operator.api.values import seconds
from channel_operator.core.accepted import Enforcement
from channel_operator.core.model import Capabilities, Problem

__all__ = ["DELAYED_RETRY", "enforcement", "queue_problems", "user_problems"]

DELAYED_RETRY = (4, 3)
"""Delayed retry of quorum queues came with this version, and with it returns stopped counting as deliveries."""

_CONSISTENT_HASH = "x-consistent-hash"


_LONGEST_TTL: Final = 10 * 365 * 24 * 3600
"""Ten years, in seconds: RabbitMQ refuses a longer time to live."""


def _not_yet(field: str, what: str) -> Problem:
    return Problem(
        Reason.UNSUPPORTED_BY_BROKER,
        f"{field}: {what} is not supported by this version of the operator on RabbitMQ yet; remove it",
        field=field,
    )


def _ordering(spec: QueueSpec, capabilities: Capabilities) -> Iterator[Problem]:
    if spec.ordering is Ordering.NONE:
        return
    if spec.ordering is Ordering.PER_KEY and _CONSISTENT_HASH not in capabilities.features:
        yield Problem(
            Reason.PLUGIN_MISSING,
            f"spec.ordering: PerKey needs the plugin rabbitmq_consistent_hash_exchange, which this RabbitMQ "
            f"{capabilities.version} has not enabled; have it enabled, or remove the field",
            field="spec.ordering",
        )
        return
    yield _not_yet("spec.ordering", str(spec.ordering))


def _backoff(spec: QueueSpec, stated: QueueSpec, capabilities: Capabilities) -> Iterator[Problem]:
    if spec.retry is None or spec.retry.backoff is None:
        return
    origin = "" if stated.retry else " (the Broker's spec.defaults.retry)"
    if capabilities.version_numbers < DELAYED_RETRY:
        yield Problem(
            Reason.BROKER_VERSION_TOO_OLD,
            f"spec.retry.backoff{origin}: RabbitMQ {capabilities.version} cannot delay a retry, which came with 4.3; "
            "upgrade the broker, or remove the field",
            field="spec.retry.backoff",
        )
        return
    yield _not_yet("spec.retry.backoff", f"a delay between tries{origin}")


def _rabbitmq(spec: QueueSpec, default_type: QueueType, default_settings: SettingsMode) -> Iterator[Problem]:
    block = spec.rabbitmq
    stated_type = block.type if block else None
    if (stated_type or default_type) is QueueType.CLASSIC:
        origin = "" if stated_type else " (the Broker's spec.defaults.queueType)"
        yield _not_yet("spec.rabbitmq.type", f"Classic{origin}")
    stated_settings = block.settings if block else None
    if (stated_settings or default_settings) is SettingsMode.POLICY:
        origin = "" if stated_settings else " (the Broker's spec.rabbitmq.settings)"
        yield _not_yet("spec.rabbitmq.settings", f"Policy{origin}")
    if block and block.max_priority is not None:
        yield Problem(
            Reason.UNSUPPORTED_BY_BROKER,
            "spec.rabbitmq.maxPriority: quorum queues have built-in priorities and take no maximum; remove it",
            field="spec.rabbitmq.maxPriority",
        )


def queue_problems(
    spec: QueueSpec,
    stated: QueueSpec,
    capabilities: Capabilities,
    *,
    default_type: QueueType,
    default_settings: SettingsMode,
) -> tuple[Problem, ...]:
    """Return why this queue cannot be had here; each field is judged by itself."""
    problems = [
        *_ordering(spec, capabilities),
        *_backoff(spec, stated, capabilities),
        *_rabbitmq(spec, default_type, default_settings),
    ]
    if spec.dead_letter is not None:
        if spec.dead_letter.queue_ref is not None:
            problems.append(_not_yet("spec.deadLetter.queueRef", "another Queue as the dead-letter queue"))
        if spec.dead_letter.strategy is DeadLetterStrategy.AT_LEAST_ONCE:
            problems.append(_not_yet("spec.deadLetter.strategy", "AtLeastOnce"))
    if spec.message_ttl is not None and seconds(spec.message_ttl) > _LONGEST_TTL:
        problems.append(
            Problem(
                Reason.UNSUPPORTED_BY_BROKER,
                f"spec.messageTTL: RabbitMQ {capabilities.version} takes at most {_LONGEST_TTL // 3600}h (ten years); "
                "state less, or remove the field to keep messages for ever",
                field="spec.messageTTL",
            )
        )
    if spec.ack_timeout is not None:
        problems.append(_not_yet("spec.ackTimeout", "a timeout for acknowledgements"))
    if spec.kafka is not None:
        problems.append(
            Problem(
                Reason.UNSUPPORTED_BY_BROKER,
                f"spec.kafka: the Broker is RabbitMQ {capabilities.version}, which knows none of these settings; "
                "remove it",
                field="spec.kafka",
            )
        )
    return tuple(problems)


def user_problems(spec: BrokerUserSpec) -> tuple[Problem, ...]:
    """Return why this user cannot be had here."""
    problems = []
    if spec.authentication.type is AuthenticationType.TLS:
        problems.append(_not_yet("spec.authentication.type", "TLS"))
    if spec.rotation is not None:
        problems.append(_not_yet("spec.rotation", "rotation by schedule"))
    return tuple(problems)


def _retry_note(tries: int, capabilities: Capabilities, *, has_dead_letter: bool) -> str:
    then = "moved to the dead-letter queue" if has_dead_letter else "dropped"
    note = f"{then} after {tries} {'delivery' if tries == 1 else 'deliveries'}"
    if capabilities.version_numbers >= DELAYED_RETRY:
        note += "; from RabbitMQ 4.3 basic.nack with requeue does not count, basic.reject and disconnects do"
    return note


def enforcement(spec: QueueSpec, capabilities: Capabilities) -> tuple[Enforcement, ...]:
    """Return who honours each stated field. In this driver's present scope that is always the broker."""
    entries = []
    tries = spec.retry.max_deliveries if spec.retry else None
    has_dead_letter = spec.dead_letter is not None
    if tries is None:
        entries.append(Enforcement("spec.retry", "Broker", "not set: a failed message is delivered again without end"))
    else:
        note = _retry_note(tries, capabilities, has_dead_letter=has_dead_letter)
        entries.append(Enforcement("spec.retry.maxDeliveries", "Broker", note))
    if has_dead_letter:
        entries.append(Enforcement("spec.deadLetter", "Broker", "AtMostOnce: lost if the broker fails at that moment"))
    after = "moved to the dead-letter queue" if has_dead_letter else "dropped"
    if spec.message_ttl is not None:
        entries.append(Enforcement("spec.messageTTL", "Broker", f"{after} when expired"))
    if spec.limits is not None:
        full = "a full queue refuses new messages"
        if str(spec.limits.overflow or "DropOldest") == "DropOldest":
            full = f"the oldest message is {after} when full"
        entries.append(Enforcement("spec.limits", "Broker", full))
    if spec.replicas is not None:
        entries.append(Enforcement("spec.replicas", "Broker", "as many as the cluster has nodes at creation"))
    if spec.require_broker_enforcement:
        entries.append(Enforcement("spec.requireBrokerEnforcement", "Broker", "nothing is left to the client"))
    return tuple(entries)
