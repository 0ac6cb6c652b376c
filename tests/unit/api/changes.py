"""Changes of existing objects: each immutable field with two values, and the growth of partitions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from channel_operator.api.meta import Kind
from tests.unit.api.cases import FORBIDDEN, KAFKA, LOGIN, MINIMAL, RABBITMQ, B, Q, S, Spec, T, U, at, spec

NOT_CHANGED: Final = "cannot be changed, added or removed after creation"


@dataclass(frozen=True)
class Change:
    """An edit of a stored object: refused with exactly this complaint, or allowed (None)."""

    kind: Kind
    path: str
    what: str
    before: Spec
    after: Spec
    message: str | None
    also: tuple[str, ...] = ()
    """Other fields that the edit changes, refused in the same words."""

    @property
    def complaints(self) -> list[str]:
        """What kubectl prints of it."""
        return [f"spec.{path}: {FORBIDDEN}: {self.message}" for path in (self.path, *self.also) if self.message]


@dataclass(frozen=True)
class Fixed:
    """An immutable field: two values it could have, and how the rest of the manifest must look for them."""

    kind: Kind
    path: str
    one: Any
    other: Any
    default: Any = None
    base: Spec | None = None
    required: bool = False


_PER_KEY: Final[Spec] = {"ordering": "PerKey", "shards": 4}
_TLS: Final[Spec] = {"type": "TLS", "certificateSecretRef": {"name": "a"}}
_REF: Final[Spec] = {"name": "main", "namespace": "messaging"}

FIXED: Final[tuple[Fixed, ...]] = (
    *(Fixed(kind, "brokerRef", {"name": "main"}, _REF, required=True) for kind in (U, Q, T)),
    Fixed(S, "topicRef", {"name": "orders"}, {"name": "orders", "namespace": "shop"}, required=True),
    *(Fixed(kind, "physicalName", "a", "b") for kind in (Q, T, S)),
    *(Fixed(kind, "ordering", "Strict", "None", default="None") for kind in (Q, S)),
    *(Fixed(kind, "shards", 2, 3, base=spec(kind, ordering="PerKey"), required=kind is Q) for kind in (Q, S)),
    *(Fixed(kind, "orderingKey", {"header": "a"}, {"header": "b"}, base=spec(kind, **_PER_KEY)) for kind in (Q, S)),
    *(Fixed(kind, "rabbitmq.type", "Classic", "Quorum") for kind in (Q, S)),
    *(Fixed(kind, "rabbitmq.settings", "Policy", "Arguments") for kind in (Q, S)),
    *(Fixed(kind, "rabbitmq.maxPriority", 5, 6) for kind in (Q, S)),
    *(Fixed(kind, "kafka.groupProtocol", "Share", "Classic", default="Classic") for kind in (Q, S)),
    Fixed(T, "storage", "Log", "FanOut"),
    Fixed(S, "startFrom.position", "Earliest", "Latest", default="Latest"),
    Fixed(
        S,
        "startFrom.timestamp",
        "2030-01-01T00:00:00Z",
        "2031-01-01T00:00:00Z",
        base=spec(S, startFrom={"position": "Timestamp"}),
        required=True,
    ),
    Fixed(B, "rabbitmq.vhost", "shop", "/", default="/"),
    Fixed(B, "rabbitmq.certificateLogin", "DistinguishedName", "CommonName", default="CommonName"),
    Fixed(B, "naming.template", "a.{namespace}.{name}", "{namespace}.{name}", default="{namespace}.{name}"),
    Fixed(B, "naming.physicalName", "Never", "WithinPrefix", default="WithinPrefix"),
    Fixed(U, "username", "a", "b"),
    Fixed(U, "authentication.type", "Password", "Password", default="Password"),
    Fixed(
        U,
        "authentication.certificateSecretRef",
        {"name": "a"},
        {"name": "b"},
        base=spec(U, authentication={"type": "TLS"}),
        required=True,
    ),
    Fixed(U, "secret.name", "mine", "x-binding", default="x-binding"),
)
"""Objects are named `x`: the default name of their binding Secret is `x-binding`."""


def fixed_changes() -> Iterator[Change]:
    """Yield for every immutable field: changed, added, removed, its default added and removed, nothing changed."""
    for fixed in FIXED:
        base = fixed.base or MINIMAL[fixed.kind]
        one, other, absent = at(fixed.path, fixed.one, base), at(fixed.path, fixed.other, base), base
        edits: list[tuple[str, Spec, Spec, str | None]] = [("unchanged", one, one, None)]
        if one != other:
            edits.append(("changed", one, other, NOT_CHANGED))
        if not fixed.required and fixed.one != fixed.default:
            edits += [("added", absent, one, NOT_CHANGED), ("removed", one, absent, NOT_CHANGED)]
        if fixed.default is not None:
            default = at(fixed.path, fixed.default, base)
            edits += [("default added", absent, default, None), ("default removed", default, absent, None)]
        for what, before, after, message in edits:
            yield Change(fixed.kind, fixed.path, what, before, after, _SPECIAL.get((fixed.path, message), message))


_SPECIAL: Final[dict[tuple[str, str | None], str]] = {
    (
        "secret.name",
        NOT_CHANGED,
    ): "cannot be changed, added or removed after creation; applications have mounted this Secret",
}

_LOWER = "the number of partitions cannot be lowered"
_CONFIRM = "more partitions change which messages stay in order; to confirm, set growFrom to the present number"


def _growth(kind: Kind, prefix: str) -> list[Change]:
    def spec_with(partitions: int | None, grow_from: int | None = None) -> Spec:
        return at(f"{prefix}growFrom", grow_from, at(f"{prefix}partitions", partitions, MINIMAL[kind]))

    path = f"{prefix}partitions"
    return [
        Change(kind, path, "lowered", spec_with(6), spec_with(5, 6), _LOWER),
        Change(kind, path, "raised without growFrom", spec_with(6), spec_with(7), _CONFIRM),
        Change(kind, path, "raised with another growFrom", spec_with(6), spec_with(7, 5), _CONFIRM),
        Change(kind, path, "raised with growFrom", spec_with(6), spec_with(7, 6), None),
        Change(kind, path, "stated first", spec_with(None), spec_with(7), None),
        Change(kind, path, "no longer stated", spec_with(6), spec_with(None), None),
    ]


_KIND_OF_BROKER = "the kind of broker cannot be changed; make another Broker"
_RABBITMQ: Final[Spec] = {"rabbitmq": RABBITMQ, "credentials": LOGIN}
_KAFKA: Final[Spec] = {"kafka": KAFKA, "credentials": LOGIN}

CHANGES: Final = [
    *fixed_changes(),
    *_growth(T, ""),
    *_growth(Q, "kafka."),
    Change(B, "rabbitmq", "became kafka", _RABBITMQ, _KAFKA, _KIND_OF_BROKER),
    Change(
        U,
        "authentication.type",
        "became another type",
        spec(U, authentication={"type": "Password"}),
        spec(U, authentication=_TLS),
        NOT_CHANGED,
        ("authentication.certificateSecretRef",),
    ),
]

MUTABLE_CHANGES: Final = [
    Change(
        Q,
        "producers",
        "everything that may change",
        spec(Q),
        spec(
            Q,
            producers=[{"name": "a"}],
            consumers=[{"name": "b", "namespace": "shop"}],
            retry={"maxDeliveries": 5},
            deadLetter={},
            messageTTL="1h",
            limits={"maxMessages": 10},
            ackTimeout="5m",
            replicas=3,
            deletionPolicy="Delete",
            adoptionPolicy="Never",
            managementPolicy="Observe",
            requireBrokerEnforcement=True,
            rabbitmq={},
            kafka={"config": {"segment.ms": "1000"}, "groupProtocol": "Classic"},
        ),
        None,
    ),
    Change(
        B,
        "rabbitmq",
        "everything that may change",
        _RABBITMQ,
        spec(
            B,
            rabbitmq={**RABBITMQ, "clients": {"addresses": ["a:5671"]}, "settings": "Policy", "onRevoke": "Keep"},
            tls={"serverName": "a"},
            allowedNamespaces={"from": "All"},
            naming={},
            adoptableUsers=["legacy"],
            defaults={"deletionPolicy": "Delete", "queueType": "Classic"},
            managementPolicy="Observe",
            brake={"maxDeletions": 0},
        ),
        None,
    ),
]
