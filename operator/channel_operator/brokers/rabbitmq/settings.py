"""The settings of a queue as arguments of its declaration. Decides how each field is said to RabbitMQ."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from channel_operator.api.common import Overflow
from channel_operator.api.queue import QueueSpec
from channel_operator.api.values import bytes_of, seconds
from channel_operator.brokers.rabbitmq.names import ChannelNames
from channel_operator.brokers.rabbitmq.resources import DEAD_LETTER_EXCHANGE, DELIVERY_LIMIT, QUEUE_TYPE, Queue

__all__ = ["UNLIMITED", "dead_letter_queue", "effective", "main_queue"]

QUORUM: Final = "quorum"
UNLIMITED: Final = -1
"""A delivery limit that never ends: without it RabbitMQ drops a message at its 20th redelivery."""


def _delivery_limit(spec: QueueSpec) -> int | None:
    """Return the redeliveries that make `maxDeliveries` in all: the first delivery is not counted by RabbitMQ."""
    tries = spec.retry.max_deliveries if spec.retry else None
    return None if tries is None else tries - 1


def _message_ttl(spec: QueueSpec) -> int | None:
    return None if spec.message_ttl is None else round(seconds(spec.message_ttl) * 1000)


def _max_length(spec: QueueSpec) -> int | None:
    return spec.limits.max_messages if spec.limits else None


def _max_bytes(spec: QueueSpec) -> int | None:
    return bytes_of(spec.limits.max_bytes) if spec.limits and spec.limits.max_bytes else None


def _overflow(spec: QueueSpec) -> str | None:
    """DropOldest is what RabbitMQ does anyway: it is not stated."""
    return "reject-publish" if spec.limits and spec.limits.overflow is Overflow.REJECT_NEW else None


def _group_size(spec: QueueSpec) -> int | None:
    return spec.replicas


_SETTINGS: Final[tuple[tuple[str, Callable[[QueueSpec], Any]], ...]] = (
    (DELIVERY_LIMIT, _delivery_limit),
    ("x-max-length", _max_length),
    ("x-max-length-bytes", _max_bytes),
    ("x-message-ttl", _message_ttl),
    ("x-overflow", _overflow),
    ("x-quorum-initial-group-size", _group_size),
)


def main_queue(names: ChannelNames, spec: QueueSpec, stated: QueueSpec) -> Queue:
    """Return the queue itself.

    The dead-letter exchange is always named, whether or not it exists (RabbitMQ accepts that and drops the dead
    letters): so a target can come and go later by bindings alone. A queue of somebody else's making without it fits
    as long as no dead letters are asked for.
    """
    arguments: dict[str, Any] = {
        QUEUE_TYPE: QUORUM,
        DEAD_LETTER_EXCHANGE: names.dead_letter_exchange,
        DELIVERY_LIMIT: UNLIMITED,
    }
    flexible = set() if spec.dead_letter is not None else {DEAD_LETTER_EXCHANGE}
    for name, value_in in _SETTINGS:
        value = value_in(spec)
        if value is None:
            continue
        arguments[name] = value
        if value_in(stated) is None:
            flexible.add(name)
    return Queue(names.queue, QUORUM, arguments=tuple(sorted(arguments.items())), flexible=frozenset(flexible))


def dead_letter_queue(names: ChannelNames) -> Queue:
    """Return the channel's own dead-letter queue: no limit, no dead letter of its own, so nothing leaves it unread."""
    return Queue(names.dead, QUORUM, arguments=((DELIVERY_LIMIT, UNLIMITED), (QUEUE_TYPE, QUORUM)))


def effective(spec: QueueSpec, stated: QueueSpec) -> Mapping[str, Any]:
    """Return what a default decided, in the words of the manifest, for `status.effective`."""
    found: dict[str, Any] = {}
    if stated.rabbitmq is None or stated.rabbitmq.type is None:
        found["rabbitmq"] = {"type": "Quorum"}
    if stated.retry is None and spec.retry is not None and spec.retry.max_deliveries is not None:
        found["retry"] = {"maxDeliveries": spec.retry.max_deliveries}
    if stated.limits is None and spec.limits is not None:
        limits = {
            "maxMessages": spec.limits.max_messages,
            "maxBytes": spec.limits.max_bytes,
            "overflow": str(spec.limits.overflow or Overflow.DROP_OLDEST),
        }
        found["limits"] = {name: value for name, value in limits.items() if value is not None}
    if stated.replicas is None and spec.replicas is not None:
        found["replicas"] = spec.replicas
    return found
