"""What the operator says of a Broker and of a BrokerUser.

Decides shape and bounds. Never decides what is true.
"""

from typing import Annotated, Final

from channel_operator.api.meta import Kind
from channel_operator.api.schema import Model, Text, elements, model
from channel_operator.api.status import (
    MAX_GRANTS,
    ChannelStatus,
    Moment,
    Name,
    Origin,
    PlanStatus,
    Status,
    Total,
    Word,
)
from channel_operator.api.values import Flag

__all__ = [
    "MAX_ORPHANS",
    "MAX_PASSING",
    "MAX_RECENT",
    "STATUSES",
    "AccessGrant",
    "Binding",
    "BrakeSpent",
    "BrakeStatus",
    "BrokerStatus",
    "BrokerUserStatus",
    "Channels",
    "IssuedCredentials",
    "Orphans",
    "PatternBytes",
]

MAX_ORPHANS: Final = 20
MAX_RECENT: Final = 32
MAX_PASSING: Final = 10_000


@model
class Channels(Model):
    """The channels on a broker."""

    total: Total
    """All of them."""
    ready: Total
    """Those with Ready True."""
    drifted: Total
    """Those with Drifted True."""


@model
class Orphans(Model):
    """Objects within the naming prefixes that no manifest names. Only shown, never touched."""

    count: Total
    """How many."""
    names: Annotated[tuple[Name, ...], elements("atomic", at_most=MAX_ORPHANS)] = ()
    """The first of them."""


@model
class BrakeSpent(Model):
    """What was let through at one moment of the window."""

    time: Moment
    """When."""
    deletions: Total = 0
    """Channels with deletionPolicy Delete that were let go, as spec.brake.maxDeletions counts them."""
    revocations: Total = 0
    """Rights that were withdrawn because a consent was taken back."""


@model
class BrakeStatus(Model):
    """Whether deletions and revocations wait for a person, and what a restarted operator has to know of them."""

    engaged: Flag
    """true: they wait."""
    token: Word | None = None
    """Value for the annotation channel-operator.dev/release-brake that lets exactly these go on."""
    deletions: Total | None = None
    """How many deletions wait."""
    revocations: Total | None = None
    """How many withdrawals of rights wait."""
    recent: Annotated[tuple[BrakeSpent, ...], elements("atomic", at_most=MAX_RECENT)] = ()
    """What was let through within the window."""
    passing: Annotated[tuple[Annotated[str, Text(max_length=12)], ...], elements("set", at_most=MAX_PASSING)] = ()
    """What was let through and is not done yet, as short marks."""


@model
class BrokerStatus(Status):
    """What the operator found at the broker."""

    product: Word | None = None
    """RabbitMQ or Kafka."""
    version: Word | None = None
    """The broker's version."""
    identity: Name | None = None
    """What tells this broker from any other: RabbitMQ's internal cluster id and virtual host, or Kafka's cluster id."""
    capabilities: Annotated[tuple[Annotated[str, Text(max_length=100)], ...], elements("set", at_most=64)] = ()
    """Features and plugins that matter here."""
    channels: Channels | None = None
    """The channels on this broker."""
    orphans: Orphans | None = None
    """Objects within the naming prefixes that no manifest names."""
    brake: BrakeStatus | None = None
    """Whether deletions and revocations wait for a person."""
    last_observed_time: Moment | None = None
    """When the whole broker was last looked at."""


@model
class Binding(Model):
    """The binding, as the Service Binding specification has it."""

    name: Name
    """Name of the Secret with addresses and credentials."""


@model
class IssuedCredentials(Model):
    """The credentials in the binding Secret."""

    issued_at: Moment | None = None
    """When they were made."""
    secret_version: Word | None = None
    """Changes whenever the content of the Secret does; a short hash, of everything but the password itself."""


@model
class AccessGrant(Model):
    """One channel that this user may use."""

    kind: Word
    """Queue, Topic or Subscription."""
    namespace: Name
    """Namespace of the channel."""
    name: Name
    """Name of the channel."""
    role: Word
    """What it may do there: Producer, Consumer, DeadLetterConsumer."""


@model
class PatternBytes(Model):
    """Bytes used of each permission pattern on RabbitMQ; the broker's limit is 1024 each."""

    configure: Total | None = None
    """Pattern for declaring."""
    write: Total | None = None
    """Pattern for publishing."""
    read: Total | None = None
    """Pattern for consuming."""


@model
class BrokerUserStatus(Status):
    """What the operator found and did."""

    broker: Name | None = None
    """The Broker, as namespace/name."""
    username: Name | None = None
    """User name on the broker."""
    binding: Binding | None = None
    """The binding Secret."""
    credentials: IssuedCredentials | None = None
    """The credentials in the binding Secret."""
    origin: Origin | None = None
    """Created: made by the operator. Adopted: it existed and was taken over."""
    grants: Annotated[tuple[AccessGrant, ...], elements("atomic", at_most=MAX_GRANTS)] = ()
    """Channels that this user may use, the first of them."""
    grant_count: Total | None = None
    """How many there are."""
    permission_bytes: PatternBytes | None = None
    """Bytes used of each permission pattern on RabbitMQ."""
    plan: PlanStatus | None = None
    """What would change: under managementPolicy Observe, or when a change is blocked."""


STATUSES: Final[dict[Kind, type[Status]]] = {
    Kind.BROKER: BrokerStatus,
    Kind.BROKER_USER: BrokerUserStatus,
    Kind.QUEUE: ChannelStatus,
    Kind.TOPIC: ChannelStatus,
    Kind.SUBSCRIPTION: ChannelStatus,
}
