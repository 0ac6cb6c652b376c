"""A Topic that keeps its messages: a stream, or a super stream of several, and the exchange that publishers use.

Decides names and native objects of the log itself. Never decides what a field may say (topic_rules).
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from channel_operator.api.topic import TopicSpec
from channel_operator.api.values import bytes_of, seconds
from channel_operator.brokers.rabbitmq.arguments import by_policy
from channel_operator.brokers.rabbitmq.names import ENTRY_SUFFIX, main_of
from channel_operator.brokers.rabbitmq.resources import (
    DIRECT,
    FANOUT,
    MAX_AGE,
    QUEUE_TYPE,
    SEGMENT_BYTES,
    SUPER_STREAM,
    Binding,
    Exchange,
    Queue,
    arguments_of,
)
from channel_operator.brokers.rabbitmq.settings import declared
from channel_operator.core.accepted import Subject

__all__ = [
    "MAX_PARTITIONS",
    "LogNames",
    "bytes_per_partition",
    "feeding",
    "log_bindings",
    "log_exchange",
    "log_streams",
    "told_partitions",
]

STREAM: Final = "stream"
MAX_PARTITIONS: Final = 256
"""More names than that fit neither the bounds of a status nor a permission."""
_PARTITION_ORDER: Final = "x-stream-partition-order"
_LARGEST_SEGMENT: Final = 500_000_000
_SMALLEST_SEGMENT: Final = 1_000_000
_SEGMENTS: Final = 4
"""RabbitMQ drops whole segments, and 500 MB is its own size of one: a smaller log needs smaller ones to keep to it."""


def told_partitions(subject: Subject) -> int | None:
    """Return how many partitions a Topic has as its status told, None where no Topic can have so many."""
    number: int | None = (subject.told.get("effective") or {}).get("partitions")
    return number if number is not None and 0 < number <= MAX_PARTITIONS else None


class LogNames(NamedTuple):
    """A log's streams and the exchange that AMQP publishers use.

    The exchange of a super stream has the super stream's own name: that is how stream clients find its partitions.
    """

    log: str
    entry: str
    streams: tuple[str, ...]

    @classmethod
    def of(cls, name: str, partitions: int) -> "LogNames":
        """Derive them from the native name of the Topic."""
        if partitions == 1:
            return cls(name, name + ENTRY_SUFFIX, (name,))
        return cls(name, name, tuple(f"{name}_{number}" for number in range(partitions)))

    @property
    def is_super(self) -> bool:
        """Whether it is a super stream."""
        return self.entry == self.log


def bytes_per_partition(spec: TopicSpec) -> int | None:
    """Return what each stream may keep: the manifest states it over all partitions."""
    if spec.retention is None or spec.retention.bytes is None:
        return None
    return max(1, bytes_of(spec.retention.bytes) // (spec.partitions or 1))


def _max_age(spec: TopicSpec) -> str | None:
    """Return the age in whole seconds, the smallest unit of a stream; never shorter than asked for."""
    if spec.retention is None or spec.retention.time is None:
        return None
    return f"{-int(-seconds(spec.retention.time) // 1)}s"


def _segment_bytes(spec: TopicSpec) -> int:
    kept = bytes_per_partition(spec)
    return _LARGEST_SEGMENT if kept is None else max(_SMALLEST_SEGMENT, min(_LARGEST_SEGMENT, kept // _SEGMENTS))


def _cluster_size(spec: TopicSpec) -> int | None:
    return spec.replicas


_SETTINGS: Final[tuple[tuple[str, Callable[[TopicSpec], Any]], ...]] = (
    ("x-initial-cluster-size", _cluster_size),
    (MAX_AGE, _max_age),
    ("x-max-length-bytes", bytes_per_partition),
)


def log_streams(names: LogNames, spec: TopicSpec, stated: TopicSpec, *, left_to_policy: bool) -> list[Queue]:
    """Return the streams, which differ by name only.

    The size of a segment is always stated, so that a stream made here is known by it; on an existing one it is its
    maker's.
    """
    fixed = {QUEUE_TYPE: STREAM, SEGMENT_BYTES: _segment_bytes(spec)}
    one = declared(names.log, fixed, {SEGMENT_BYTES}, _SETTINGS, spec, stated)
    if left_to_policy:
        one = by_policy(one)
    return [one._replace(name=name) for name in names.streams]


def log_exchange(names: LogNames) -> Exchange:
    """Return where AMQP publishers send: with one stream all to it, else by the number of the partition."""
    if names.is_super:
        return Exchange(names.entry, DIRECT, arguments=arguments_of({SUPER_STREAM: True}))
    return Exchange(names.entry, FANOUT)


def feeding(stream: str) -> Binding:
    """Return the binding that leads into a stream, be it a whole log or a partition, by its name alone."""
    log, _, number = stream.rpartition("_")
    if main_of(stream) == stream:
        return Binding(stream + ENTRY_SUFFIX, stream)
    return Binding(log, stream, routing_key=number, arguments=arguments_of({_PARTITION_ORDER: int(number)}))


def log_bindings(names: LogNames) -> list[Binding]:
    """Return what leads into the streams. Stream clients read the order of the partitions from these."""
    if not names.is_super:
        return [feeding(names.log)]
    return [feeding(stream) for stream in names.streams]
