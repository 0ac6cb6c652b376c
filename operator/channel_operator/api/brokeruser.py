"""The BrokerUser: a principal on a broker. Decides what its manifest may say; holds no password."""

from enum import StrEnum
from typing import Annotated, ClassVar

from channel_operator.api.common import ObjectRef, SecretRef
from channel_operator.api.schema import IMMUTABLE, Fault, Model, Rule, model, mutable
from channel_operator.api.values import Annotations, BrokerName, Duration, Labels, ObjectName, ordered, seconds

__all__ = ["Authentication", "AuthenticationType", "BindingSecret", "BrokerUserSpec", "Rotation"]


class AuthenticationType(StrEnum):
    """How a user proves who it is."""

    PASSWORD = "Password"
    TLS = "TLS"


@model
class Authentication(Model):
    """How the user proves who it is."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.type == 'TLS') == has(self.certificateSecretRef)",
            "certificateSecretRef goes with type: TLS, and with nothing else",
            field=".certificateSecretRef",
            holds=lambda self: (self.type is AuthenticationType.TLS) == (self.certificate_secret_ref is not None),
        ),
    )

    type: Annotated[AuthenticationType, IMMUTABLE] = AuthenticationType.PASSWORD
    """Password: made by the operator unless passwordSecretRef is stated. TLS: a client certificate. Cannot be
    changed."""
    certificate_secret_ref: Annotated[SecretRef | None, IMMUTABLE] = None
    """Secret of type kubernetes.io/tls with the client certificate, for instance made by cert-manager; exactly with
    `type: TLS`. The user name is what the broker takes from it. Cannot be changed."""


@model
class BindingSecret(Model):
    """The Secret that an application mounts: addresses, user name, password, CA certificates."""

    name: Annotated[ObjectName | None, mutable("no; the default counts")] = None
    """Name of the Secret. Default: the name of this object with -binding. Cannot be changed."""
    labels: Labels | None = None
    """Labels to put on the Secret."""
    annotations: Annotations | None = None
    """Annotations to put on the Secret."""


@model
class Rotation(Model):
    """New credentials at regular times; the old ones stay valid for a while."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ordered("self.overlap", "<", "self.every"),
            "overlap must be shorter than every",
            field=".overlap",
            holds=lambda self: seconds(self.overlap) < seconds(self.every),
        ),
    )

    every: Duration
    """How often new credentials are made, for instance 720h."""
    overlap: Duration
    """How long the old credentials stay valid beside the new ones, for instance 24h. Must be shorter than `every`."""


@model
class BrokerUserSpec(Model):
    """Who the user is, how it logs in, and where its credentials go."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.passwordSecretRef) || !has(self.authentication) || self.authentication.type == 'Password'",
            "passwordSecretRef goes with authentication.type: Password only",
            field=".passwordSecretRef",
            fault=Fault.FORBIDDEN,
            holds=lambda self: (
                self.password_secret_ref is None or self.authentication.type is AuthenticationType.PASSWORD
            ),
        ),
        Rule(
            "!has(self.rotation) || !has(self.authentication) || self.authentication.type == 'Password'",
            "rotation goes with authentication.type: Password only; renew the certificate instead",
            field=".rotation",
            fault=Fault.FORBIDDEN,
            holds=lambda self: self.rotation is None or self.authentication.type is AuthenticationType.PASSWORD,
        ),
        Rule(
            "!has(self.rotation) || !has(self.passwordSecretRef)",
            "rotation makes passwords itself; remove passwordSecretRef, or change the password in that Secret",
            field=".rotation",
            fault=Fault.FORBIDDEN,
            holds=lambda self: self.rotation is None or self.password_secret_ref is None,
        ),
    )

    ROOT_RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.spec.secret) && has(self.spec.secret.name) ? self.spec.secret.name"
            " : self.metadata.name + '-binding') == "
            "(has(oldSelf.spec.secret) && has(oldSelf.spec.secret.name) ? oldSelf.spec.secret.name"
            " : oldSelf.metadata.name + '-binding')",
            "cannot be changed, added or removed after creation; applications have mounted this Secret",
            field=".spec.secret.name",
            fault=Fault.FORBIDDEN,
        ),
    )

    broker_ref: Annotated[ObjectRef, IMMUTABLE]
    """The Broker that holds this user; its owner must admit this namespace. Cannot be changed."""
    username: Annotated[BrokerName | None, IMMUTABLE] = None
    """Exact user name on the broker. Default: made from namespace and name by the Broker's naming template. The
    Broker says which names are allowed. Cannot be changed."""
    authentication: Authentication = Authentication()
    """How the user proves who it is. Default: by a password that the operator makes."""
    password_secret_ref: SecretRef | None = None
    """Secret with the key `password`: use this password instead of a generated one."""
    secret: BindingSecret = BindingSecret()
    """The Secret that an application mounts: addresses, user name, password, CA certificates. Its default name is that
    of this object with -binding."""
    rotation: Rotation | None = None
    """New credentials at regular times. Default: the password stays until the annotation
    channel-operator.dev/rotate asks for a new one."""
