"""What the engine needs from the outside, as protocols and small values. Decides nothing, does no I/O.

`kube` and `telemetry` implement them, tests use stand-ins; the engine itself never imports a client library.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from channel_operator.api.reasons import EventReason
from channel_operator.brokers.base import Recorder
from channel_operator.core.model import Key, Secret
from channel_operator.errors import OperatorError, Retry

__all__ = [
    "NO_BROKER",
    "RESULTS",
    "Attribute",
    "Body",
    "BrokerFigures",
    "Conflict",
    "EventSink",
    "Forbidden",
    "Gone",
    "KubeWriter",
    "LeaseClient",
    "LeaseRecord",
    "Owner",
    "SecretData",
    "SecretStore",
    "Telemetry",
    "Written",
]

Body = Mapping[str, Any]
"""A Kubernetes object as the API server returned it, always with `kind`, `apiVersion` and `metadata`."""


class Conflict(Retry):
    """The object changed meanwhile (or was made by somebody else): read it again, then decide again."""


class Gone(OperatorError):
    """The object does not exist any more, or another one has taken its name."""


class Forbidden(Retry):
    """The API server refuses the operator this request: its RBAC rules lack what the message names."""


class Written(NamedTuple):
    """What a write left behind. The next event that carries `resource_version` is its echo.

    `body`: the whole object after the write, where the answer shows it.
    """

    resource_version: str
    body: Body | None = None


class Owner(NamedTuple):
    """The object of the API group that owns a Secret."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class SecretData:
    """A Kubernetes Secret, decoded. `resource_version` guards the next write."""

    uid: str
    resource_version: str
    type: str
    owner_uids: frozenset[str]
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    data: Mapping[str, Secret]


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A Lease as it was read. `holder` is empty when nobody holds it.

    The times are the wall clock of whoever wrote them: for display, never for decisions.
    """

    resource_version: str
    holder: str
    duration: float
    transitions: int
    acquired: datetime | None = None
    renewed: datetime | None = None


class KubeWriter(Protocol):
    """Writes to our own objects, and the lists that fill the store.

    Every call is one request (a list: one per 500 objects) and raises Unreachable, Forbidden, Conflict, Gone or Retry.
    """

    async def patch_metadata(
        self,
        key: Key,
        *,
        uid: str,
        resource_version: str,
        finalizers: Sequence[str] | None,
        annotations: Mapping[str, str | None] | None,
    ) -> Written:
        """Set all finalizers and some annotations (None removes one) of exactly this version of the object.

        Raises Conflict when the object has another version by now (or was made anew), Gone when there is none.
        """

    async def set_status(self, key: Key, *, uid: str, fields: Mapping[str, Any]) -> Written:
        """Set top-level fields of the status to whole values; None, at any depth, means absent.

        Raises Gone when the object, or this incarnation of it, is no more: nothing was written then.
        """

    async def event(self, key: Key, uid: str, *, reason: EventReason, message: str, warning: bool) -> None:
        """Tell of a transition. Returns at once; repeats are counted up, floods and failures are dropped with a log."""

    async def list_all(self) -> list[Body]:
        """Read every object of the five kinds and every Namespace in scope, whole."""

    async def list_metadata(self) -> list[Body]:
        """Read the same, metadata only: what a resync needs to find what vanished unseen."""


class SecretStore(Protocol):
    """Secrets and ConfigMaps, by name only: nothing is listed or watched."""

    async def read_secret(self, namespace: str, name: str) -> SecretData | None:
        """Read and decode; None = not there. Raises Blocked when a value is not text."""

    async def read_config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Read; None = not there."""

    async def write_secret(
        self,
        namespace: str,
        name: str,
        *,
        type: str,  # noqa: A002  # the field's own name
        data: Mapping[str, str | Secret],
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        owner: Owner,
        expected: SecretData | None,
    ) -> SecretData:
        """Create (`expected` None) or replace a Secret that belongs to `owner`.

        Raises Blocked with reason SecretConflict when a Secret of that name belongs to something else, Conflict when
        it changed since `expected` was read.
        """


class LeaseClient(Protocol):
    """One Lease object. All calls are bounded in time by the caller."""

    async def get(self) -> LeaseRecord | None:
        """Read it; None = not there."""

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Make it; Conflict when somebody else was faster."""

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """Write it if it still has `record.resource_version`; else Conflict."""


class EventSink(Protocol):
    """Where watch events go: the store. Must return at once."""

    def event(self, type: str | None, body: Body) -> None:  # noqa: A002  # the watch protocol's own name
        """Take ADDED, MODIFIED, DELETED, or None for an object found by a list."""

    def knows(self, kind: str, version: str) -> bool:
        """Whether what an event of this resourceVersion says is known already: then it need not come."""


Attribute = str | int | Sequence[str]
"""A value in a trace."""
RESULTS: Final = ("success", "waiting", "blocked", "retry", "error")
"""What an object's pass may come to."""
NO_BROKER: Final = "none"
"""In the place of a Broker's `namespace/name`."""


@dataclass(frozen=True, slots=True)
class BrokerFigures:
    """What the gauges of one Broker show, read at scrape time. Times are Unix seconds; None = not known."""

    broker: str
    """`namespace/name`; NO_BROKER for objects whose Broker does not exist or is not known."""
    up: Mapping[str, bool] = field(default_factory=dict)
    """Plane (`management`, `data`) → whether it answers."""
    depth: Mapping[str, int] = field(default_factory=dict)
    """Priority (`edit`, deletions among them, `retry`, `resync`) → keys waiting."""
    resources: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(kind, ready `true`/`false`) → objects."""
    observed_at: float | None = None
    in_progress_since: float | None = None
    deleting_since: Mapping[str, float] = field(default_factory=dict)
    """Kind → deletionTimestamp of the oldest object that waits to go."""
    orphans: int | None = None
    brake_engaged: bool | None = None
    oldest_credential_at: float | None = None
    certificates: Mapping[str, float] = field(default_factory=dict)
    """Which → notAfter: `management` and `data` (shown by the broker on that plane), `ca`, `client` (the operator's
    own), `user` (of all BrokerUsers the next to end)."""


class Telemetry(Protocol):
    """What the engine counts. No call fails or waits."""

    def reconciled(self, kind: str, result: str, seconds: float | None) -> None:
        """One object went through a pass, with one of RESULTS: `retry` after a failed call, `error` after a bug.

        `seconds` from dirty to status written; None where no status was due.
        """

    def drift_detected(self, broker: str, resource: str, count: int = 1) -> None:
        """Native objects of kind `resource` (`Queue`, `Permission`) differ and we did not do it."""

    def drift_corrected(self, broker: str, resource: str, count: int = 1) -> None:
        """So many of them were put right."""

    def leading(self, leader: bool) -> None:  # noqa: FBT001  # one argument, and the method's name says what it is
        """Tell whether this replica leads now."""

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        """Have what runs inside show as one span of a trace, in that of whatever called it. Never a secret in it."""

    def broker(self, broker: str) -> Recorder:
        """Return the recorder for the calls to one broker (`namespace/name`)."""

    def forget(self, broker: str) -> None:
        """Drop the series of a Broker that is no more."""
