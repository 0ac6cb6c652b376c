"""Decides what things are called on a broker, and who may choose a name.

Names are rendered from the Broker's template; a stated `physicalName` or `username` is held against the Broker's
naming rules. Never looks at a broker.
"""

import re
from typing import Final

from channel_operator.api.broker import BrokerSpec, PhysicalNamePolicy
from channel_operator.api.connection import CertificateLogin
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import Reason
from channel_operator.core.model import Key, Problem

__all__ = [
    "RESERVED_PREFIXES",
    "check_principal",
    "check_stated",
    "namespace_of",
    "native_name",
    "prefix_of",
    "stated_field",
]

RESERVED_PREFIXES = ("amq.", "__")
"""Prefixes that brokers keep for themselves (RabbitMQ: `amq.`; Kafka internal topics: `__`)."""

_DERIVED: Final = re.compile(r"_(in|dlx|dead|a|b|[0-9]{1,3})$")
"""Endings of names that the operator derives; the schema keeps manifests from stating one."""
_LONGEST_PRINCIPAL: Final = 255
_COMMON_NAME: Final = "CN="


def render(template: str, namespace: str, name: str) -> str:
    """Render a naming template: `{namespace}.{name}`, a fixed prefix allowed."""
    return template.replace("{namespace}", namespace).replace("{name}", name)


def prefix_of(broker: BrokerSpec, namespace: str) -> str:
    """Return what every name of a namespace starts with on this broker, separator included."""
    return render(broker.naming.template, namespace, "")


def namespace_of(broker: BrokerSpec, name: str) -> str | None:
    """Return the namespace that a native name belongs to by the template, None if it does not fit the template.

    Namespaces are DNS labels and contain no dot, and the template has one between the two parts.
    """
    fixed, _, _ = broker.naming.template.partition("{namespace}")
    if not name.startswith(fixed):
        return None
    namespace, dot, rest = name[len(fixed) :].partition(".")
    return namespace if namespace and dot and rest else None


def native_name(broker: BrokerSpec, key: Key, stated: str | None) -> str:
    """Return the native name of an object's main resource: the stated one, else the template's."""
    return stated or render(broker.naming.template, key.namespace, key.name)


def stated_field(kind: Kind) -> str:
    """Return the field in which a manifest states a native name."""
    return "spec.username" if kind is Kind.BROKER_USER else "spec.physicalName"


def check_stated(broker: BrokerSpec, key: Key, stated: str | None, *, own_user: str | None) -> Problem | None:
    """Hold a name against the Broker's rules; None = it may be used.

    `own_user` is the operator's own user on that broker, which no BrokerUser may take, whatever the rules.
    """
    name = native_name(broker, key, stated)
    field = stated_field(key.kind)
    if key.kind is Kind.BROKER_USER and own_user is not None and name == own_user:
        return Problem(
            Reason.NAME_NOT_ALLOWED,
            f'{field}: "{name}" is the user the operator itself logs in with. Choose another username.',
            field=field,
        )
    if name.startswith(RESERVED_PREFIXES):
        return Problem(
            Reason.NAME_NOT_ALLOWED,
            f'{field}: "{name}" starts with a prefix the broker reserves for itself. Choose another name.',
            field=field,
        )
    if not stated or stated == native_name(broker, key, None):
        return None
    policy = broker.naming.physical_name
    prefix = prefix_of(broker, key.namespace)
    if policy is PhysicalNamePolicy.ANY:
        return None
    if policy is PhysicalNamePolicy.NEVER:
        return Problem(
            Reason.NAME_NOT_ALLOWED,
            f'{field}: the Broker does not let manifests choose names (naming.physicalName: Never). Remove "{stated}".',
            field=field,
        )
    if stated.startswith(prefix) and len(stated) > len(prefix):
        return None
    return Problem(
        Reason.NAME_NOT_ALLOWED,
        f'{field}: "{stated}" must start with "{prefix}" '
        f"(naming.physicalName: WithinPrefix on the Broker). Choose such a name or remove the field.",
        field=field,
    )


def check_principal(
    broker: BrokerSpec, key: Key, principal: str, *, stated: str | None, own_user: str | None
) -> Problem | None:
    """Hold the user name that a client certificate gives against the Broker's rules; None = it may be used.

    A distinguished name is judged by the common name that it begins with, as RabbitMQ prints it: `CN=billing.worker,…`.
    """
    field = "spec.authentication.certificateSecretRef"

    def refused(why: str) -> Problem:
        text = f'{field}: the certificate makes "{principal[:_LONGEST_PRINCIPAL]}" the user name, {why}'
        return Problem(Reason.NAME_NOT_ALLOWED, text, field=field)

    if stated is not None and stated != principal:
        return refused(
            f'and spec.username says "{stated}". Remove the field, or have a certificate made for that name.'
        )
    name = first = principal
    if broker.rabbitmq is not None and broker.rabbitmq.certificate_login is CertificateLogin.DISTINGUISHED_NAME:
        name = principal.removeprefix(_COMMON_NAME) if principal.startswith(_COMMON_NAME) else ""
        first = name.partition(",")[0]
    if own_user is not None and principal == own_user:
        return refused("which is the user the operator itself logs in with. Have one made for another name.")
    if principal.startswith(RESERVED_PREFIXES) or _DERIVED.search(principal):
        return refused("which the operator or the broker keeps for itself. Have one made for another name.")
    if not principal.isprintable() or len(principal.encode()) > _LONGEST_PRINCIPAL:
        return refused("which is too long or has characters that cannot be shown. Have one made for another name.")
    policy, prefix = broker.naming.physical_name, prefix_of(broker, key.namespace)
    own = native_name(broker, key, None)
    if policy is PhysicalNamePolicy.ANY or first == own:
        return None
    if policy is PhysicalNamePolicy.NEVER:
        return refused(f'and the Broker wants "{own}" (naming.physicalName: Never). Have one made for that name.')
    if name.startswith(prefix) and len(name) > len(prefix):
        return None
    return refused(
        f'which must start with "{prefix}" (naming.physicalName: WithinPrefix on the Broker). '
        "Have one made for such a name."
    )
