"""Turns what was decided and what became of it into `status`: one pure function per kind of object.

The kstatus rules live here: observedGeneration is never written without Ready, and Reconciling and Stalled are never
both there. Never writes anything; never reads a clock (the time is handed in and used only where a condition changed).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from channel_operator.api.common import AdoptionPolicy
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.api.status import GrantState, Origin
from channel_operator.core.accepted import Compiled, Enforcement
from channel_operator.core.access import GrantReport
from channel_operator.core.model import Key, Problem

__all__ = [
    "Condition",
    "ObjectState",
    "arrival",
    "changed_fields",
    "channel_status",
    "conditions",
    "is_as_looked_at",
    "is_ready",
    "noted",
    "user_status",
    "with_fields",
]

MAX_GRANTS = 50
MAX_PLAN = 20
MAX_MESSAGE = 1024
"""Bounds of what a status shows; the schema has the same."""

Status = dict[str, Any]
_REASONS = frozenset(map(str, Reason))
"""Whoever may write a status may have put any word there."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition before it has a time."""

    type: ConditionType
    status: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class ObjectState:
    """All that a report is made from. `pending`: work goes on and `pending_message` says which."""

    generation: int
    previous: Mapping[str, Any]
    broker: Key | None
    now: str
    problems: tuple[Problem, ...] = ()
    pending: Problem | None = None
    disabled: bool = False
    observes: bool = False
    drifted: bool = False
    compiled: Compiled | None = None
    grants: Sequence[GrantReport] = ()
    origin: str | None = None
    plan: Sequence[str] = ()
    deleting: str | None = None
    """What a deletion waits for."""
    unheeded: Sequence[str] = ()
    """Sentences about annotations without effect; see `core.annotations`."""
    extra: Mapping[str, Any] = field(default_factory=dict)


def conditions(state: ObjectState) -> list[Condition]:
    """Decide the conditions of a BrokerUser or a channel."""
    if state.disabled:
        return _disabled(state)
    by_type = {t: [p for p in state.problems if p.condition is t] for t in ConditionType}
    accepted = _judge(
        ConditionType.ACCEPTED, by_type[ConditionType.ACCEPTED], Reason.ACCEPTED, "The manifest is valid."
    )
    refs_text = "Everything it refers to was found and may be used."
    refs = _judge(ConditionType.RESOLVED_REFS, by_type[ConditionType.RESOLVED_REFS], Reason.ACCEPTED, refs_text)
    result = [accepted, refs, _programmed(state, by_type[ConditionType.PROGRAMMED], [accepted, refs])]
    if state.drifted:
        text = "The broker differs from the manifest and is left so; see status.plan."
        why = next((p.reason for p in by_type[ConditionType.PROGRAMMED]), Reason.OBSERVED)
        result.append(Condition(ConditionType.DRIFTED, "True", why, text))
    return noted([*result, *_summary(result, "" if state.observes else _hint(state.grants))], state.unheeded)


def noted(found: Sequence[Condition], sentences: Sequence[str]) -> list[Condition]:
    """Add sentences to what Ready says."""
    if not sentences:
        return list(found)
    return [
        replace(c, message=" ".join([_sentence(c.message), *sentences])) if c.type is ConditionType.READY else c
        for c in found
    ]


def _hint(grants: Sequence[GrantReport]) -> str:
    """Say that somebody listed cannot come in: that lowers nothing, but clients would look for it."""
    missing = sum(grant.state is not GrantState.GRANTED for grant in grants)
    if not missing:
        return ""
    return f" {missing} of {len(grants)} grants {'is' if missing == 1 else 'are'} not given: see status.grants."


def _disabled(state: ObjectState) -> list[Condition]:
    """Keep what was known when a user said: hands off. Nothing is looked at since, so nothing new is claimed."""
    before = {c.get("type"): c for c in state.previous.get("conditions") or ()}
    text = "Hands off: the annotation channel-operator.dev/reconcile is Disabled."
    kept = []
    for kind in (ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.PROGRAMMED):
        old = before.get(str(kind))
        if old is None or old["reason"] not in _REASONS:
            kept.append(Condition(kind, "Unknown", Reason.DISABLED, text))
        else:
            kept.append(Condition(kind, old["status"], Reason(old["reason"]), old["message"]))
    ready = before.get(str(ConditionType.READY))
    return [*kept, Condition(ConditionType.READY, ready["status"] if ready else "Unknown", Reason.DISABLED, text)]


def _judge(kind: ConditionType, problems: Sequence[Problem], good: Reason, text: str) -> Condition:
    if not problems:
        return Condition(kind, "True", good, text)
    worst = next((p for p in problems if p.stalled), problems[0])
    told = dict.fromkeys(p.message for p in problems if p.stalled == worst.stalled)
    message = " ".join(_sentence(text) for text in told) if len(told) > 1 else worst.message
    return Condition(kind, "False" if worst.stalled else "Unknown", worst.reason, message)


def _sentence(text: str) -> str:
    """End a message that others follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _programmed(state: ObjectState, problems: Sequence[Problem], before: Sequence[Condition]) -> Condition:
    kind = ConditionType.PROGRAMMED
    if state.deleting is not None:
        return Condition(kind, "Unknown", Reason.DELETING, state.deleting)
    if problems:
        return _judge(kind, problems, Reason.PROGRAMMED, "")
    earlier = next((c for c in before if c.status != "True"), None)
    if earlier is not None:
        return Condition(kind, "Unknown", earlier.reason, f"Not attempted while {earlier.type} is {earlier.status}.")
    if state.pending is not None:
        return Condition(kind, "Unknown", state.pending.reason, state.pending.message)
    if state.observes and state.drifted:
        text = "The broker differs; under Observe nothing is written; status.plan shows what would change."
        return Condition(kind, "False", Reason.OBSERVED, text)
    if state.observes:
        return Condition(kind, "True", Reason.OBSERVED, "The broker matches the manifest and is only watched.")
    return Condition(kind, "True", Reason.PROGRAMMED, "The broker matches the manifest.")


def _summary(parts: Sequence[Condition], hint: str) -> list[Condition]:
    """Ready from the others, with Reconciling or Stalled beside it."""
    parts = [c for c in parts if c.type is not ConditionType.DRIFTED]
    bad = next((c for c in parts if c.status == "False"), None)
    if bad is not None:
        return [
            Condition(ConditionType.READY, "False", bad.reason, bad.message),
            Condition(ConditionType.STALLED, "True", bad.reason, bad.message),
        ]
    open_ = next((c for c in parts if c.status == "Unknown"), None)
    if open_ is not None:
        return [
            Condition(ConditionType.READY, "Unknown", open_.reason, open_.message),
            Condition(ConditionType.RECONCILING, "True", open_.reason, open_.message),
        ]
    last = parts[-1]
    return [Condition(ConditionType.READY, "True", last.reason, last.message + hint)]


def stamp(found: Iterable[Condition], previous: Mapping[str, Any], generation: int, now: str) -> list[dict[str, Any]]:
    """Write conditions in the form of the API; the time moves only where the status does."""
    old = {c.get("type"): c for c in previous.get("conditions") or ()}
    stamped = []
    for condition in found:
        before = old.get(str(condition.type))
        same = before is not None and before.get("status") == condition.status
        stamped.append(
            {
                "type": str(condition.type),
                "status": condition.status,
                "reason": str(condition.reason),
                "message": condition.message[:MAX_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": before["lastTransitionTime"] if same and before is not None else now,
            }
        )
    return stamped


def _base(state: ObjectState) -> Status:
    """Fields common to users and channels; None removes a field in a merge patch."""
    return {
        "observedGeneration": state.generation,
        "conditions": stamp(conditions(state), state.previous, state.generation, state.now),
        "broker": f"{state.broker.namespace}/{state.broker.name}" if state.broker else None,
    }


def _kept(state: ObjectState, name: str) -> Any:
    """Keep what the status said while nothing newer is known (an object on hold, a broker away)."""
    return state.previous.get(name)


def _enforcement(entries: Sequence[Enforcement]) -> list[dict[str, str]] | None:
    return [{"field": e.field, "by": e.by, "note": e.note} for e in entries] or None


def channel_status(state: ObjectState) -> Status:
    """Report a Queue (a Topic, a Subscription)."""
    status = _base(state)
    compiled = state.compiled
    if compiled is not None and not compiled.problems:
        status["address"] = _plain(compiled.address)
        status["effective"] = _plain(compiled.effective) or None
        status["enforcement"] = _enforcement(compiled.enforcement)
    else:
        for name in ("address", "effective", "enforcement"):
            status[name] = _kept(state, name)
    if compiled is not None and not compiled.problems and not state.observes:
        status["grants"] = [
            {"user": f"{g.user.namespace}/{g.user.name}", "role": str(g.role), "state": str(g.state)}
            for g in state.grants[:MAX_GRANTS]
        ] or None
        status["grantCount"] = len(state.grants)
    else:
        # What is not written gives and takes no right: those that were given stand.
        status["grants"], status["grantCount"] = _kept(state, "grants"), _kept(state, "grantCount")
    status["origin"] = state.origin or _kept(state, "origin")
    status["plan"] = _plan(state.plan)
    return {**status, **state.extra}


def user_status(state: ObjectState) -> Status:
    """Report a BrokerUser; `extra` carries username, binding, credentials, grants and the bytes of its patterns."""
    return {**_base(state), "origin": state.origin or _kept(state, "origin"), "plan": _plan(state.plan), **state.extra}


def arrival(kind: Kind, status: Mapping[str, Any], broker: str, adoption: AdoptionPolicy | None) -> str:
    """Say for an event under which name an object is on its broker, and how it came to be the manifest's."""
    name = status.get("username") or (status.get("address") or {}).get("name", "")
    if status.get("origin") == Origin.CREATED:
        return f"Created on {broker} as {name}."
    # Whoever allows the loss of messages may have lost some.
    is_whole = kind in {Kind.QUEUE, Kind.SUBSCRIPTION} and adoption is not AdoptionPolicy.ALLOW_DATA_LOSS
    kept = " with its messages" if is_whole else ""
    return f"Taken over on {broker}{kept}: {name}."


def _plan(lines: Sequence[str]) -> dict[str, Any] | None:
    if not lines:
        return None
    changes = f"{len(lines)} change" + ("" if len(lines) == 1 else "s")
    return {"summary": f"{changes} not made", "changes": list(lines[:MAX_PLAN])}


def _plain(value: Any) -> Any:
    """Copy frozen values into what JSON knows."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list | frozenset):
        return [_plain(v) for v in value]
    return value


def changed_fields(written: Mapping[str, Any], wanted: Mapping[str, Any]) -> Status:
    """Return the fields of a status, whole, in which it differs from what was written; empty = nothing to write.

    None means absent.
    """
    return {name: value for name, value in wanted.items() if written.get(name) != value}


def with_fields(written: Mapping[str, Any], fields: Mapping[str, Any]) -> Status:
    """Return the status once these fields are set; None removes one."""
    return {name: value for name, value in {**written, **fields}.items() if value is not None}


def is_ready(status: Mapping[str, Any], generation: int) -> bool:
    """Whether a status says Ready for this generation."""
    if status.get("observedGeneration") != generation:
        return False
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())


def is_as_looked_at(status: Mapping[str, Any], generation: int) -> bool:
    """Whether it is Ready and that was seen: with hands off, the last word stays though nobody has looked since."""
    disabled = any(c.get("reason") == Reason.DISABLED for c in status.get("conditions") or ())
    return is_ready(status, generation) and not disabled
