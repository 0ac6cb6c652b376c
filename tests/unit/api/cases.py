"""Manifests that break one rule each, beside the nearest one that does not.

Read twice: by the API server (CEL) and by `api.parse`. Both must refuse the same and blame the same field in the same
words.
"""

import copy
from dataclasses import dataclass, field
from typing import Any, Final

from channel_operator.api.meta import Kind

Spec = dict[str, Any]

RABBITMQ: Final[Spec] = {"managementUrls": ["https://rabbitmq.messaging.svc:15671"]}
KAFKA: Final[Spec] = {"bootstrapServers": ["kafka.messaging.svc:9093"]}
LOGIN: Final[Spec] = {"passwordSecretRef": {"name": "operator-login"}}

MINIMAL: Final[dict[Kind, Spec]] = {
    Kind.BROKER: {"rabbitmq": RABBITMQ, "credentials": LOGIN},
    Kind.BROKER_USER: {"brokerRef": {"name": "main"}},
    Kind.QUEUE: {"brokerRef": {"name": "main"}},
    Kind.TOPIC: {"brokerRef": {"name": "main"}},
    Kind.SUBSCRIPTION: {"topicRef": {"name": "orders"}},
}


def at(path: str, value: Any, base: Spec | None = None) -> Spec:
    """Return a copy of `base` with the value at a dotted path; None takes the field away."""
    spec = copy.deepcopy(base or {})
    *parents, last = path.split(".")
    node = spec
    for name in parents:
        node = node.setdefault(name, {})
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value
    return spec


def spec(kind: Kind, **fields: Any) -> Spec:
    """Return the least that a kind needs, with these fields laid over."""
    return {**copy.deepcopy(MINIMAL[kind]), **fields}


@dataclass(frozen=True)
class Case:
    """`bad` is refused with exactly one complaint, `good` is accepted."""

    kind: Kind
    path: str
    message: str
    bad: Spec
    good: Spec
    fault: str = "Invalid value"
    shown: str | None = None
    """The value as the API server prints it, where the rule is on the value itself."""
    id: str = field(default="")

    @property
    def complaint(self) -> str:
        """What kubectl prints of it."""
        value = f"{self.shown}: " if self.shown is not None else ""
        return f"spec.{self.path}: {self.fault}: {value}{self.message}"


Q, T, S, B, U = Kind.QUEUE, Kind.TOPIC, Kind.SUBSCRIPTION, Kind.BROKER, Kind.BROKER_USER
FORBIDDEN, REQUIRED = "Forbidden", "Required value"


def _ordering(kind: Kind) -> list[Case]:
    """Return what Queue and Subscription refuse alike of the order of messages."""
    per_key = {"ordering": "PerKey", "shards": 4}
    return [
        Case(
            kind,
            "shards",
            "shards go with ordering: PerKey only",
            spec(kind, shards=4),
            spec(kind, **per_key),
            FORBIDDEN,
        ),
        Case(
            kind,
            "orderingKey",
            "orderingKey goes with ordering: PerKey only",
            spec(kind, ordering="Strict", orderingKey={"header": "customer"}),
            spec(kind, **per_key, orderingKey={"header": "customer"}),
            FORBIDDEN,
        ),
    ]


def _failing(kind: Kind) -> list[Case]:
    """Return what Queue and Subscription refuse alike of messages that fail."""
    return [
        Case(
            kind,
            "retry",
            "state maxDeliveries, backoff, or both",
            spec(kind, retry={}),
            spec(kind, retry={"maxDeliveries": 5}),
            REQUIRED,
        ),
        Case(
            kind,
            "retry.backoff.initial",
            "initial must not be longer than max",
            spec(kind, retry={"backoff": {"initial": "61s", "max": "1m"}}),
            spec(kind, retry={"backoff": {"initial": "60s", "max": "1m"}}),
        ),
        Case(
            kind,
            "deadLetter.consumers",
            "consumers are for this queue's own dead-letter queue; with queueRef, list them on that Queue",
            spec(kind, deadLetter={"queueRef": {"name": "dead"}, "consumers": [{"name": "ops"}]}),
            spec(kind, deadLetter={"consumers": [{"name": "ops"}]}),
            FORBIDDEN,
        ),
    ]


CHANNEL_CASES: Final = [
    *_ordering(Q),
    *_failing(Q),
    *_ordering(S),
    *_failing(S),
    Case(
        Q,
        "limits.overflow",
        "DropOldest contradicts deadLetter.strategy: AtLeastOnce, which needs RejectNew; remove one of the two",
        spec(Q, deadLetter={"strategy": "AtLeastOnce"}, limits={"maxMessages": 9, "overflow": "DropOldest"}),
        spec(Q, deadLetter={"strategy": "AtLeastOnce"}, limits={"maxMessages": 9, "overflow": "RejectNew"}),
        FORBIDDEN,
    ),
    Case(
        Q,
        "shards",
        "ordering: PerKey needs shards, the number of parts that work side by side",
        spec(Q, ordering="PerKey"),
        spec(Q, ordering="PerKey", shards=2),
        REQUIRED,
    ),
    Case(
        Q,
        "kafka.partitions",
        "with ordering: PerKey the number of partitions is spec.shards; remove kafka.partitions",
        spec(Q, ordering="PerKey", shards=2, kafka={"partitions": 2}),
        spec(Q, kafka={"partitions": 2}),
        FORBIDDEN,
    ),
    Case(
        Q,
        "kafka.partitions",
        "ordering: Strict allows one partition only",
        spec(Q, ordering="Strict", kafka={"partitions": 2}),
        spec(Q, ordering="Strict", kafka={"partitions": 1}),
    ),
    *(
        Case(
            kind,
            "kafka.resetConfig",
            "a key cannot be both set in config and reset in resetConfig",
            spec(kind, kafka={"config": {"max.message.bytes": "1"}, "resetConfig": ["max.message.bytes"]}),
            spec(kind, kafka={"config": {"max.message.bytes": "1"}, "resetConfig": ["segment.ms"]}),
        )
        for kind in (Q, T)
    ),
    Case(
        S,
        "limits.overflow",
        "a subscription cannot refuse messages: that would refuse the topic's publishers; use DropOldest",
        spec(S, limits={"maxMessages": 9, "overflow": "RejectNew"}),
        spec(S, limits={"maxMessages": 9, "overflow": "DropOldest"}),
        FORBIDDEN,
    ),
    Case(
        S,
        "deadLetter.strategy",
        "a subscription cannot use AtLeastOnce: a full queue would refuse the topic's publishers; use AtMostOnce",
        spec(S, deadLetter={"strategy": "AtLeastOnce"}),
        spec(S, deadLetter={"strategy": "AtMostOnce"}),
        FORBIDDEN,
    ),
    Case(
        S,
        "startFrom.timestamp",
        "timestamp goes with position: Timestamp, and with nothing else",
        spec(S, startFrom={"position": "Timestamp"}),
        spec(S, startFrom={"position": "Timestamp", "timestamp": "2030-01-31T12:00:00Z"}),
    ),
    Case(
        S,
        "startFrom.timestamp",
        "timestamp goes with position: Timestamp, and with nothing else",
        spec(S, startFrom={"timestamp": "2030-01-31T12:00:00Z"}),
        spec(S, startFrom={"position": "Earliest"}),
        id="Latest",
    ),
]
