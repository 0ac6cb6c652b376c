"""The Broker: a connection to one RabbitMQ virtual host or one Kafka cluster, who may use it, and its defaults.

Decides what its manifest may say. Never connects.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from channel_operator.api.common import (
    AdoptionPolicy,
    DeletionPolicy,
    Limits,
    ManagementPolicy,
    NamespaceConsent,
    QueueType,
    Retry,
)
from channel_operator.api.connection import (
    CaRef,
    CaSource,
    CertificateLogin,
    Credentials,
    Kafka,
    KafkaClients,
    OnRevoke,
    RabbitMQ,
    RabbitMQClients,
    SaslMechanism,
    Tls,
    TlsMode,
)
from channel_operator.api.schema import IMMUTABLE, Fault, Model, Rule, Text, elements, model, mutable
from channel_operator.api.values import Count, Duration, Partitions, Replicas, matches

__all__ = [
    "Brake",
    "BrokerDefaults",
    "BrokerSpec",
    "CaRef",
    "CaSource",
    "CertificateLogin",
    "Credentials",
    "Kafka",
    "KafkaClients",
    "Naming",
    "OnRevoke",
    "PhysicalNamePolicy",
    "RabbitMQ",
    "RabbitMQClients",
    "SaslMechanism",
    "Tls",
    "TlsMode",
]


class PhysicalNamePolicy(StrEnum):
    """Which names manifests may choose themselves."""

    NEVER = "Never"
    WITHIN_PREFIX = "WithinPrefix"
    ANY = "Any"


@model
class Naming(Model):
    """What things are called on the broker: channels, users and certificate principals alike."""

    template: Annotated[
        Annotated[
            str,
            Text(
                max_length=80,
                rules=(
                    matches(
                        r"^([A-Za-z0-9][A-Za-z0-9._-]*)?\{namespace\}\.\{name\}$",
                        "must be {namespace}.{name}, with a fixed prefix if wanted, such as prod.{namespace}.{name}",
                    ),
                    Rule(
                        "!self.startsWith('amq.')",
                        "must not start with amq., which RabbitMQ keeps for itself",
                        holds=lambda value: not value.startswith("amq."),
                    ),
                ),
            ),
        ],
        IMMUTABLE,
    ] = "{namespace}.{name}"
    """How names are made: {namespace}.{name}, with a fixed prefix if wanted, for instance one per Kubernetes cluster.
    Cannot be changed."""
    physical_name: Annotated[PhysicalNamePolicy, IMMUTABLE] = PhysicalNamePolicy.WITHIN_PREFIX
    """Which names manifests may choose (physicalName, username). Never: none. WithinPrefix: those that start like the
    names the template makes for their namespace. Any: all; for brokers that one team has for itself. Cannot be
    changed."""


@model
class BrokerDefaults(Model):
    """What holds where a manifest says nothing. A changed default never makes an existing channel wrong."""

    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """What happens to messages when a manifest is deleted: Retain, Delete or DeleteIfEmpty."""
    adoption_policy: AdoptionPolicy = AdoptionPolicy.IF_COMPATIBLE
    """What happens when an object exists on the broker already: IfCompatible, Never or AllowDataLoss."""
    replicas: Replicas | None = None
    """On how many nodes messages are kept. Default: the broker's own."""
    partitions: Partitions = 6
    """Number of partitions of new Kafka topics."""
    retry: Retry | None = None
    """How often a message is tried."""
    limits: Limits | None = None
    """How much a queue may hold."""
    queue_type: QueueType = QueueType.QUORUM
    """Kind of new queues on RabbitMQ: Quorum or Classic."""


_UNION = mutable("not added or removed")
_BrakeLimit = Annotated[Count, Field(ge=0, le=100_000)]


@model
class Brake(Model):
    """Stops mass deletion, for instance by a wrong prune. What exceeds it waits for a person."""

    max_deletions: _BrakeLimit = 10
    """How many channels with deletionPolicy Delete may be deleted within the window. Each that has a queue or stream of
    its own on the broker counts as one, whether it is empty or not; with Retain and DeleteIfEmpty none does."""
    max_revocations: _BrakeLimit = 50
    """How many rights may be withdrawn within the window because a consent was taken back."""
    window: Duration = "10m"
    """Length of the window."""


@model
class BrokerSpec(Model):
    """How to reach the broker, who may use it, and what holds where manifests say nothing."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.rabbitmq) != has(self.kafka)",
            "state exactly one of rabbitmq and kafka",
            field=".rabbitmq",
            fault=Fault.FORBIDDEN,
            holds=lambda self: (self.rabbitmq is None) != (self.kafka is None),
        ),
        Rule(
            "has(self.rabbitmq) == has(oldSelf.rabbitmq)",
            "the kind of broker cannot be changed; make another Broker",
            field=".rabbitmq",
            fault=Fault.FORBIDDEN,
        ),
        Rule(
            "!has(self.rabbitmq) || (has(self.tls) && self.tls.mode == 'Disabled') || "
            "self.rabbitmq.managementUrls.all(u, !u.startsWith('http:'))",
            "an http URL needs tls.mode: Disabled; use https",
            field=".rabbitmq.managementUrls",
            fault=Fault.FORBIDDEN,
            holds=lambda self: (
                self.rabbitmq is None
                or self.tls.mode is TlsMode.DISABLED
                or not any(url.startswith("http:") for url in self.rabbitmq.management_urls)
            ),
        ),
        Rule(
            "!has(self.rabbitmq) || has(self.credentials.passwordSecretRef) || "
            "!has(self.credentials.certificateSecretRef)",
            "RabbitMQ's management API needs a password, also beside a client certificate",
            field=".credentials.passwordSecretRef",
            fault=Fault.REQUIRED,
            holds=lambda self: self.rabbitmq is None or self.credentials.password_secret_ref is not None,
        ),
    )

    rabbitmq: Annotated[RabbitMQ | None, _UNION] = None
    """A virtual host of a RabbitMQ cluster. Exactly one of rabbitmq and kafka."""
    kafka: Annotated[Kafka | None, _UNION] = None
    """A Kafka cluster. Exactly one of rabbitmq and kafka."""
    credentials: Credentials
    """How the operator logs in: Secrets in this namespace."""
    tls: Tls = Tls()
    """How the broker's identity is verified. Default: against the system's CA certificates."""
    allowed_namespaces: NamespaceConsent = NamespaceConsent()
    """Which namespaces may use this broker. Default: its own only."""
    naming: Naming = Naming()
    """What channels and users are called on the broker. Default: {namespace}.{name}."""
    adoptable_users: Annotated[tuple[Annotated[str, Text(max_length=200)], ...], elements("set", at_most=256)] = ()
    """Existing users of the broker that a BrokerUser may take over, by exact name."""
    defaults: BrokerDefaults = BrokerDefaults()
    """What holds where a manifest says nothing: policies, replicas, tries, limits, kind of queue."""
    management_policy: ManagementPolicy = ManagementPolicy.FULL
    """Full: the operator writes to this broker. Observe: it writes nothing, and every object reports its plan."""
    brake: Brake = Brake()
    """Stops mass deletion, for instance by a wrong prune; what exceeds it waits for a person. Default: 10 deletions
    and 50 revocations within 10m."""
    deletion_timeout: Duration = "10m"
    """How long a deleted manifest waits for a broker that does not answer, before it is let go and its object left."""
    resync_interval: Duration = "5m"
    """How often everything on the broker is compared with the manifests."""
