"""Decides what one manifest stands for: accepted, on hold, denied, waiting, or on its way out.

References, consent, names and their claims, defaults, grants. Looks at Kubernetes through a `View` only and never at a
broker; the same input always gives the same answer.
"""

from dataclasses import dataclass, replace
from enum import Enum

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core import access, dead_letters, naming, policy, references
from channel_operator.core.acceptance import Acceptance, accepted, subject_of
from channel_operator.core.accepted import Login, Resolved, ResolvedUser, Subject
from channel_operator.core.access import GrantReport
from channel_operator.core.model import Key, Problem
from channel_operator.core.view import Manifest, View
from channel_operator.errors import InvalidManifest

__all__ = ["Resolution", "Standing", "broker_problems", "resolve"]


class Standing(Enum):
    """How an object stands towards its broker."""

    ACCEPTED = "accepted"
    """It asserts its parts."""
    HELD = "held"
    """What it has stays as it is: invalid, disabled, unsupported."""
    DENIED = "denied"
    """Its namespace is not admitted: no access, and what holds messages stays."""
    WAITING = "waiting"
    """It has no broker to speak of, or the name is another's: it says nothing."""
    DELETED = "deleted"
    """It is going: its parts are withdrawn by its deletion policy."""
    RELEASED = "released"
    """It is going, and what it has on the broker is left alone."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer for one manifest."""

    standing: Standing
    broker: Key | None
    subject: Subject | None = None
    resolved: Resolved | None = None
    problems: tuple[Problem, ...] = ()
    grants: tuple[GrantReport, ...] = ()
    observes: bool = False
    awaits: Key | None = None
    """The object that has to be made before this one can be."""
    needed_by: tuple[Key, ...] = ()
    """Who has to go before a deleted object may."""
    withheld: Resolved | None = None
    """The channel with those grants only that a withdrawn consent, or its deletion, takes back; None = no such."""

    @property
    def awaits_consent(self) -> bool:
        """Whether a consent is missing that may still come in the same commit."""
        return any(p.reason is Reason.REF_NOT_PERMITTED and not p.stalled for p in self.problems)


def _refs(reason: Reason, message: str, field: str, *, stalled: bool) -> Problem:
    return Problem(reason, message, condition=ConditionType.RESOLVED_REFS, field=field, stalled=stalled)


def broker_problems(broker: Manifest, view: View) -> tuple[Problem, ...]:
    """Decide whether a Broker object can be worked with at all; empty = it can.

    Two Brokers that lead to one identity would be two writers: the younger one stands back.
    """
    problems = _spec_problems(broker)
    if problems or not isinstance(broker.spec, BrokerSpec):
        return problems
    if broker.spec.rabbitmq is None:
        text = (
            "spec.kafka: Kafka is not supported by this version of the operator yet. "
            "Use a Broker with spec.rabbitmq, or wait for it."
        )
        return (Problem(Reason.UNSUPPORTED_BY_BROKER, text, field="spec.kafka"),)
    capabilities = view.capabilities(broker.key)
    if capabilities is None:
        return ()
    oldest = min(view.brokers_with_identity(capabilities.identity), key=lambda m: m.since, default=broker)
    if oldest.key == broker.key:
        return ()
    text = (
        f"The older Broker {oldest.key.namespace}/{oldest.key.name} leads to the same virtual host. "
        "Use that one (it can admit other namespaces in spec.allowedNamespaces) and delete this one."
    )
    return (Problem(Reason.NAME_CONFLICT, text, field="spec.rabbitmq"),)


def resolve(manifest: Manifest, view: View, *, grace_over: bool, logins: tuple[Login, ...] = ()) -> Resolution:
    """Decide for one BrokerUser or channel.

    `grace_over`: a missing consent has been missing for longer than the grace time (it may come in the same commit).
    `logins`: of a BrokerUser, where they were looked up.
    """
    broker_key = manifest.refs.broker
    if broker_key is None:
        missing = references.topic_problem(manifest, None, view)
        told = (*_spec_problems(manifest), *([missing] if missing is not None else []))
        return Resolution(Standing.WAITING, None, problems=told)
    broker = view.get(broker_key)
    if broker is None or not isinstance(broker.spec, BrokerSpec) or broker_problems(broker, view):
        return _without_broker(manifest, broker_key, broker)
    subject = subject_of(manifest, broker.spec, view)
    # Before all else: a record or a finalizer that a user wrote by hand gives no say over a name that is another's.
    misnamed = _name_problem(manifest, subject, broker, view) if subject is not None else None
    if manifest.deleted is not None:
        return _leaving(manifest, subject, broker, broker.spec, view, owns_name=misnamed is None)
    denied = _consent_problem(manifest, broker, view, grace_over=grace_over)
    if misnamed is not None:
        # The Broker's naming rules and names are nobody's business who is not admitted.
        told = (*_spec_problems(manifest), misnamed if denied is None else denied)
        return Resolution(Standing.WAITING, broker_key, subject, problems=told)
    if denied is not None:
        withheld = _all_withheld(manifest, subject, broker_key, broker.spec, view)
        return Resolution(Standing.DENIED, broker_key, subject, problems=(denied,), withheld=withheld)
    return _admitted(manifest, subject, broker, broker.spec, view, logins)


def _leaving(
    manifest: Manifest, subject: Subject | None, broker: Manifest, spec: BrokerSpec, view: View, *, owns_name: bool
) -> Resolution:
    """Decide for a deleted object: its parts are withdrawn, unless its owner or its name says to leave them."""
    observes = policy.only_observes(manifest, spec)
    released = policy.is_released_by_force(manifest) or policy.is_disabled(manifest) or observes or not owns_name
    return Resolution(
        Standing.RELEASED if released else Standing.DELETED,
        broker.key,
        subject,
        observes=observes,
        needed_by=references.needed_by(manifest, subject.removal, view) if subject is not None else (),
        withheld=None if released else _all_withheld(manifest, subject, broker.key, spec, view),
    )


def _admitted(
    manifest: Manifest,
    subject: Subject | None,
    broker: Manifest,
    spec: BrokerSpec,
    view: View,
    logins: tuple[Login, ...],
) -> Resolution:
    """Decide for an object that has its name and every consent: what it says, or what keeps it on hold."""
    observes = policy.only_observes(manifest, spec)
    if policy.is_disabled(manifest):
        return Resolution(Standing.HELD, broker.key, subject, observes=observes)
    problem = references.topic_problem(manifest, broker.key, view)
    problem = problem or dead_letters.dead_letter_problem(manifest, broker.key, view)
    problems = (*_spec_problems(manifest), *([problem] if problem is not None else _not_ready(manifest, broker)))
    if problems or subject is None:
        problems, awaits = problems or (_unnamed(),), references.unmade_log(manifest, view)
        return Resolution(Standing.HELD, broker.key, subject, problems=problems, observes=observes, awaits=awaits)
    found = accepted(manifest, subject, broker.key, spec, view, logins)
    return Resolution(
        Standing.ACCEPTED if found.resolved is not None else Standing.HELD,
        broker.key,
        subject,
        found.resolved,
        grants=found.grants,
        observes=observes,
        withheld=_withheld(found, gone=False),
    )


def _all_withheld(
    manifest: Manifest, subject: Subject | None, broker: Key, spec: BrokerSpec, view: View
) -> Resolved | None:
    """Return what a channel would give if it were not deleted, or had its consents."""
    if subject is None:
        return None
    return _withheld(accepted(manifest, subject, broker, spec, view, ()), gone=True)


def _withheld(found: Acceptance, *, gone: bool) -> Resolved | None:
    """Return the channel with the grants that lapse: all of them if it is deleted or has no consent itself (`gone`)."""
    resolved = found.resolved
    if resolved is None or isinstance(resolved, ResolvedUser):
        return None
    lapsed = access.lapsed(found.grants)
    grants = (*resolved.grants, *lapsed) if gone else lapsed
    return replace(resolved, grants=grants) if grants else None


def _unnamed() -> Problem:
    """Say what a user waits for whose name its certificate says; what is wrong with that is told by who reads it."""
    field = "spec.authentication.certificateSecretRef"
    text = f"{field}: the certificate, which says the user name, has not been read yet."
    return Problem(Reason.PROGRESSING, text, condition=ConditionType.RESOLVED_REFS, field=field, stalled=False)


def _spec_problems(manifest: Manifest) -> tuple[Problem, ...]:
    if isinstance(manifest.spec, InvalidManifest):
        return (Problem(Reason.INVALID_SPEC, str(manifest.spec), field=manifest.spec.field),)
    return ()


def _without_broker(manifest: Manifest, key: Key, broker: Manifest | None) -> Resolution:
    where = f"{key.namespace}/{key.name}"
    if broker is None:
        ref = getattr(manifest.spec, "broker_ref", None)
        here = ref is not None and ref.namespace is None
        taken = "; brokerRef.namespace is not stated, so this namespace was taken" if here else ""
        problem = _refs(
            Reason.REF_NOT_FOUND,
            f'spec.brokerRef: there is no Broker "{where}" (yet){taken}. Create it, or correct the reference.',
            "spec.brokerRef",
            stalled=False,
        )
    else:
        problem = _refs(
            Reason.REF_NOT_READY,
            f'spec.brokerRef: Broker "{where}" is not accepted itself; see its status.',
            "spec.brokerRef",
            stalled=False,
        )
    standing = Standing.RELEASED if manifest.deleted is not None and broker is None else Standing.WAITING
    return Resolution(standing, key, problems=(*_spec_problems(manifest), problem))


def _name_problem(manifest: Manifest, subject: Subject, broker: Manifest, view: View) -> Problem | None:
    spec = broker.spec
    if not isinstance(spec, BrokerSpec):
        return None
    not_allowed = access.name_problem(manifest, spec, view)
    if not_allowed is not None:
        return not_allowed
    claim = access.claim_of(manifest, view)
    holder = view.holder(claim) if claim is not None else None
    if holder is None or holder == manifest.key:
        return None
    by_certificate = manifest.refs.by_certificate
    field = "spec.authentication.certificateSecretRef" if by_certificate else naming.stated_field(manifest.key.kind)
    cure = (
        f"Have a certificate made for another name ({field})"
        if by_certificate
        else (f"Choose another metadata.name or {field}")
    )
    # Who holds the name is told only to those who may see it anyway: the same namespace.
    who = f"the older {holder}" if holder.namespace == manifest.key.namespace else "an older object elsewhere"
    what = "user" if manifest.key.kind is Kind.BROKER_USER else "channel"
    return Problem(
        Reason.NAME_CONFLICT,
        f'The {what} name "{subject.name}" on Broker {broker.key.namespace}/{broker.key.name} belongs to {who}. '
        f"{cure}.",
        field=field,
    )


def _consent_problem(manifest: Manifest, broker: Manifest, view: View, *, grace_over: bool) -> Problem | None:
    """Say whose consent is missing: of the Broker's owner, or of the Topic's."""
    key = broker.key
    if isinstance(broker.spec, BrokerSpec) and access.admits(
        broker.spec.allowed_namespaces, key.namespace, manifest.key.namespace, view
    ):
        return references.consent_problem(manifest, key, view, grace_over=grace_over)
    return _refs(
        Reason.REF_NOT_PERMITTED,
        f'spec.brokerRef: Broker "{key.namespace}/{key.name}" does not admit namespace '
        f'"{manifest.key.namespace}". Ask its owner to admit it in spec.allowedNamespaces.',
        "spec.brokerRef",
        stalled=grace_over,
    )


def _not_ready(manifest: Manifest, broker: Manifest) -> tuple[Problem, ...]:
    where = f"{broker.key.namespace}/{broker.key.name}"
    if broker.deleted is not None and policy.owner_record(manifest.annotations) is None:
        text = f'spec.brokerRef: Broker "{where}" is being deleted. Use another one.'
    else:
        return ()
    return (_refs(Reason.REF_NOT_READY, text, "spec.brokerRef", stalled=False),)
