"""Decides what things are called on a broker, and who may choose a name.

Names are rendered from the Broker's template; a stated `physicalName` or `username` is held against the Broker's
naming rules. Never looks at a broker.
"""

from channel_operator.api.broker import BrokerSpec, PhysicalNamePolicy
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import Reason
from channel_operator.core.model import Key, Problem

__all__ = ["RESERVED_PREFIXES", "check_stated", "namespace_of", "native_name", "prefix_of", "stated_field"]

RESERVED_PREFIXES = ("amq.", "__")
"""Prefixes that brokers keep for themselves (RabbitMQ: `amq.`; Kafka internal topics: `__`)."""


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
