"""What several kinds share: references, consent, policies, delivery settings.

Decides the shape of these objects and the rules within one of them. Never resolves a reference.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from channel_operator.api.schema import IMMUTABLE, Fault, Model, Rule, elements, model
from channel_operator.api.values import (
    BrokerName,
    Count,
    Duration,
    Flag,
    MatchLabels,
    Namespace,
    ObjectName,
    Quantity,
    ordered,
    seconds,
)

__all__ = [
    "AdoptionPolicy",
    "Backoff",
    "ChannelSpec",
    "ConsentFrom",
    "DeletionPolicy",
    "LabelSelector",
    "Limits",
    "LocalRef",
    "ManagementPolicy",
    "NamespaceConsent",
    "ObjectRef",
    "ObjectRefs",
    "Operator",
    "Overflow",
    "QueueType",
    "Retry",
    "SecretRef",
    "SelectorRequirement",
    "SettingsMode",
]


class DeletionPolicy(StrEnum):
    """What happens to messages when a manifest is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"
    DELETE_IF_EMPTY = "DeleteIfEmpty"


class AdoptionPolicy(StrEnum):
    """What happens when the object exists on the broker already."""

    IF_COMPATIBLE = "IfCompatible"
    NEVER = "Never"
    ALLOW_DATA_LOSS = "AllowDataLoss"


class ManagementPolicy(StrEnum):
    """Whether anything is written to the broker."""

    FULL = "Full"
    OBSERVE = "Observe"


class Overflow(StrEnum):
    """What a full queue does."""

    DROP_OLDEST = "DropOldest"
    REJECT_NEW = "RejectNew"


class QueueType(StrEnum):
    """Kind of queue on RabbitMQ."""

    QUORUM = "Quorum"
    CLASSIC = "Classic"


class SettingsMode(StrEnum):
    """How settings reach a queue on RabbitMQ."""

    ARGUMENTS = "Arguments"
    POLICY = "Policy"


class ConsentFrom(StrEnum):
    """Whom a consent admits."""

    SAME = "Same"
    ALL = "All"
    SELECTOR = "Selector"


class Operator(StrEnum):
    """How a selector's values are compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@model
class LocalRef(Model):
    """Names an object in the same namespace."""

    name: ObjectName
    """Name of the object."""


@model
class SecretRef(Model):
    """Names a Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret."""


@model
class ObjectRef(Model):
    """Names an object, in the same namespace unless stated otherwise."""

    name: ObjectName
    """Name of the object."""
    namespace: Namespace | None = None
    """Namespace of the object; default: the namespace of this manifest."""


ObjectRefs = Annotated[tuple[ObjectRef, ...], elements("atomic", at_most=256)]


@model
class SelectorRequirement(Model):
    """One condition on the labels of a namespace."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "values belong to the operators In and NotIn, and to no other",
            field=".values",
            holds=lambda self: (self.operator in {Operator.IN, Operator.NOT_IN}) == bool(self.values),
        ),
    )

    key: Annotated[ObjectName, Field(description="The label's key.")]
    operator: Operator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], elements("atomic", at_most=32)] = ()
    """Values to compare with, for In and NotIn."""


@model
class LabelSelector(Model):
    """Selects namespaces by their labels; all conditions must hold. An empty selector selects every namespace."""

    match_labels: MatchLabels | None = None
    """Labels that a namespace must have, with exactly these values."""
    match_expressions: Annotated[tuple[SelectorRequirement, ...], elements("atomic", at_most=16)] = ()
    """Conditions on labels."""


@model
class NamespaceConsent(Model):
    """Which namespaces are admitted."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.from == 'Selector') == has(self.selector)",
            "selector goes with from: Selector, and with nothing else",
            field=".selector",
            holds=lambda self: (self.from_ is ConsentFrom.SELECTOR) == (self.selector is not None),
        ),
    )

    from_: ConsentFrom = ConsentFrom.SAME
    """Same: this namespace only. All: every namespace. Selector: the namespaces that `selector` matches."""
    selector: LabelSelector | None = None
    """Labels of the admitted namespaces; exactly with `from: Selector`."""


@model
class Backoff(Model):
    """Delay before a message is delivered again. It grows by `initial` with each try, up to `max`."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.max) || " + ordered("self.initial", "<=", "self.max"),
            "initial must not be longer than max",
            field=".initial",
            holds=lambda self: self.max is None or seconds(self.initial) <= seconds(self.max),
        ),
    )

    initial: Duration
    """Delay before the second try, for instance 1s."""
    max: Duration | None = None
    """Longest delay, for instance 1m. Default: none."""


@model
class Retry(Model):
    """How often and how fast a message is delivered again when its consumer fails."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.maxDeliveries) || has(self.backoff)",
            "state maxDeliveries, backoff, or both",
            fault=Fault.REQUIRED,
            holds=lambda self: self.max_deliveries is not None or self.backoff is not None,
        ),
    )

    max_deliveries: Annotated[Count, Field(ge=1, le=1000)] | None = None
    """How many times a message is delivered in all. After the last failed try it goes to the dead-letter queue, or
    is dropped when there is none."""
    backoff: Backoff | None = None
    """Delay between the tries. Default: at once."""


@model
class Limits(Model):
    """How much a queue may hold, and what happens then."""

    max_messages: Annotated[Count, Field(ge=1, le=10**12)] | None = None
    """Most messages in the queue."""
    max_bytes: Quantity | None = None
    """Most bytes in the queue, message bodies only, for instance 512Mi."""
    overflow: Overflow | None = None
    """What happens when the queue is full. DropOldest: the oldest message goes (to the dead-letter queue, if there
    is one). RejectNew: the producer's message is refused. Default: DropOldest."""


@model
class ChannelSpec(Model):
    """What Queue, Topic and Subscription have in common."""

    physical_name: Annotated[BrokerName | None, IMMUTABLE] = None
    """Exact name of the main object on the broker: the queue, or for a Topic the exchange, or the Kafka topic or
    consumer group. Default: made from namespace and name by the Broker's naming template. The Broker says which
    names are allowed. Cannot be changed."""
    management_policy: ManagementPolicy = ManagementPolicy.FULL
    """Full: the operator makes the broker match this manifest. Observe: it only looks, reports the difference in
    `status.plan`, and writes nothing."""
    adoption_policy: AdoptionPolicy | None = None
    """What to do when the object exists on the broker already. IfCompatible: take it over if nothing stated here
    differs that the broker cannot change, and no message is lost. Never: leave it alone and report. AllowDataLoss:
    take it over and apply even what drops messages, such as a shorter retention. Default: the Broker's."""
    deletion_policy: DeletionPolicy | None = None
    """What happens to the messages when this manifest is deleted. Retain: queue and messages stay. Delete: they go.
    DeleteIfEmpty: they go if no message is left, otherwise they stay and an event says so. Access is withdrawn in
    any case. Default: the namespace's annotation channel-operator.dev/deletion-policy, else the Broker's, else
    Retain."""
    require_broker_enforcement: Flag = False
    """true: refuse this manifest if anything in it could only be enforced by the client. false: accept it and list
    such fields in `status.enforcement`."""
