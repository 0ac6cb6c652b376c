"""Decides who may use what: the consent of namespaces and the grants that a channel's lists give.

Each reference is looked up alone: one missing user costs that grant only. Never decides how a broker writes a right
down (that is the driver's).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.common import ConsentFrom, LabelSelector, NamespaceConsent, ObjectRef, Operator
from channel_operator.api.meta import Kind
from channel_operator.api.status import GrantState
from channel_operator.core import naming, rotation
from channel_operator.core.accepted import Grant, Role
from channel_operator.core.model import Key, Problem
from channel_operator.core.view import Claim, Manifest, View

__all__ = [
    "GrantReport",
    "GrantState",
    "admits",
    "claim_of",
    "grants",
    "lapsed",
    "name_problem",
    "native_name",
    "told_grants",
    "user_claim",
    "usernames",
]


class GrantReport(NamedTuple):
    """One line of `status.grants`. `lapsed`: the user's names where nothing but the Broker's consent is missing."""

    user: Key
    role: Role
    state: GrantState
    lapsed: tuple[str, ...] = ()


def user_claim(broker: Key, view: View, name: str) -> Claim:
    """Return the claim on a user name: users live in a cluster, which several Brokers may lead to."""
    capabilities = view.capabilities(broker)
    return Claim(f"users of {capabilities.cluster if capabilities else broker}", name)


def claim_of(manifest: Manifest, view: View) -> Claim | None:
    """Return the native name that an object claims; None while its Broker is not there to say the rules.

    A name that the rules do not allow is no claim: it would keep the name from the one it belongs to.
    """
    if manifest.refs.broker is None or manifest.key.kind is Kind.BROKER:
        return None
    broker = view.get(manifest.refs.broker)
    if broker is None or not isinstance(broker.spec, BrokerSpec):
        return None
    name = native_name(manifest, broker.spec, view)
    if name is None or name_problem(manifest, broker.spec, view) is not None:
        return None
    if manifest.key.kind is Kind.BROKER_USER:
        return user_claim(broker.key, view, name)
    return Claim(f"channels of {broker.key}", name)


def _matches(selector: LabelSelector, labels: dict[str, str]) -> bool:
    if any(labels.get(name) != value for name, value in (selector.match_labels or {}).items()):
        return False
    for expression in selector.match_expressions or ():
        value = labels.get(expression.key)
        values = expression.values or ()
        match expression.operator:
            case Operator.IN:
                fits = value in values
            case Operator.NOT_IN:
                fits = value not in values
            case Operator.EXISTS:
                fits = value is not None
            case Operator.DOES_NOT_EXIST:
                fits = value is None
        if not fits:
            return False
    return True


def admits(consent: NamespaceConsent, owner: str, namespace: str, view: View) -> bool:
    """Whether the owner (a namespace) lets another namespace in. A namespace always admits itself.

    A namespace that is not known yet has no labels, so no selector matches it.
    """
    if namespace == owner:
        return True
    if consent.from_ is ConsentFrom.SAME:
        return False
    if consent.from_ is ConsentFrom.ALL:
        return True
    info = view.namespace(namespace)
    return info is not None and consent.selector is not None and _matches(consent.selector, dict(info.labels))


def native_name(manifest: Manifest, broker: BrokerSpec, view: View) -> str | None:
    """Return the native name that an object claims, readable even where the rest of its spec is not.

    None for a user whose name its certificate says, while that has never been read.
    """
    if manifest.refs.by_certificate:
        return next(iter(usernames(manifest, broker, view)), None)
    return naming.native_name(broker, manifest.key, manifest.refs.name)


def usernames(manifest: Manifest, broker: BrokerSpec, view: View) -> tuple[str, ...]:
    """Return the native users that a BrokerUser stands for, the one in its binding Secret first.

    Before anything was found out in this process, what the status last told is taken: a restart changes no right.
    """
    found = view.logins(manifest.key)
    if found is not None:
        return found
    shown = manifest.status.get("username")
    if manifest.refs.by_certificate:
        return (shown,) if isinstance(shown, str) and shown else ()
    name = naming.native_name(broker, manifest.key, manifest.refs.name)
    return (name + (rotation.slot_of(name, shown) or rotation.PLAIN),)


def name_problem(manifest: Manifest, broker: BrokerSpec, view: View) -> Problem | None:
    """Hold the native name of an object against the Broker's rules; None = it may be used, or is not known yet."""
    own_user = view.own_user(manifest.refs.broker) if manifest.refs.broker is not None else None
    if not manifest.refs.by_certificate:
        return naming.check_stated(broker, manifest.key, manifest.refs.name, own_user=own_user)
    name = native_name(manifest, broker, view)
    if name is None:
        return None
    return naming.check_principal(broker, manifest.key, name, stated=manifest.refs.name, own_user=own_user)


def _grant_state(user: Manifest | None, broker: Key, broker_spec: BrokerSpec, view: View) -> GrantState:
    """Decide for one user, its namespace's consent left aside."""
    if user is None or user.deleted is not None:
        return GrantState.MISSING
    if user.refs.broker != broker:
        return GrantState.ON_OTHER_BROKER
    name = native_name(user, broker_spec, view)
    if name is None:
        return GrantState.MISSING
    if name_problem(user, broker_spec, view):
        return GrantState.NOT_PERMITTED
    if view.holder(user_claim(broker, view, name)) != user.key:
        return GrantState.NOT_PERMITTED
    return GrantState.GRANTED


def told_grants(status: Mapping[str, Any]) -> Iterator[tuple[Key, Role]]:
    """Yield what a channel's status says that it grants, as far as that can be read."""
    for entry in status.get("grants") or ():
        namespace, _, name = entry["user"].partition("/")
        if entry["state"] == GrantState.GRANTED and entry["role"] in _ROLES:
            yield Key(Kind.BROKER_USER, namespace, name), Role(entry["role"])


_ROLES = frozenset(str(role) for role in Role)


def lapsed(reports: Iterable[GrantReport]) -> tuple[Grant, ...]:
    """Return the grants that nothing but a consent is missing for."""
    return tuple(Grant(r.user, r.lapsed, r.role) for r in reports if r.lapsed)


def grants(
    lists: Iterable[tuple[Role, Iterable[ObjectRef]]], *, namespace: str, broker: Key, spec: BrokerSpec, view: View
) -> tuple[tuple[Grant, ...], tuple[GrantReport, ...]]:
    """Look up every entry of a channel's lists once: what is granted, and what to report of each.

    Doubles (`{a}` beside `{a, own namespace}`) count once, in the order of the lists.
    """
    granted: list[Grant] = []
    reports: dict[tuple[Key, Role], GrantReport] = {}
    for role, refs in lists:
        for ref in refs:
            key = Key(Kind.BROKER_USER, ref.namespace or namespace, ref.name)
            if (key, role) in reports:
                continue
            user = view.get(key)
            state = _grant_state(user, broker, spec, view)
            if user is None or state is not GrantState.GRANTED:
                reports[key, role] = GrantReport(key, role, state)
            elif admits(spec.allowed_namespaces, broker.namespace, key.namespace, view):
                reports[key, role] = GrantReport(key, role, state)
                granted.append(Grant(key, usernames(user, spec, view), role))
            else:
                reports[key, role] = GrantReport(key, role, GrantState.NOT_PERMITTED, usernames(user, spec, view))
    return tuple(granted), tuple(reports.values())
