"""The values everyone speaks in: keys, parts, resources, changes, plans, outcomes, capabilities.

Decides nothing. A driver's own resources (a queue, a permission) are NamedTuples of the driver; what the core and the
engine need to know of them is the `Resource` protocol.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.errors import OperatorError


class Key(NamedTuple):
    """Names one Kubernetes object of ours."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Queue billing/invoices`, as messages print it."""
        return f"{self.kind} {self.namespace}/{self.name}"


class ResourceId(NamedTuple):
    """Names one native object within one broker (for RabbitMQ: within its vhost and cluster).

    `kind` is the driver's word (`Queue`, `Permission`, `Topic`); `path` what identifies it there, for a binding
    several strings.
    """

    kind: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        """`Queue billing.invoices`, as plans print it."""
        return f"{self.kind} {' '.join(self.path)}"


@runtime_checkable
class Resource(Protocol):
    """A native object as it should be or as it was seen: immutable, comparable."""

    @property
    def id(self) -> ResourceId:
        """What it is called on the broker."""

    @property
    def holds_data(self) -> bool:
        """Whether deleting it could lose messages."""


class Secret:
    """A secret string that no repr, log or message can show by accident. Equal by value, hashable."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself: only at the edge where it is sent or stored."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Refuse to be pickled or deep-copied into something that could be printed."""
        raise TypeError("a Secret is not serialisable")


class Mode(Enum):
    """What an owner says of one native object."""

    ASSERT = "assert"
    """It should be as the part's content says."""
    KEEP = "keep"
    """Of a shared object: what it asks for stays as far as it is there already, and nothing is added."""
    HOLD = "hold"
    """What is there stays as it is: the owner is invalid, disabled or unclear."""
    WITHDRAW = "withdraw"
    """It should not be there (as far as this owner is concerned); see `Removal` for what holds data."""


class Removal(StrEnum):
    """How a withdrawn object that holds data goes. Objects without data are just removed."""

    DELETE = "Delete"
    DELETE_IF_EMPTY = "DeleteIfEmpty"
    REGARDLESS = "Regardless"
    """Of what holds no data: it goes whatever becomes of what does."""


class Part(NamedTuple):
    """One owner's say on one native object.

    `since` orders the owners of a shared object (oldest first): creationTimestamp, then uid.
    `content` is the driver's own value under ASSERT and KEEP, a `Removal` or None under WITHDRAW, None under HOLD.
    """

    id: ResourceId
    owner: Key
    mode: Mode
    content: Any = None
    since: tuple[str, str] = ("", "")


class Action(StrEnum):
    """What a change does to one native object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RECREATE = "recreate"
    """A new one comes in its place if it is empty and unused, and nothing that comes in meanwhile is lost."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write to a broker. `desired` is None for a deletion, `observed` None for a creation."""

    id: ResourceId
    action: Action
    desired: Resource | None
    observed: Resource | None
    owners: frozenset[Key]
    stage: int
    """Changes of a lower stage are done first; those of one stage may run side by side."""
    removal: Removal | None = None
    """For deletions of objects that hold data: whether they must be empty."""
    narrows: bool = False
    """It takes something away (an object, a right): never before the store is known to be complete."""
    destructive: bool = False
    """It can lose messages."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an object (or one of its fields) cannot be had, as the user will read it.

    `condition` is where it shows. `stalled`: only a user can fix it; else work goes on or something is awaited.
    """

    reason: Reason
    message: str
    condition: ConditionType = ConditionType.ACCEPTED
    field: str | None = None
    stalled: bool = True


class Refusal(NamedTuple):
    """A part that could not be taken into a shared object (its permission pattern would be too long)."""

    owner: Key
    content: Any


class Assembled(NamedTuple):
    """What all owners of one native object together want.

    `resource`: as it should be; None = it should not exist. `held`: leave it exactly as it is (then `resource` has
    no meaning). `removal`: how to delete it when it holds data. `destructive`: making it so can lose messages.
    """

    resource: Resource | None
    held: bool = False
    removal: Removal | None = None
    refused: tuple[Refusal, ...] = ()
    destructive: bool = False


class Difference(NamedTuple):
    """How an observed native object differs from the desired one.

    `fields` are the native properties that differ, for messages: `x-max-length 100 → 50`. `blocked`: the broker
    cannot change it in place, so nothing is written; the caller says ImmutableOnBroker or AdoptionRefused according to
    who made the object, unless `reason` is given. `narrows`: writing it takes a right away. `recreatable`: a new object
    in its place would be as desired.
    """

    fields: tuple[str, ...]
    blocked: bool = False
    reason: Reason | None = None
    narrows: bool = False
    recreatable: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass will do, will not do and has noticed. Data only: printable and serialisable."""

    changes: tuple[Change, ...] = ()
    blocked: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict)
    drift: tuple[Change, ...] = ()
    refused: Mapping[ResourceId, tuple[Refusal, ...]] = field(default_factory=dict)
    waiting: Mapping[ResourceId, tuple[ResourceId, ...]] = field(default_factory=dict)
    """What cannot be written before others stand, and which."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change. `error` None: done (already there and already gone count as done).

    `resource`: the object as it now is on the broker, None = gone. `kept`: a DeleteIfEmpty that found messages.
    """

    change: Change
    resource: Resource | None
    error: OperatorError | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker is and can do, read when a session opens.

    `identity` names what holds the objects (RabbitMQ: internal cluster id + vhost; Kafka: cluster id) and changes
    when the broker is wiped or replaced. `cluster` names what holds the users.
    """

    product: str
    version: str
    identity: str
    cluster: str
    features: frozenset[str] = frozenset()

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """The version as numbers for comparison: `4.3.6` → (4, 3, 6)."""
        numbers = []
        for piece in self.version.split("."):
            digits = "".join(c for c in piece if c.isdigit())
            if not digits:
                break
            numbers.append(int(digits))
        return tuple(numbers)


@dataclass(slots=True)
class Observation:
    """What a broker has. `complete`: everything was looked at, so what is not in `resources` does not exist.

    Otherwise only the ids asked for were read. Those asked for that are absent are in `missing`.
    """

    resources: dict[ResourceId, Resource]
    complete: bool = True
    missing: frozenset[ResourceId] = frozenset()


def by_stage(changes: Iterable[Change]) -> list[list[Change]]:
    """Group changes by stage, lowest first; within a group the order does not matter."""
    groups: dict[int, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.stage, []).append(change)
    return [groups[stage] for stage in sorted(groups)]
