"""Decides about dead-letter references: which Queue takes the dead letters, who still needs it, and circles.

Looks at Kubernetes through a `View` only and never at a broker.
"""

from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core import access
from channel_operator.core.model import Key, Problem
from channel_operator.core.view import Manifest, View

__all__ = ["circle", "dead_letter_problem", "sources", "target"]

FIELD = "spec.deadLetter.queueRef"


def target(manifest: Manifest, view: View) -> Manifest | None:
    """Return the Queue that takes an object's dead letters, None where it names none or there is none."""
    key = manifest.refs.dead_letter
    return view.get(key) if key is not None else None


def circle(manifest: Manifest, view: View) -> tuple[Key, ...]:
    """Return who is on the way of a dead letter back to this object, the object itself first; empty = it never is.

    A deleted Queue is on no way: it takes nothing new, and what names it waits.
    """
    way = [manifest.key]
    found = target(manifest, view)
    while found is not None and found.deleted is None:
        if found.key == manifest.key:
            return tuple(way)
        if found.key in way:
            return ()  # the circle is further on: others are on it
        way.append(found.key)
        found = target(found, view)
    return ()


def sources(manifest: Manifest, view: View) -> tuple[Key, ...]:
    """Return the living objects of its Broker that send their dead letters to this Queue."""
    found = []
    for key in view.dependants(manifest.key):
        other = view.get(key)
        if other is None or other.deleted is not None or other.refs.dead_letter != manifest.key:
            continue
        if other.refs.broker == manifest.refs.broker:
            found.append(key)
    return tuple(sorted(found))


def dead_letter_problem(manifest: Manifest, broker: Key, view: View) -> Problem | None:
    """Say why the Queue that is to take the dead letters cannot; None = it can, or the object names none.

    None of this takes anything away: dead letters go on to where they went until the Queue can be used.
    """
    key = manifest.refs.dead_letter
    if key is None:
        return None
    found, name = view.get(key), f'Queue "{key.namespace}/{key.name}"'
    if found is None:
        return _problem(Reason.REF_NOT_FOUND, f"there is no {name} (yet). Create it, or correct the reference.")
    way = circle(manifest, view)
    if way:
        shown = " → ".join(one.name for one in (*way, manifest.key))
        text = f"dead letters would come back to where they are from: {shown}. Break the circle at one of them."
        return _problem(Reason.DEAD_LETTER_CYCLE, text, stalled=True)
    if found.deleted is not None:
        return _problem(Reason.REF_NOT_READY, f"{name} is being deleted. Name another Queue, or remove the field.")
    if found.refs.broker != broker:
        text = f"{name} is on another Broker. Name a Queue on {broker.namespace}/{broker.name}."
        return _problem(Reason.INVALID_SPEC, text, stalled=True)
    claim = access.claim_of(found, view)
    if claim is None or view.holder(claim) != key:
        return _problem(Reason.REF_NOT_READY, f"{name} is not accepted itself; see its status.")
    return None


def _problem(reason: Reason, text: str, *, stalled: bool = False) -> Problem:
    return Problem(reason, f"{FIELD}: {text}", condition=ConditionType.RESOLVED_REFS, field=FIELD, stalled=stalled)
