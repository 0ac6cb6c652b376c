"""The two protocols that a broker's folder implements, and what a connection is made from. Decides nothing.

Adding a broker: one folder, one union member in the API, one line in `registry`, and it passes `tests/contract`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from channel_operator.api.broker import BrokerSpec
from channel_operator.core.accepted import Compiled, Credential, Resolved, Subject
from channel_operator.core.model import (
    Assembled,
    Capabilities,
    Change,
    Difference,
    Observation,
    Outcome,
    Part,
    Problem,
    Resource,
    ResourceId,
    Secret,
)

__all__ = ["WRITE_SECONDS", "Connection", "Driver", "FieldSupport", "NoRecorder", "Recorder", "Session"]


WRITE_SECONDS: Final = 4.0
"""Longest time a single write to a broker may take, in seconds.

A new leader waits as long before it acts, so it never meets a late write of the old one.
"""


class Recorder(Protocol):
    """Where a session reports its calls (metrics); telemetry implements it, tests count with it."""

    def request(self, operation: str, outcome: str, seconds: float) -> None:
        """Report one call to the broker: operation `put_queue`, outcome `ok`/`refused`/`unreachable`/`error`."""


class NoRecorder:
    """A recorder that keeps nothing."""

    def request(self, operation: str, outcome: str, seconds: float) -> None:
        """Drop it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything a session is opened with. Two equal connections need no new session.

    `certificate` and `private_key`, `ca` are PEM texts; `ca` None = the system's authorities. `operator_id` marks the
    users we make. `allowed_hosts`: names or addresses that may be reached although they are loopback or link-local;
    if `only_allowed_hosts`, no others at all.
    """

    name: str
    """`namespace/name` of the Broker, for messages."""
    spec: BrokerSpec
    username: str
    password: Secret | None
    operator_id: str
    certificate: str | None = None
    private_key: Secret | None = None
    ca: str | None = None
    allowed_hosts: frozenset[str] = frozenset()
    only_allowed_hosts: bool = False


class Driver(Protocol):
    """The pure side of a broker: no I/O, no clock, no state. One instance per Broker object."""

    contested: frozenset[str]
    """Kinds of native objects for which there may be no room beside those of others: see `hindered`."""

    def compile(self, resolved: Resolved, capabilities: Capabilities) -> Compiled:
        """Turn an accepted object into its parts. With problems, the parts are those of `hold`."""

    def hold(self, subject: Subject) -> Compiled:
        """Say: what this object has on the broker stays as it is."""

    def deny(self, subject: Subject) -> Compiled:
        """Say: this channel gives nobody access. What holds messages stays, and none flow into it any more."""

    def withdraw(self, subject: Subject) -> Compiled:
        """Say: this object is deleted. What it holds goes by `subject.removal`; None keeps what holds data."""

    def assemble(
        self,
        rid: ResourceId,
        parts: Sequence[Part],
        picture: Mapping[ResourceId, Resource],
        held_names: Collection[str],
    ) -> Assembled:
        """Combine what all owners say of one native object.

        `picture`: what the broker has; what an object should be can depend on what another one is. `held_names`: main
        names of channels on hold (`Compiled.names`); a shared object (a permission) keeps what it has on those and on
        what derives from them.
        """

    def gives(self, part: Part, observed: Resource | None, *, whole: bool = False) -> bool:
        """Whether any of the right is there that a channel's part on a shared object asks for; `whole`: all of it."""

    def diff(self, desired: Resource, observed: Resource) -> Difference | None:
        """Compare; None = the broker has what is desired."""

    def hindered(
        self, wanted: Sequence[Resource], picture: Mapping[ResourceId, Resource]
    ) -> Mapping[ResourceId, Problem]:
        """Return which of these the rest of the broker leaves no room for, and why; the oldest owner's come first."""

    def shows_own_making(self, desired: Resource, observed: Resource) -> bool:
        """Whether it can be seen on what is there that this operator declared it; False in doubt."""

    def stage(self, change: Change) -> int:
        """Where the change stands in the order of writing: lower first."""

    def needs(self, resource: Resource) -> Sequence[ResourceId]:
        """Return what must stand before this object can be written: a binding needs both its ends."""

    def foreign(
        self, observed: Mapping[ResourceId, Resource], owned: Collection[ResourceId], held: Collection[ResourceId]
    ) -> list[ResourceId]:
        """Find what others attached to owned objects (a binding made by hand): drift, to be removed.

        What is attached to a `held` object as well may be its owner's, who cannot tell.
        """

    def leftovers(self, observed: Mapping[ResourceId, Resource]) -> list[ResourceId]:
        """Find the users (with their rights) that carry this operator's mark: those without a manifest are removed."""

    def attached(self, rid: ResourceId, observed: Mapping[ResourceId, Resource]) -> list[ResourceId]:
        """Find what depends on `rid` natively and must be there or go with it."""

    def name_of(self, rid: ResourceId) -> str | None:
        """Return the native name for the orphan count, None for what has none of its own (bindings, rights)."""

    def login_id(self, username: str) -> ResourceId:
        """Return the id of a native user."""

    def principal(self, certificate: str) -> str:
        """Return the user name that the broker takes from a client certificate, a PEM chain that can be read.

        Raises Blocked (CredentialsInvalid) when it has none of the kind that the Broker asks for.
        """

    def binding(
        self, username: str, credential: Credential, *, channels: Sequence[Mapping[str, Any]], ca: str | None
    ) -> Mapping[str, str]:
        """Return the entries of a user's binding Secret (Service Binding), the credential included."""

    def stand_in(self, rid: ResourceId) -> ResourceId | None:
        """Return what takes the place of an object while it is replaced; None for what cannot be replaced.

        One that is there shows a replacement that was begun.
        """

    def user_facts(self, ids: Collection[ResourceId], observed: Mapping[ResourceId, Resource]) -> Mapping[str, Any]:
        """Return what a user's status shows of its native objects: on RabbitMQ `permissionBytes`."""

    def describe(self, change: Change) -> str:
        """Say in one line, without secrets, what a change does: `+ queue billing.invoices (quorum)`."""


class Session(Protocol):
    """The I/O side: one open connection to a broker. Every call is idempotent and bounded in time.

    Raises Unreachable (no answer), CredentialsRefused, Blocked or Retry; never a library's own error.
    """

    async def probe(self) -> Capabilities:
        """Ask the management plane what it is."""

    async def probe_data_plane(self) -> str | None:
        """Connect the way clients do; None = well, else what is wrong, as a sentence."""

    def certificates(self) -> Mapping[str, str]:
        """Return the certificate (PEM) that the broker showed last, by plane; without TLS there is none."""

    async def observe(self, ids: Collection[ResourceId] | None) -> Observation:
        """Read everything in the fewest calls (None), or these ids; `complete` where all was read for them."""

    async def apply(self, changes: Sequence[Change]) -> list[Outcome]:
        """Write the changes, stage by stage; one outcome each, in the same order.

        Re-reads before it overwrites or deletes what the broker itself would not guard. One that replaces an object
        finds out whether it is empty and unused, and loses nothing that comes in meanwhile.
        """

    async def close(self) -> None:
        """Release every connection."""


@dataclass(frozen=True, slots=True)
class FieldSupport:
    """One line of the field table: who honours a field on this broker (and queue type)."""

    kind: str
    field: str
    support: Mapping[str, str]
    """Column (`RabbitMQ`, `RabbitMQ classic`, `Kafka`) → `Broker`, `Client`, or `Refused: Reason`."""
