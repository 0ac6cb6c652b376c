"""What each argument of a queue stands for, and how RabbitMQ combines it with a policy.

Decides which difference between a manifest and a living queue a policy can make good, and which needs a new queue.
Never decides whether a policy may be written (`shadows`) and never reads the manifest (`settings`).
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from channel_operator.brokers.rabbitmq.resources import (
    DEAD_LETTER_EXCHANGE,
    DELIVERY_LIMIT,
    MAX_AGE,
    QUEUE_TYPE,
    SEGMENT_BYTES,
    Queue,
)

__all__ = [
    "ROWS",
    "STREAM",
    "Combines",
    "by_policy",
    "for_policy",
    "for_policy_alone",
    "immutable",
    "policy_key",
    "same_maker",
]

CLASSIC: Final = "classic"
STREAM: Final = "stream"
_PREFIX: Final = "x-"


class Combines(Enum):
    """What holds where an argument and a policy both state a value (proven in test_rabbitmq_policy_facts)."""

    LOWER = "the lower number"
    POLICY = "the policy"
    ARGUMENT = "the argument"
    NEVER = "no policy knows it"


def _itself(value: Any) -> Any:
    return value


class Row(NamedTuple):
    """One argument. `field`: what the manifest calls it. `unset`: the value that says the same as leaving it out.

    `words`: the value as the manifest states it. `on_classic`: where classic queues combine otherwise.
    """

    argument: str
    field: str
    combines: Combines
    unset: Any = None
    words: Callable[[Any], str] = str
    on_classic: Combines | None = None
    only_with: str | None = None
    """It means nothing where this argument is not wanted."""
    size: Callable[[Any], Any] = _itself
    """The value as a number to compare by."""
    on_stream: str | None = None
    """What the manifest of a Topic calls it."""

    def name(self, queue_type: str) -> str:
        """Return what the manifest of a channel with such a queue calls it."""
        return self.on_stream if queue_type == STREAM and self.on_stream is not None else self.field

    def way(self, queue_type: str) -> Combines:
        """Return how a queue of this type combines it."""
        return self.on_classic if queue_type == CLASSIC and self.on_classic is not None else self.combines

    def plain(self, value: Any) -> Any:
        """Return the value, None where it says nothing."""
        return None if value == self.unset else value

    def shown(self, value: Any) -> str:
        """Return the value in the words of the manifest; `none` where it says nothing."""
        return "none" if self.plain(value) is None else self.words(value)


def _tries(limit: Any) -> str:
    return str(limit + 1) if isinstance(limit, int) else str(limit)


def _duration(milliseconds: Any) -> str:
    """Return 5400000 as `1h30m`, the way manifests write it."""
    if not isinstance(milliseconds, int):
        return str(milliseconds)
    left, pieces = milliseconds, []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            pieces.append(f"{count}{unit}")
    return "".join(pieces) or "0s"


_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "D": 86_400, "M": 30 * 86_400, "Y": 365 * 86_400}


def _age(value: Any) -> Any:
    """Return the age of a stream in seconds: `7D` → 604800 (RabbitMQ documentation "Streams", retention)."""
    text = str(value)
    number, unit = text[:-1], text[-1:]
    return int(number) * _UNITS[unit] if number.isdigit() and unit in _UNITS else value


def _overflow(value: Any) -> str:
    return {"drop-head": "DropOldest", "reject-publish": "RejectNew"}.get(value, str(value))


def _strategy(value: Any) -> str:
    return {"at-most-once": "AtMostOnce", "at-least-once": "AtLeastOnce"}.get(value, str(value))


_DELAYED: Final = "x-delayed-retry-type"
_TABLE: Final = (
    Row(DELIVERY_LIMIT, "spec.retry.maxDeliveries", Combines.LOWER, -1, _tries),
    Row("x-message-ttl", "spec.messageTTL", Combines.LOWER, None, _duration),
    Row("x-max-length", "spec.limits.maxMessages", Combines.LOWER),
    Row("x-max-length-bytes", "spec.limits.maxBytes", Combines.LOWER, on_stream="spec.retention.bytes"),
    Row(MAX_AGE, "spec.retention.time", Combines.LOWER, size=_age),
    Row("x-initial-cluster-size", "spec.replicas", Combines.NEVER),
    Row("x-overflow", "spec.limits.overflow", Combines.POLICY, "drop-head", _overflow, Combines.ARGUMENT),
    Row(DEAD_LETTER_EXCHANGE, "spec.deadLetter", Combines.ARGUMENT),
    Row("x-delayed-retry-type", "spec.retry.backoff", Combines.POLICY, "disabled"),
    Row("x-delayed-retry-min", "spec.retry.backoff.initial", Combines.LOWER, None, _duration, only_with=_DELAYED),
    Row("x-delayed-retry-max", "spec.retry.backoff.max", Combines.LOWER, None, _duration, only_with=_DELAYED),
    Row("x-dead-letter-strategy", "spec.deadLetter.strategy", Combines.NEVER, "at-most-once", _strategy),
    Row("x-single-active-consumer", "spec.ordering", Combines.NEVER, unset=False),
    Row("x-consumer-timeout", "spec.ackTimeout", Combines.LOWER, None, _duration),
    Row("x-max-priority", "spec.rabbitmq.maxPriority", Combines.NEVER),
    Row("x-quorum-initial-group-size", "spec.replicas", Combines.NEVER),
)
ROWS: Final[Mapping[str, Row]] = {row.argument: row for row in _TABLE}
"""By argument: those that fields of the manifest stand for. Others on an existing queue are its maker's."""


def policy_key(argument: str) -> str:
    """Return what a policy calls an argument: `x-max-length` → `max-length`."""
    return argument.removeprefix(_PREFIX)


def by_policy(queue: Queue) -> Queue:
    """Return the queue with everything that a policy can state left to its policy.

    The number of deliveries stays unlimited in the declaration: without any, the broker's own limit would hold.
    """
    kept, moved = {}, {}
    for argument, value in queue.arguments:
        row = ROWS.get(argument)
        stays = row is None or row.way(queue.type) is Combines.NEVER or argument == DEAD_LETTER_EXCHANGE
        if row is None or stays or row.plain(value) is None:
            kept[argument] = value
            continue
        moved[argument] = value
        if argument == DELIVERY_LIMIT:
            kept[argument] = row.unset
    return queue._replace(arguments=tuple(sorted(kept.items())), by_policy=tuple(sorted(moved.items())))


def same_maker(desired: Queue, observed: Queue) -> bool:
    """Whether the queue was declared by this operator: only such queues carry this very dead-letter exchange.

    A stream has none; those of the operator are known by a stated size of segments.

    Only there is an unstated setting known to be a removed one. On a queue that somebody else made, what the manifest
    does not state is its maker's choice.
    """
    wanted, found = dict(desired.arguments), dict(observed.arguments)
    if desired.type == STREAM:
        return SEGMENT_BYTES in found
    return DEAD_LETTER_EXCHANGE in wanted and found.get(DEAD_LETTER_EXCHANGE) == wanted[DEAD_LETTER_EXCHANGE]


class _Reach(Enum):
    SAME = "nothing to do"
    POLICY = "a policy makes it so"
    NEW_QUEUE = "only a new queue can have it"


def _reach(row: Row, want: Any, have: Any, queue_type: str) -> _Reach:
    """Decide what it takes to give a setting a value. `have`: as the declaration fixed it, None where it did not."""
    if row.size(row.plain(want)) == row.size(row.plain(have)):
        return _Reach.SAME
    match row.way(queue_type):
        case Combines.LOWER:
            lower = row.plain(want) is not None and (row.plain(have) is None or row.size(want) < row.size(have))
            return _Reach.POLICY if lower else _Reach.NEW_QUEUE
        case Combines.POLICY:
            return _Reach.POLICY
        case Combines.ARGUMENT:
            return _Reach.POLICY if have is None else _Reach.NEW_QUEUE
        case Combines.NEVER:
            return _Reach.NEW_QUEUE


def _compared(desired: Queue, observed: Queue) -> list[tuple[Row, Any, Any, _Reach]]:
    """Go through every setting in which the two could differ."""
    wanted = {**dict(desired.arguments), **dict(desired.by_policy)}
    found = dict(observed.arguments)
    ours = same_maker(desired, observed)
    result = []
    for argument in sorted(wanted.keys() | (ROWS.keys() & found.keys())):
        row = ROWS.get(argument)
        if row is None or (argument in desired.flexible and not (ours and argument in dict(desired.by_policy))):
            continue
        want, have = wanted.get(argument), found.get(argument)
        if row.plain(want) is None and not ours:
            continue
        if row.only_with is not None and ROWS[row.only_with].plain(wanted.get(row.only_with)) is None:
            continue
        result.append((row, want, have, _reach(row, want, have, observed.type)))
    return result


def immutable(desired: Queue, observed: Queue) -> list[str]:
    """Return what only a new queue can have, in the words of the manifest: `spec.limits.maxMessages 100 → 200`.

    Arguments that no field stands for, and that were asked for all the same, are named as RabbitMQ does.
    """
    fields = [
        f"{row.name(observed.type)} {row.shown(have)} → {row.shown(want)}"
        for row, want, have, reach in _compared(desired, observed)
        if reach is _Reach.NEW_QUEUE
    ]
    found = dict(observed.arguments)
    for argument, want in desired.arguments:
        if argument not in ROWS and argument != QUEUE_TYPE and argument not in desired.flexible:
            have = found.get(argument)
            if have != want:
                fields.append(f"{argument} {'none' if have is None else have} → {want}")
    return fields


def for_policy(desired: Queue, observed: Queue | None) -> dict[str, Any]:
    """Return what a policy has to state for a queue whose settings are in its declaration: what differs from it."""
    if observed is None:
        return {}
    return {
        policy_key(row.argument): row.unset if want is None else want
        for row, want, _, reach in _compared(desired, observed)
        if reach is _Reach.POLICY
    }


def for_policy_alone(desired: Queue, observed: Queue | None) -> dict[str, Any]:
    """Return what a policy has to state for a queue whose settings are all left to it."""
    if observed is None:
        return {policy_key(argument): value for argument, value in desired.by_policy}
    ours = same_maker(desired, observed)
    all_of_it = {
        policy_key(argument): value for argument, value in desired.by_policy if ours or argument not in desired.flexible
    }
    return {**all_of_it, **for_policy(desired, observed)}
