"""How a broker is reached: addresses, credentials, TLS, for the operator and for applications.

Decides what the Broker's manifest may say about it. Never connects.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from channel_operator.api.common import SecretRef, SettingsMode
from channel_operator.api.schema import IMMUTABLE, Fault, Model, Rule, Text, elements, model
from channel_operator.api.values import Count, HostPort, HttpUrl, ObjectName

__all__ = [
    "CaRef",
    "CaSource",
    "CertificateLogin",
    "Credentials",
    "Kafka",
    "KafkaClients",
    "OnRevoke",
    "RabbitMQ",
    "RabbitMQClients",
    "SaslMechanism",
    "Tls",
    "TlsMode",
]


class OnRevoke(StrEnum):
    """What happens to open connections when a right is withdrawn."""

    CLOSE_CONNECTIONS = "CloseConnections"
    KEEP = "Keep"


class CertificateLogin(StrEnum):
    """What a broker takes from a client certificate as the user name."""

    COMMON_NAME = "CommonName"
    DISTINGUISHED_NAME = "DistinguishedName"
    SUBJECT_ALTERNATIVE_NAME = "SubjectAlternativeName"


class SaslMechanism(StrEnum):
    """How a password is proven to Kafka."""

    SCRAM_SHA_512 = "SCRAM-SHA-512"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"


class TlsMode(StrEnum):
    """Whether the connection is encrypted and the server verified, or neither."""

    VERIFY = "Verify"
    DISABLED = "Disabled"


class CaSource(StrEnum):
    """What kind of object holds CA certificates."""

    SECRET = "Secret"
    CONFIG_MAP = "ConfigMap"


_Addresses = Annotated[tuple[HostPort, ...], elements("atomic", at_most=16)]


@model
class RabbitMQClients(Model):
    """Where applications connect; goes into their binding Secrets."""

    addresses: _Addresses = ()
    """AMQP addresses as host:port. The first also serves the operator's own check of the data plane."""
    stream_addresses: _Addresses = ()
    """Stream-protocol addresses as host:port."""


@model
class RabbitMQ(Model):
    """A virtual host of a RabbitMQ cluster."""

    management_urls: Annotated[tuple[HttpUrl, ...], elements("atomic", at_least=1, at_most=16)]
    """URLs of the management API, tried in order, for instance https://rabbitmq.messaging.svc:15671. http is allowed
    with `tls.mode: Disabled` only."""
    vhost: Annotated[Annotated[str, Text(max_length=255)], IMMUTABLE] = "/"
    """Name of the virtual host; it must exist. Cannot be changed."""
    clients: RabbitMQClients = RabbitMQClients()
    """Where applications connect; goes into their binding Secrets."""
    settings: SettingsMode = SettingsMode.ARGUMENTS
    """How settings such as limits and tries reach new queues. Arguments: as part of the declaration, fast at any
    number of queues; raising one later needs a new queue. Policy: every queue gets a policy of its own, and every
    setting can change at any time; for some dozens of queues. A Queue or Subscription may choose otherwise."""
    policy_priority: Annotated[Count, Field(ge=0, le=1_000_000)] = 100
    """Priority of the policies that the operator writes. Of several matching policies RabbitMQ applies the one with
    the highest priority only."""
    on_revoke: OnRevoke = OnRevoke.CLOSE_CONNECTIONS
    """CloseConnections: when a user loses a right, its connections are closed, so that it bites at once. Keep: they
    stay; a consumer that is already running goes on until it disconnects."""
    certificate_login: Annotated[CertificateLogin, IMMUTABLE] = CertificateLogin.COMMON_NAME
    """What this RabbitMQ takes from a client certificate as the user name (its setting ssl_cert_login_from). Cannot
    be changed."""


@model
class KafkaClients(Model):
    """Where applications connect; goes into their binding Secrets."""

    bootstrap_servers: _Addresses = ()
    """Addresses for users with a password, as host:port. Default: the operator's own."""
    sasl_mechanism: SaslMechanism | None = None
    """How applications prove their password. Default: the operator's own."""
    tls_bootstrap_servers: _Addresses = ()
    """Addresses for users with a certificate, as host:port."""


@model
class Kafka(Model):
    """A Kafka cluster."""

    bootstrap_servers: Annotated[tuple[HostPort, ...], elements("atomic", at_least=1, at_most=16)]
    """Addresses that the operator connects to, as host:port."""
    sasl_mechanism: SaslMechanism = SaslMechanism.SCRAM_SHA_512
    """How the operator proves its password. With PLAIN the operator cannot make BrokerUsers."""
    clients: KafkaClients = KafkaClients()
    """Where applications connect; goes into their binding Secrets."""
    principal_mapping: Annotated[tuple[Annotated[str, Text(max_length=512)], ...], elements("atomic", at_most=16)] = ()
    """The cluster's setting ssl.principal.mapping.rules, one rule an entry, for users with a certificate."""


@model
class Credentials(Model):
    """How the operator logs in. The Secrets are in the Broker's own namespace."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.passwordSecretRef) || has(self.certificateSecretRef)",
            "state passwordSecretRef, certificateSecretRef, or both",
            fault=Fault.REQUIRED,
            holds=lambda self: self.password_secret_ref is not None or self.certificate_secret_ref is not None,
        ),
    )

    password_secret_ref: SecretRef | None = None
    """Secret with the keys `username` and `password`. RabbitMQ always needs it."""
    certificate_secret_ref: SecretRef | None = None
    """Secret of type kubernetes.io/tls with the operator's client certificate."""


@model
class CaRef(Model):
    """Where the CA certificates are, in the Broker's own namespace."""

    kind: CaSource = CaSource.SECRET
    """Secret or ConfigMap."""
    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: Annotated[ObjectName, Field(description="Key with the PEM certificates.")] = "ca.crt"


@model
class Tls(Model):
    """How the broker's identity is verified. There is no way to encrypt without verifying."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.mode != 'Disabled' || (!has(self.caRef) && !has(self.serverName))",
            "caRef and serverName have no meaning with mode: Disabled; remove them",
            field=".mode",
            fault=Fault.FORBIDDEN,
            holds=lambda self: self.mode is not TlsMode.DISABLED or (self.ca_ref is None and self.server_name is None),
        ),
    )

    mode: TlsMode = TlsMode.VERIFY
    """Verify: encrypted, and the server's certificate is verified. Disabled: not encrypted; passwords can be read on
    the wire."""
    ca_ref: CaRef | None = None
    """CA certificates to trust. Default: those of the operator's system."""
    server_name: Annotated[str, Text(max_length=253)] | None = None
    """Name that the server's certificate must bear. Default: the host in the address."""
