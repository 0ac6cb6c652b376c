"""What a Broker object says of itself: reachable or not, what it is, how its channels are. Pure.

Never decides whether something is written: `engine.statuses` compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import CHANNEL_KINDS, RELEASE_BRAKE
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core.annotations import without_effect
from channel_operator.core.brake import BrakeState
from channel_operator.core.model import Capabilities, Key, Problem
from channel_operator.core.report import Condition, is_ready, noted, stamp
from channel_operator.core.view import Manifest

__all__ = ["BrokerFacts", "broker_status", "count_channels"]

MAX_NAMES = 20
_NAMED = 10
"""Objects a Broker's deletion waits for that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """All that a Broker's status is made from.

    `problem`: the manifest or its references are wrong. `outage`: it does not answer. `data_plane`: what is wrong
    there, None = well. `replaced`: the identity it had before.
    """

    manifest: Manifest
    now: str
    capabilities: Capabilities | None = None
    problem: Problem | None = None
    outage: str | None = None
    data_plane: str | None = None
    replaced: str | None = None
    channels: Mapping[str, int] | None = None
    orphans: Sequence[str] = ()
    observed: str | None = None
    dependants: Sequence[Key] = ()
    brake: BrakeState = field(default_factory=BrakeState)


def count_channels(manifests: Sequence[Manifest]) -> dict[str, int]:
    """Count the channels of a broker: all, ready, drifted."""
    channels = [m for m in manifests if m.key.kind in CHANNEL_KINDS]
    drifted = [m for m in channels if any(c.get("type") == "Drifted" for c in m.status.get("conditions") or ())]
    ready = sum(is_ready(m.status, m.generation) for m in channels)
    return {"total": len(channels), "ready": ready, "drifted": len(drifted)}


def broker_status(facts: BrokerFacts) -> dict[str, Any]:
    """Return the status of a Broker."""
    manifest = facts.manifest
    known, previous = facts.capabilities, manifest.status
    status: dict[str, Any] = {
        "observedGeneration": manifest.generation,
        "conditions": stamp(_conditions(facts), previous, manifest.generation, facts.now),
        "channels": dict(facts.channels) if facts.channels is not None else previous.get("channels"),
    }
    if known is not None:
        status["product"] = known.product
        status["version"] = known.version
        status["identity"] = known.identity
        status["capabilities"] = sorted(known.features) or None
    if facts.observed is not None:
        names = sorted(facts.orphans)
        status["orphans"] = {"count": len(names), "names": names[:MAX_NAMES]} if names else None
    return status


def _conditions(facts: BrokerFacts) -> list[Condition]:
    accepted = _condition(ConditionType.ACCEPTED, facts.problem, "The manifest is valid.")
    refs = _condition(ConditionType.RESOLVED_REFS, facts.problem, "Its Secrets and certificates were found.")
    reachable = _reachable(facts)
    parts = [accepted, refs, reachable]
    if facts.replaced is not None and facts.capabilities is not None:
        text = (
            f"Another broker answers than before: its identity was {facts.replaced} and is "
            f"{facts.capabilities.identity}. Nothing is withdrawn; what is missing is made again."
        )
        parts.append(Condition(ConditionType.BROKER_REPLACED, "True", Reason.BROKER_REPLACED, text))
    return noted([*parts, *_summary(facts, [accepted, refs, reachable])], without_effect(facts.manifest, None))


def _condition(kind: ConditionType, problem: Problem | None, good: str) -> Condition:
    if problem is None or problem.condition is not kind:
        return Condition(kind, "True", Reason.ACCEPTED, good)
    return Condition(kind, "False" if problem.stalled else "Unknown", problem.reason, problem.message)


def _reachable(facts: BrokerFacts) -> Condition:
    kind = ConditionType.REACHABLE
    if facts.outage is not None:
        return Condition(kind, "False", Reason.BROKER_UNREACHABLE, f"Management plane: {facts.outage}")
    if facts.problem is not None and facts.problem.condition is kind:
        return Condition(
            kind, "False" if facts.problem.stalled else "Unknown", facts.problem.reason, facts.problem.message
        )
    if facts.problem is not None or facts.capabilities is None:
        return Condition(kind, "Unknown", Reason.PROGRESSING, "Not asked yet.")
    if facts.data_plane is not None:
        text = f"Management plane: answers. Data plane: {facts.data_plane}"
        return Condition(kind, "False", Reason.BROKER_UNREACHABLE, text)
    rabbitmq = getattr(facts.manifest.spec, "rabbitmq", None)
    probed = rabbitmq is not None and bool(rabbitmq.clients.addresses)
    data = "answers" if probed else "not checked, spec.rabbitmq.clients.addresses is empty"
    return Condition(kind, "True", Reason.ACCEPTED, f"Management plane: answers. Data plane: {data}.")


def _summary(facts: BrokerFacts, parts: Sequence[Condition]) -> list[Condition]:
    if facts.manifest.deleted is not None:
        who = ", ".join(f"{k.kind} {k.namespace}/{k.name}" for k in sorted(facts.dependants)[:_NAMED])
        more = f" and {len(facts.dependants) - _NAMED} more" if len(facts.dependants) > _NAMED else ""
        text = f"Being deleted; waits for {who}{more}." if facts.dependants else "Being deleted."
        text += f" {_brake(facts)}" if facts.brake.engaged else ""
        return [
            Condition(ConditionType.READY, "Unknown", Reason.DELETING, text),
            Condition(ConditionType.RECONCILING, "True", Reason.DELETING, text),
        ]
    if facts.problem is not None and facts.problem.reason is Reason.DISABLED:
        # Nothing goes on and nothing is wrong: it stays as ready as it was, or tools would wait for ever.
        before = next((c for c in facts.manifest.status.get("conditions", ()) if c.get("type") == "Ready"), None)
        status = before["status"] if before else "Unknown"
        return [Condition(ConditionType.READY, status, Reason.DISABLED, facts.problem.message)]
    bad = next((c for c in parts if c.status != "True"), None)
    if bad is None and facts.brake.engaged:
        return [
            Condition(ConditionType.READY, "False", Reason.BRAKE_ENGAGED, _brake(facts)),
            Condition(ConditionType.STALLED, "True", Reason.BRAKE_ENGAGED, _brake(facts)),
        ]
    if bad is None:
        return [Condition(ConditionType.READY, "True", Reason.ACCEPTED, parts[-1].message)]
    # An outage passes by itself; what only a user can put right is stalled.
    stalled = facts.problem is not None and facts.problem.stalled
    if stalled:
        return [
            Condition(ConditionType.READY, "False", bad.reason, bad.message),
            Condition(ConditionType.STALLED, "True", bad.reason, bad.message),
        ]
    return [
        Condition(ConditionType.READY, "False" if facts.outage is not None else "Unknown", bad.reason, bad.message),
        Condition(ConditionType.RECONCILING, "True", bad.reason, bad.message),
    ]


def _brake(facts: BrokerFacts) -> str:
    """Say what waits, how to let it go, and how to let it not."""
    manifest, state = facts.manifest, facts.brake
    waiting = [
        f"{count} {what}{'' if count == 1 else 's'}{of}"
        for count, what, of in (
            (state.waiting.deletions, "deletion", ""),
            (state.waiting.revocations, "withdrawal", " of rights"),
        )
        if count
    ]
    limits = ""
    if isinstance(manifest.spec, BrokerSpec):
        brake = manifest.spec.brake
        limits = f" ({brake.max_deletions} deletions and {brake.max_revocations} withdrawals within {brake.window})"
    asked = manifest.annotations.get(RELEASE_BRAKE)
    stale = "" if asked in {None, state.token} else " The annotation has another token, which does nothing."
    key = manifest.key
    return (
        f"The brake is engaged: {' and '.join(waiting)} wait, more than spec.brake allows{limits}. Undo what caused "
        "them, or, if all of it is intended, release exactly these: kubectl annotate --overwrite "
        f"brokers.channel-operator.dev/{key.name} -n {key.namespace} {RELEASE_BRAKE}={state.token}{stale}"
    )
