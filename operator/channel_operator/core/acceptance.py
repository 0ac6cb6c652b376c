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
from channel_operator.api.reasons import Reason
from channel_operator.core import access
from channel_operator.core.accepted import Resolved, ResolvedQueue, ResolvedUser, Role, Subject
from channel_operator.core.access import GrantReport
from channel_operator.core.model import Key, Problem, Secret
from channel_operator.core.view import Manifest, View

__all__ = ["Acceptance", "accepted", "not_yet"]


class Acceptance(NamedTuple):
    """What a manifest comes to. `resolved` None: it holds what it has, and `problems` say why."""

    resolved: Resolved | None
    problems: tuple[Problem, ...] = ()
    grants: tuple[GrantReport, ...] = ()


def accepted(
    manifest: Manifest, subject: Subject, broker_key: Key, broker: BrokerSpec, view: View, password: Secret | None
) -> Acceptance:
    """Decide for one object whose standing is settled. `password`: of a BrokerUser, where it has been read."""
    match manifest.spec:
        case QueueSpec() as stated if isinstance(subject.spec, QueueSpec):
            granted, reports = access.grants(
                _queue_lists(stated), namespace=subject.key.namespace, broker=broker_key, spec=broker, view=view
            )
            return Acceptance(ResolvedQueue(subject, subject.spec, stated, granted), grants=reports)
        case BrokerUserSpec() as spec:
            return Acceptance(ResolvedUser(subject, spec, password))
        case _:
            return Acceptance(None, (not_yet(manifest.key.kind),))


def not_yet(kind: Kind) -> Problem:
    """Say that a kind has no driver part."""
    return Problem(
        Reason.UNSUPPORTED_BY_BROKER,
        f"A {kind} cannot be made by this version of the operator yet. Use a Queue, or wait for it.",
    )


def _queue_lists(spec: QueueSpec) -> list[tuple[Role, tuple[ObjectRef, ...]]]:
    """Return every list of users in a Queue with the role it gives."""
    dead = spec.dead_letter.consumers if spec.dead_letter else None
    return [
        (Role.PRODUCER, tuple(spec.producers or ())),
        (Role.CONSUMER, tuple(spec.consumers or ())),
        (Role.DEAD_LETTER_CONSUMER, tuple(dead or ())),
    ]
