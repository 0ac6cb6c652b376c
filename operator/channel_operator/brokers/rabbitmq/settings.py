"""The settings of a queue as arguments of its declaration. Decides how each field is said to RabbitMQ."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeVar

from channel_operator.api.common import Overflow, QueueType, SettingsMode
from channel_operator.api.delivery import DeadLetterStrategy, Ordering
from channel_operator.api.queue import QueueSpec
from channel_operator.api.subscription import SubscriptionSpec
from channel_operator.api.values import bytes_of, seconds
from channel_operator.brokers.rabbitmq.arguments import by_policy
from channel_operator.brokers.rabbitmq.names import ChannelNames
from channel_operator.brokers.rabbitmq.resources import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_STRATEGY,
    DELIVERY_LIMIT,
    QUEUE_TYPE,
    Queue,
)

__all__ = [
    "UNLIMITED",
    "Consumed",
    "at_least_once",
    "dead_letter_queue",
    "declared",
    "effective",
    "is_classic",
    "left_to_policy",
    "main_queue",
    "queue_type",
]

Consumed = QueueSpec | SubscriptionSpec
"""The kinds whose messages wait in queues of their own."""

_Spec = TypeVar("_Spec")

QUORUM: Final = "quorum"
UNLIMITED: Final = -1
"""A delivery limit that never ends: without it RabbitMQ drops a message at its 20th redelivery."""

_NO_LONGEST_DELAY: Final = 10 * 365 * 24 * 3600 * 1000
"""Ten years, in milliseconds. Without a longest delay RabbitMQ takes the first for every try (measured on 4.3.6)."""


def queue_type(spec: Consumed) -> QueueType:
    """Return what kind of queue it is; every default is in the spec already, but for those of a bare spec."""
    stated = spec.rabbitmq.type if spec.rabbitmq else None
    return stated or QueueType.QUORUM


def is_classic(spec: Consumed) -> bool:
    """Whether it is a classic queue, which knows neither deliveries nor replicas."""
    return queue_type(spec) is QueueType.CLASSIC


def at_least_once(spec: Consumed) -> bool:
    """Whether a dead letter stays until its target has it."""
    return spec.dead_letter is not None and spec.dead_letter.strategy is DeadLetterStrategy.AT_LEAST_ONCE


def _milliseconds(duration: str | None) -> int | None:
    return None if duration is None else round(seconds(duration) * 1000)


def _delivery_limit(spec: Consumed) -> int | None:
    """Return the redeliveries that make `maxDeliveries` in all: the first delivery is not counted by RabbitMQ."""
    tries = spec.retry.max_deliveries if spec.retry else None
    return None if tries is None or is_classic(spec) else tries - 1


def _retry_type(spec: Consumed) -> str | None:
    """Delay every message that comes back, whether or not the consumer said that it failed."""
    return "all" if _first_delay(spec) is not None else None


def _first_delay(spec: Consumed) -> int | None:
    backoff = spec.retry.backoff if spec.retry else None
    return None if backoff is None or is_classic(spec) else _milliseconds(backoff.initial)


def _longest_delay(spec: Consumed) -> int | None:
    backoff = spec.retry.backoff if spec.retry else None
    if backoff is None or is_classic(spec):
        return None
    return _milliseconds(backoff.max) or _NO_LONGEST_DELAY


def _message_ttl(spec: Consumed) -> int | None:
    return _milliseconds(spec.message_ttl)


def _consumer_timeout(spec: Consumed) -> int | None:
    return _milliseconds(spec.ack_timeout)


def _max_length(spec: Consumed) -> int | None:
    return spec.limits.max_messages if spec.limits else None


def _max_bytes(spec: Consumed) -> int | None:
    return bytes_of(spec.limits.max_bytes) if spec.limits and spec.limits.max_bytes else None


def _overflow(spec: Consumed) -> str | None:
    """DropOldest is what RabbitMQ does anyway: it is not stated. Dead letters at least once need the other."""
    rejects = bool(spec.limits and spec.limits.overflow is Overflow.REJECT_NEW) or at_least_once(spec)
    return "reject-publish" if rejects else None


def _strategy(spec: Consumed) -> str | None:
    return "at-least-once" if at_least_once(spec) else None


def _single_active_consumer(spec: Consumed) -> bool | None:
    """One consumer at a time keeps the order of a queue, be it the only one or a shard."""
    return True if spec.ordering is not Ordering.NONE else None


def _group_size(spec: Consumed) -> int | None:
    return None if is_classic(spec) else spec.replicas


def _max_priority(spec: Consumed) -> int | None:
    return spec.rabbitmq.max_priority if spec.rabbitmq else None


_SETTINGS: Final[tuple[tuple[str, Callable[[Consumed], Any]], ...]] = (
    (DELIVERY_LIMIT, _delivery_limit),
    ("x-consumer-timeout", _consumer_timeout),
    (DEAD_LETTER_STRATEGY, _strategy),
    ("x-delayed-retry-max", _longest_delay),
    ("x-delayed-retry-min", _first_delay),
    ("x-delayed-retry-type", _retry_type),
    ("x-max-length", _max_length),
    ("x-max-length-bytes", _max_bytes),
    ("x-max-priority", _max_priority),
    ("x-message-ttl", _message_ttl),
    ("x-overflow", _overflow),
    ("x-quorum-initial-group-size", _group_size),
    ("x-single-active-consumer", _single_active_consumer),
)


def main_queue(names: ChannelNames, spec: Consumed, stated: Consumed) -> Queue:
    """Return the queue itself; of a channel with shards, what all of them are.

    The dead-letter exchange is always named, whether or not it exists (RabbitMQ accepts that and drops the dead
    letters): so a target can come and go later by bindings alone. A queue of somebody else's making without it fits
    as long as no dead letters are asked for.
    """
    native_type = queue_type(spec).lower()
    arguments: dict[str, Any] = {QUEUE_TYPE: native_type, DEAD_LETTER_EXCHANGE: names.dead_letter_exchange}
    if not is_classic(spec):
        arguments[DELIVERY_LIMIT] = UNLIMITED
    flexible = set() if spec.dead_letter is not None else {DEAD_LETTER_EXCHANGE}
    found = declared(names.queue, arguments, flexible, _SETTINGS, spec, stated)
    return by_policy(found) if left_to_policy(spec) else found


def declared(
    name: str,
    fixed: Mapping[str, Any],
    flexible: Collection[str],
    settings: Iterable[tuple[str, Callable[[_Spec], Any]]],
    spec: _Spec,
    stated: _Spec,
) -> Queue:
    """Return a queue with `fixed` arguments and those that its effective `spec` sets.

    What the manifest itself does not state (`stated`) is flexible: an existing queue with another value fits.
    """
    found = {argument: value_in(spec) for argument, value_in in settings}
    unstated = {argument for argument, value_in in settings if found[argument] is not None and value_in(stated) is None}
    arguments = {**fixed, **{argument: value for argument, value in found.items() if value is not None}}
    return Queue(
        name,
        fixed[QUEUE_TYPE],
        arguments=tuple(sorted(arguments.items())),
        flexible=frozenset(unstated.union(flexible)),
    )


def left_to_policy(spec: Consumed) -> bool:
    """Whether its settings are left to a policy; the Broker's default is in the spec already."""
    return spec.rabbitmq is not None and spec.rabbitmq.settings is SettingsMode.POLICY


def dead_letter_queue(names: ChannelNames) -> Queue:
    """Return the channel's own dead-letter queue: no limit, no dead letter of its own, so nothing leaves it unread."""
    return Queue(names.dead, QUORUM, arguments=((DELIVERY_LIMIT, UNLIMITED), (QUEUE_TYPE, QUORUM)))


def effective(spec: Consumed, stated: Consumed) -> Mapping[str, Any]:
    """Return what a default decided, in the words of the manifest, for `status.effective`."""
    found: dict[str, Any] = {}
    native: dict[str, Any] = {}
    if stated.rabbitmq is None or stated.rabbitmq.type is None:
        native["type"] = str(queue_type(spec))
    if stated.rabbitmq is None or stated.rabbitmq.settings is None:
        native["settings"] = str(SettingsMode.POLICY if left_to_policy(spec) else SettingsMode.ARGUMENTS)
    if native:
        found["rabbitmq"] = native
    if stated.retry is None and spec.retry is not None:
        found["retry"] = _shown_retry(spec)
    if stated.limits is None and spec.limits is not None:
        limits = {
            "maxMessages": spec.limits.max_messages,
            "maxBytes": spec.limits.max_bytes,
            "overflow": str(spec.limits.overflow or _default_overflow(spec)),
        }
        found["limits"] = {name: value for name, value in limits.items() if value is not None}
    if stated.replicas is None and spec.replicas is not None and not is_classic(spec):
        found["replicas"] = spec.replicas
    return found


def _default_overflow(spec: Consumed) -> Overflow:
    return Overflow.REJECT_NEW if at_least_once(spec) else Overflow.DROP_OLDEST


def _shown_retry(spec: Consumed) -> Mapping[str, Any]:
    retry, shown = spec.retry, dict[str, Any]()
    if retry is not None and retry.max_deliveries is not None:
        shown["maxDeliveries"] = retry.max_deliveries
    if retry is not None and retry.backoff is not None:
        backoff = {"initial": retry.backoff.initial, "max": retry.backoff.max}
        shown["backoff"] = {name: value for name, value in backoff.items() if value is not None}
    return shown
