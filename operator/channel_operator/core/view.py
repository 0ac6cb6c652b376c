"""What resolve may look at: manifests as the store keeps them, namespaces, and who claims which name.

Decides nothing and does no I/O: the engine's store implements `View`; the tests and the plan command use a plain one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from channel_operator.api import Spec
from channel_operator.core.model import Capabilities, Key
from channel_operator.errors import InvalidManifest

__all__ = ["Claim", "Manifest", "NamespaceInfo", "References", "View"]


@dataclass(slots=True)
class References:
    """What a spec refers to, readable even where the rest of the spec is not."""

    broker: Key | None = None
    """Stated by all kinds but a Subscription, which belongs to the Broker of its topic: see `references.broker_of`."""
    topic: Key | None = None
    dead_letter: Key | None = None
    """The Queue that takes the dead letters, where the object names one."""
    name: str | None = None
    """The stated `physicalName` or `username`."""
    by_certificate: bool = False
    """A BrokerUser whose name its certificate says."""
    others: tuple[Key, ...] = ()
    """BrokerUsers, Topics, Queues that the object names: a change of theirs can change this object."""


@dataclass(slots=True)
class Manifest:
    """One object of ours as the API server has it, parsed once, without what nobody needs."""

    key: Key
    uid: str
    generation: int
    created: str
    """creationTimestamp; with the uid it orders claims, oldest first."""
    resource_version: str
    spec: Spec | InvalidManifest
    refs: References
    status: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Those of our own group only."""
    finalizers: tuple[str, ...] = ()
    deleted: str | None = None
    """deletionTimestamp, None while the object lives."""

    @property
    def since(self) -> tuple[str, str]:
        """Order among objects: oldest first, uid breaks ties."""
        return (self.created, self.uid)


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """What consent and policy need to know of a namespace."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """A native name that an object wants. `space`: where it must be unique (a Broker's channels, a cluster's users)."""

    space: str
    name: str


class View(Protocol):
    """Read-only look-ups over everything that is known of Kubernetes."""

    def get(self, key: Key) -> Manifest | None:
        """Return the manifest, or None if there is none."""

    def dependants(self, key: Key) -> Collection[Key]:
        """Return the objects that name this one."""

    def namespace(self, name: str) -> NamespaceInfo | None:
        """Return the namespace, or None if it is not known."""

    def holder(self, claim: Claim) -> Key | None:
        """Return who holds a name among those that claim it."""

    def capabilities(self, broker: Key) -> Capabilities | None:
        """Return what was last learnt of a broker, None before it was ever reached."""

    def own_user(self, broker: Key) -> str | None:
        """Return the user the operator itself logs in with, None before the credentials were ever read."""

    def logins(self, user: Key) -> tuple[str, ...] | None:
        """Return the native users that a BrokerUser was found to stand for, None while nothing was found out."""

    def brokers_with_identity(self, identity: str) -> Collection[Manifest]:
        """Return the Broker objects that lead to this identity."""
