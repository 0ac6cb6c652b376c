"""Small questions about one object, each with one answer: what happens at deletion, who made it, is it paused.

Pure predicates; never looks at a broker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.common import DeletionPolicy, ManagementPolicy
from channel_operator.api.meta import DELETION_POLICY, FINALIZER, FORCE_RELEASE, OWNED, RECONCILE, Kind
from channel_operator.core.model import Removal
from channel_operator.core.view import Manifest, NamespaceInfo
from channel_operator.errors import InvalidManifest

__all__ = [
    "OwnerRecord",
    "Ownership",
    "deletion_policy",
    "has_finalizer",
    "is_disabled",
    "is_released_by_force",
    "only_observes",
    "owner_record",
    "removal",
]


class Ownership(StrEnum):
    """How an object on the broker came to belong to a manifest."""

    CREATING = "creating"
    """It did not exist when the record was written, just before its creation."""
    CREATED = "created"
    ADOPTED = "adopted"


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """The annotation that says who made what, on which broker; written together with the finalizer."""

    ownership: Ownership
    identity: str

    def __str__(self) -> str:
        """`created:<identity>`, the annotation's value."""
        return f"{self.ownership}:{self.identity}"


def owner_record(annotations: Mapping[str, str]) -> OwnerRecord | None:
    """Read the record; None when there is none or somebody has damaged it (then nothing is ever deleted)."""
    ownership, colon, identity = annotations.get(OWNED, "").partition(":")
    if not colon or ownership not in {o.value for o in Ownership}:
        return None
    return OwnerRecord(Ownership(ownership), identity)


def has_finalizer(manifest: Manifest) -> bool:
    """Whether our finalizer keeps the object until its part on the broker is settled."""
    return FINALIZER in manifest.finalizers


def is_disabled(manifest: Manifest) -> bool:
    """Whether a user said: hands off."""
    return manifest.annotations.get(RECONCILE) == "Disabled"


def is_released_by_force(manifest: Manifest) -> bool:
    """Whether a user said: let it go, whatever is on the broker."""
    return manifest.annotations.get(FORCE_RELEASE) == "true"


def only_observes(manifest: Manifest, broker: BrokerSpec) -> bool:
    """Whether nothing may be written for this object."""
    if broker.management_policy is ManagementPolicy.OBSERVE:
        return True
    return getattr(manifest.spec, "management_policy", None) is ManagementPolicy.OBSERVE


def deletion_policy(manifest: Manifest, namespace: NamespaceInfo | None, broker: BrokerSpec) -> DeletionPolicy:
    """Object, else annotation of its namespace, else the Broker's default, else Retain.

    An unreadable spec or an unknown word in the annotation counts as Retain: nothing is lost by a typing error.
    """
    if isinstance(manifest.spec, InvalidManifest):
        return DeletionPolicy.RETAIN
    stated: DeletionPolicy | None = getattr(manifest.spec, "deletion_policy", None)
    if stated is not None:
        return stated
    annotated = namespace.annotations.get(DELETION_POLICY) if namespace else None
    if annotated is not None:
        known = {p.value: p for p in DeletionPolicy}
        return known.get(annotated, DeletionPolicy.RETAIN)
    return broker.defaults.deletion_policy


def removal(manifest: Manifest, namespace: NamespaceInfo | None, broker: BrokerSpec) -> Removal | None:
    """Turn the policy into what happens to objects that hold data; None = they stay.

    A BrokerUser holds no data: it goes with its manifest.
    """
    if manifest.key.kind is Kind.BROKER_USER:
        return Removal.DELETE
    match deletion_policy(manifest, namespace, broker):
        case DeletionPolicy.DELETE:
            return Removal.DELETE
        case DeletionPolicy.DELETE_IF_EMPTY:
            return Removal.DELETE_IF_EMPTY
        case _:
            return None
