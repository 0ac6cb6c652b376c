"""What RabbitMQ cannot do of how messages reach their consumers, and what honouring a field means there.

Decides refusals and enforcement notes for what Queue and Subscription have in common. Never builds an object.
"""

from collections.abc import Iterator
from typing import Final

from channel_operator.api.common import Overflow
from channel_operator.api.delivery import Ordering
from channel_operator.api.reasons import Reason
from channel_operator.api.values import seconds
from channel_operator.brokers.rabbitmq.resources import CONSISTENT_HASH
from channel_operator.brokers.rabbitmq.settings import Consumed, at_least_once, is_classic
from channel_operator.core.accepted import Enforcement
from channel_operator.core.model import Capabilities, Problem

__all__ = ["DELAYED_RETRY", "delivery_notes", "delivery_problems"]

DELAYED_RETRY: Final = (4, 3)
"""With this version came delayed retry and exact consumer timeouts, both of quorum queues only; and since then neither
a message that was given back nor one that was taken back by a timeout counts as a failed delivery."""

_LONGEST_TTL: Final = 10 * 365 * 24 * 3600
"""Ten years, in seconds: RabbitMQ refuses a longer time to live."""


# -- refusals ----------------------------------------------------------------------------------------------------


def delivery_problems(spec: Consumed, stated: Consumed, capabilities: Capabilities) -> Iterator[Problem]:
    """Return why this cannot be had here; each field is judged by itself."""
    if spec.ordering is Ordering.PER_KEY and CONSISTENT_HASH not in capabilities.features:
        yield Problem(
            Reason.PLUGIN_MISSING,
            f"spec.ordering: PerKey needs the plugin rabbitmq_consistent_hash_exchange, which this RabbitMQ "
            f"{capabilities.version} has not enabled; have it enabled, or remove the field",
            field="spec.ordering",
        )
    yield from _classic(spec, stated) if is_classic(spec) else _quorum(spec, stated, capabilities)
    if at_least_once(spec) and spec.limits is not None and spec.limits.overflow is Overflow.DROP_OLDEST:
        # A contradiction in the manifest itself is refused by the API server.
        yield _unsupported(
            "spec.deadLetter.strategy",
            "AtLeastOnce needs a full queue to refuse new messages, and the Broker's spec.defaults.limits says "
            "DropOldest; state spec.limits with overflow: RejectNew, or use AtMostOnce",
        )
    if spec.message_ttl is not None and seconds(spec.message_ttl) > _LONGEST_TTL:
        yield _unsupported(
            "spec.messageTTL",
            f"RabbitMQ {capabilities.version} takes at most {_LONGEST_TTL // 3600}h (ten years); "
            "state less, or remove the field to keep messages for ever",
        )
    if spec.ack_timeout is not None and is_classic(spec) and capabilities.version_numbers >= DELAYED_RETRY:
        yield _unsupported(
            "spec.ackTimeout",
            f"RabbitMQ {capabilities.version} has no timeout for acknowledgements on classic queues any more; "
            "use rabbitmq.type: Quorum, or remove the field",
        )


def _unsupported(field: str, text: str) -> Problem:
    return Problem(Reason.UNSUPPORTED_BY_BROKER, f"{field}: {text}", field=field)


def _classic(spec: Consumed, stated: Consumed) -> Iterator[Problem]:
    """Refuse what only quorum queues do; a default that a classic queue cannot have is told of in the notes."""
    if stated.retry is not None and stated.retry.max_deliveries is not None:
        text = "a classic queue does not count deliveries; use rabbitmq.type: Quorum, or remove the field"
        yield _unsupported("spec.retry.maxDeliveries", text)
    if stated.retry is not None and stated.retry.backoff is not None:
        text = "a classic queue does not delay a retry; use rabbitmq.type: Quorum, or remove the field"
        yield _unsupported("spec.retry.backoff", text)
    if at_least_once(spec):
        text = "AtLeastOnce is for quorum queues; use rabbitmq.type: Quorum, or AtMostOnce"
        yield _unsupported("spec.deadLetter.strategy", text)
    if stated.replicas is not None:
        text = "a classic queue is on one node; use rabbitmq.type: Quorum, or remove the field"
        yield _unsupported("spec.replicas", text)


def _quorum(spec: Consumed, stated: Consumed, capabilities: Capabilities) -> Iterator[Problem]:
    if spec.rabbitmq is not None and spec.rabbitmq.max_priority is not None:
        text = "quorum queues have built-in priorities and take no maximum; remove it"
        yield _unsupported("spec.rabbitmq.maxPriority", text)
    if spec.retry is None or spec.retry.backoff is None or capabilities.version_numbers >= DELAYED_RETRY:
        return
    origin = "" if stated.retry else " (the Broker's spec.defaults.retry)"
    yield Problem(
        Reason.BROKER_VERSION_TOO_OLD,
        f"spec.retry.backoff{origin}: RabbitMQ {capabilities.version} cannot delay a retry, which came with 4.3; "
        "upgrade the broker, or remove the field",
        field="spec.retry.backoff",
    )


# -- notes -------------------------------------------------------------------------------------------------------


def delivery_notes(spec: Consumed, capabilities: Capabilities, *, dead_letters_to: str | None) -> Iterator[Enforcement]:
    """Return who honours each field and what that means. `dead_letters_to`: what the target is called, if any."""
    then = f"moved to {dead_letters_to}" if dead_letters_to is not None else "dropped"
    yield from _ordering_notes(spec)
    yield from _retry_notes(spec, capabilities, then)
    if spec.dead_letter is not None:
        text = "AtMostOnce: lost if the broker fails at that moment"
        if at_least_once(spec):
            text = "AtLeastOnce: kept until the target has it; a full queue refuses new messages"
        yield Enforcement("spec.deadLetter", "Broker", text)
    if spec.message_ttl is not None:
        yield Enforcement("spec.messageTTL", "Broker", f"{then} when expired")
    if spec.limits is not None:
        full = f"the oldest message is {then} when full"
        if spec.limits.overflow is Overflow.REJECT_NEW or at_least_once(spec):
            full = "a full queue refuses new messages"
        each = "" if spec.ordering is not Ordering.PER_KEY else "; counts for each shard"
        yield Enforcement("spec.limits", "Broker", full + each)
    if spec.ack_timeout is not None:
        yield Enforcement("spec.ackTimeout", "Broker", _timeout_note(capabilities))
    if spec.replicas is not None:
        text = "as many as the cluster has nodes at creation"
        if is_classic(spec):
            text = "the Broker's default is not for a classic queue, which is on one node"
        yield Enforcement("spec.replicas", "Broker", text)
    if spec.rabbitmq is not None and spec.rabbitmq.max_priority is not None:
        text = "the producer states the priority of a message, 0 when it does not; higher ones are delivered first"
        yield Enforcement("spec.rabbitmq.maxPriority", "Broker", text)


def _ordering_notes(spec: Consumed) -> Iterator[Enforcement]:
    if spec.ordering is Ordering.NONE:
        return
    if spec.ordering is Ordering.STRICT:
        text = "one consumer is active at a time, the others wait to take over"
    else:
        key = "routing key" if spec.ordering_key is None else f"header {spec.ordering_key.header}"
        text = f"messages with the same {key} are in one of {spec.shards} queues, each with one active consumer"
    text += "; basic.get is refused, and a message that is tried again may be overtaken"
    yield Enforcement("spec.ordering", "Broker", text)


def _retry_notes(spec: Consumed, capabilities: Capabilities, then: str) -> Iterator[Enforcement]:
    tries = spec.retry.max_deliveries if spec.retry else None
    if is_classic(spec):
        text = "a classic queue does not count deliveries: a failed message is delivered again without end"
        by = "Client" if spec.retry is not None else "Broker"
        if spec.retry is not None:
            text += "; the Broker's default is left to the client"
        yield Enforcement("spec.retry", by, text)
        return
    if tries is None:
        yield Enforcement("spec.retry", "Broker", "not set: a failed message is delivered again without end")
    else:
        note = f"{then} after {tries} {'delivery' if tries == 1 else 'deliveries'}"
        if capabilities.version_numbers >= DELAYED_RETRY:
            note += "; from RabbitMQ 4.3 basic.nack with requeue does not count, basic.reject and disconnects do"
        yield Enforcement("spec.retry.maxDeliveries", "Broker", note)
    if spec.retry is not None and spec.retry.backoff is not None:
        backoff = spec.retry.backoff
        most = f", at most {backoff.max}" if backoff.max is not None else ""
        text = f"{backoff.initial} times the number of failed deliveries{most}; after basic.nack {backoff.initial} more"
        yield Enforcement("spec.retry.backoff", "Broker", text)


def _timeout_note(capabilities: Capabilities) -> str:
    if capabilities.version_numbers >= DELAYED_RETRY:
        return "the consumer is cancelled and its messages go to another; that does not count as a delivery"
    return "looked at once a minute; the consumer's channel is closed and its messages go to another"
