"""Decides about references between channels: whose Broker a Subscription belongs to, what its Topic allows, who stays.

Looks at Kubernetes through a `View` only and never at a broker. The reference to a Broker itself is `resolve`'s.
"""

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.api.topic import Storage, TopicSpec
from channel_operator.core import access, dead_letters, policy
from channel_operator.core.model import Key, Problem, Removal
from channel_operator.core.view import Manifest, View

__all__ = ["TOPIC_REF", "broker_of", "consent_problem", "needed_by", "topic_problem", "unmade_log"]

TOPIC_REF = "spec.topicRef"


def broker_of(manifest: Manifest, view: View) -> Key | None:
    """Return the Broker of a Subscription; None while there is none.

    What it has on a broker stays its own there: once it is made, its status names its Broker, whatever becomes of the
    Topic. Before that it belongs to the Broker that the Topic names.
    """
    shown = _shown_broker(manifest)
    if shown is not None and policy.owner_record(manifest.annotations) is not None:
        return shown
    topic = view.get(manifest.refs.topic) if manifest.refs.topic is not None else None
    if topic is not None:
        return topic.refs.broker
    if not policy.has_finalizer(manifest):
        return None
    return shown or _recorded_broker(manifest, view)


def _shown_broker(manifest: Manifest) -> Key | None:
    namespace, _, name = str(manifest.status.get("broker") or "").partition("/")
    return Key(Kind.BROKER, namespace, name) if namespace and name else None


def _recorded_broker(manifest: Manifest, view: View) -> Key | None:
    """Find the Broker by the owner record: the operator ended between making something and saying so."""
    record = policy.owner_record(manifest.annotations)
    known = view.brokers_with_identity(record.identity) if record is not None else ()
    return min((broker.key for broker in known), default=None)


def topic_problem(manifest: Manifest, broker: Key | None, view: View) -> Problem | None:
    """Say why the Topic of a Subscription cannot be used; None = it can, or the object names none.

    None of this takes anything away: what the Subscription has stays as it is until the Topic can be used again.
    """
    key = manifest.refs.topic
    if key is None:
        return None
    topic, name = view.get(key), f'Topic "{key.namespace}/{key.name}"'
    if topic is None:
        text = f"there is no {name} (yet). Create it, or correct the reference."
        return _problem(Reason.REF_NOT_FOUND, text)
    if topic.deleted is not None:
        return _problem(Reason.REF_NOT_READY, f"{name} is being deleted. Delete this Subscription too, or wait.")
    if topic.refs.broker is not None and broker is not None and topic.refs.broker != broker:
        there = topic.refs.broker
        text = (
            f"{name} is on Broker {there.namespace}/{there.name} now, and what this Subscription has is on "
            f"{broker.namespace}/{broker.name}. Delete this Subscription and apply it again to move it."
        )
        return _problem(Reason.REF_NOT_READY, text, stalled=True)
    claim = access.claim_of(topic, view)
    if not isinstance(topic.spec, TopicSpec) or (claim is not None and view.holder(claim) != key):
        return _problem(Reason.REF_NOT_READY, f"{name} is not accepted itself; see its status.")
    if unmade_log(manifest, view) is not None:
        return _problem(Reason.REF_NOT_READY, f"{name} is not on the broker (yet); see its status.")
    return None


def unmade_log(manifest: Manifest, view: View) -> Key | None:
    """Return the Topic of a Subscription that has to be made or taken over before it may be read.

    A log is read itself, and one of the same name that is somebody else's must not be. A topic that keeps nothing needs
    no such care: the Subscription's own queue is bound once the Topic's exchange stands.
    """
    topic = view.get(manifest.refs.topic) if manifest.refs.topic is not None else None
    if topic is None or not isinstance(topic.spec, TopicSpec) or topic.spec.storage is not Storage.LOG:
        return None
    made = policy.has_finalizer(topic) and policy.owner_record(topic.annotations) is not None
    return None if made else topic.key


def consent_problem(manifest: Manifest, broker: Key, view: View, *, grace_over: bool) -> Problem | None:
    """Say that the Topic does not admit the namespace of a Subscription; None = it does, or that cannot be told."""
    key = manifest.refs.topic
    topic = view.get(key) if key is not None else None
    if key is None or topic is None or topic.refs.broker != broker or not isinstance(topic.spec, TopicSpec):
        return None
    if access.admits(topic.spec.subscribers, key.namespace, manifest.key.namespace, view):
        return None
    text = (
        f'Topic "{key.namespace}/{key.name}" does not admit namespace "{manifest.key.namespace}". '
        "Ask its owner to admit it in spec.subscribers."
    )
    return _problem(Reason.REF_NOT_PERMITTED, text, stalled=grace_over)


def needed_by(manifest: Manifest, removal: Removal | None, view: View) -> tuple[Key, ...]:
    """Return who has to go before a deleted object may: Subscriptions of a Topic, sources of dead letters for a Queue.

    Of the Subscriptions only those count that the Topic admits and that were made, and none of a namespace that the
    Broker does not admit: whoever is there could write a finalizer by hand. What is retained on the broker waits for
    nobody.
    """
    if removal is None:
        return ()
    if manifest.key.kind is Kind.QUEUE:
        return dead_letters.sources(manifest, view)
    broker = view.get(manifest.refs.broker) if manifest.refs.broker is not None else None
    if manifest.key.kind is not Kind.TOPIC or broker is None:
        return ()
    found = []
    for key in view.dependants(manifest.key):
        other = view.get(key)
        if other is None or other.refs.topic != manifest.key or not policy.has_finalizer(other):
            continue
        if other.refs.broker == broker.key and _both_admit(manifest, broker, key.namespace, view):
            found.append(key)
    return tuple(sorted(found))


def _both_admit(topic: Manifest, broker: Manifest, namespace: str, view: View) -> bool:
    """Whether neither the Topic nor its Broker shuts a namespace out, as far as they can be read."""
    if isinstance(broker.spec, BrokerSpec) and not access.admits(
        broker.spec.allowed_namespaces, broker.key.namespace, namespace, view
    ):
        return False
    return not isinstance(topic.spec, TopicSpec) or access.admits(
        topic.spec.subscribers, topic.key.namespace, namespace, view
    )


def _problem(reason: Reason, text: str, *, stalled: bool = False) -> Problem:
    return Problem(
        reason, f"{TOPIC_REF}: {text}", condition=ConditionType.RESOLVED_REFS, field=TOPIC_REF, stalled=stalled
    )
