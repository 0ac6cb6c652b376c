"""Decides what an accepted manifest comes to, kind by kind: effective spec, references, grants.

Standing, names and the Broker's consent are settled before (`resolve`). Looks at Kubernetes through a `View` only and
never at a broker.
"""

from typing import NamedTuple

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.api.common import ObjectRef
from channel_operator.api.meta import Kind
from channel_operator.api.queue import QueueSpec
from channel_operator.api.subscription import SubscriptionSpec
from channel_operator.api.topic import TopicSpec
from channel_operator.core import access, dead_letters, policy
from channel_operator.core.accepted import (
    Login,
    Resolved,
    ResolvedQueue,
    ResolvedSubscription,
    ResolvedTopic,
    ResolvedUser,
    Role,
    Subject,
)
from channel_operator.core.access import GrantReport
from channel_operator.core.defaults import completed
from channel_operator.core.model import Key
from channel_operator.core.view import Manifest, View

__all__ = ["Acceptance", "accepted", "subject_of"]


class Acceptance(NamedTuple):
    """What a manifest comes to. `resolved` None: it holds what it has."""

    resolved: Resolved | None
    grants: tuple[GrantReport, ...] = ()


def accepted(
    manifest: Manifest, subject: Subject, broker_key: Key, broker: BrokerSpec, view: View, logins: tuple[Login, ...]
) -> Acceptance:
    """Decide for one object whose standing is settled. `logins`: of a BrokerUser, where they were looked up."""
    found = dead_letters.target(manifest, view)
    dead = subject_of(found, broker, view) if found is not None else None
    match manifest.spec:
        case QueueSpec() as stated if isinstance(subject.spec, QueueSpec):
            granted, reports = access.grants(
                _queue_lists(stated), namespace=subject.key.namespace, broker=broker_key, spec=broker, view=view
            )
            return Acceptance(ResolvedQueue(subject, subject.spec, stated, granted, dead), reports)
        case BrokerUserSpec() as spec:
            by_certificate = manifest.refs.by_certificate
            unread = (Login(n, by_certificate=by_certificate) for n in access.usernames(manifest, broker, view))
            return Acceptance(ResolvedUser(subject, spec, logins or tuple(unread)))
        case TopicSpec() as stated if isinstance(subject.spec, TopicSpec):
            granted, reports = access.grants(
                [(Role.PRODUCER, stated.producers)],
                namespace=subject.key.namespace,
                broker=broker_key,
                spec=broker,
                view=view,
            )
            return Acceptance(ResolvedTopic(subject, subject.spec, stated, granted), reports)
        case SubscriptionSpec() as stated if isinstance(subject.spec, SubscriptionSpec) and subject.topic is not None:
            granted, reports = access.grants(
                _subscription_lists(stated), namespace=subject.key.namespace, broker=broker_key, spec=broker, view=view
            )
            resolved = ResolvedSubscription(subject, subject.spec, stated, subject.topic, granted, dead)
            return Acceptance(resolved, reports)
        case _:
            return Acceptance(None)


def subject_of(manifest: Manifest, broker: BrokerSpec, view: View) -> Subject | None:
    """Return what is known of an object even where its spec cannot be read.

    None for a user whose certificate has not said its name.
    """
    name = access.native_name(manifest, broker, view)
    if name is None:
        return None
    return Subject(
        manifest.key,
        name,
        manifest.since,
        policy.removal(manifest, view.namespace(manifest.key.namespace), broker),
        completed(manifest, broker),
        topic=_topic_of(manifest, broker, view),
        listed=_listed(manifest, broker, view) if manifest.key.kind in _LISTED else frozenset(),
        told=manifest.status,
    )


_LISTED = frozenset({Kind.TOPIC, Kind.SUBSCRIPTION})
"""Kinds on whose names others may give rights too: on hold they speak for the users they list, not for names."""


def _topic_of(manifest: Manifest, broker: BrokerSpec, view: View) -> Subject | None:
    topic = view.get(manifest.refs.topic) if manifest.refs.topic is not None else None
    if topic is None or topic.refs.broker != manifest.refs.broker:
        return None
    return subject_of(topic, broker, view)


def _listed(manifest: Manifest, broker: BrokerSpec, view: View) -> frozenset[str]:
    users = [view.get(key) for key in manifest.refs.others if key.kind is Kind.BROKER_USER]
    return frozenset(
        name
        for user in users
        if user is not None and user.refs.broker == manifest.refs.broker
        for name in access.usernames(user, broker, view)
    )


def _subscription_lists(spec: SubscriptionSpec) -> list[tuple[Role, tuple[ObjectRef, ...]]]:
    """Return every list of users in a Subscription; its consumers are of its own namespace."""
    dead = spec.dead_letter.consumers if spec.dead_letter else ()
    consumers = tuple(ObjectRef(name=ref.name) for ref in spec.consumers)
    return [(Role.CONSUMER, consumers), (Role.DEAD_LETTER_CONSUMER, tuple(dead or ()))]


def _queue_lists(spec: QueueSpec) -> list[tuple[Role, tuple[ObjectRef, ...]]]:
    """Return every list of users in a Queue with the role it gives."""
    dead = spec.dead_letter.consumers if spec.dead_letter else None
    return [
        (Role.PRODUCER, tuple(spec.producers or ())),
        (Role.CONSUMER, tuple(spec.consumers or ())),
        (Role.DEAD_LETTER_CONSUMER, tuple(dead or ())),
    ]
