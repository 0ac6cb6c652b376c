"""Decides what has to be written: desired against observed, as a plan.

Pure: a plan is data, and making one changes nothing. Never decides how or how fast it is applied.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from channel_operator.api.meta import RECREATE, Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core.desired import Desired
from channel_operator.core.model import (
    Action,
    Assembled,
    Change,
    Difference,
    Key,
    Plan,
    Problem,
    Refusal,
    Resource,
    ResourceId,
)

__all__ = ["Differ", "leaders", "plan"]


class Differ(Protocol):
    """What is needed of a driver to compare and to order."""

    contested: frozenset[str]
    """See `brokers.base.Driver.contested`."""

    def diff(self, desired: Resource, observed: Resource) -> Difference | None:
        """See `brokers.base.Driver.diff`."""

    def hindered(
        self, wanted: Sequence[Resource], picture: Mapping[ResourceId, Resource]
    ) -> Mapping[ResourceId, Problem]:
        """See `brokers.base.Driver.hindered`."""

    def stage(self, change: Change) -> int:
        """See `brokers.base.Driver.stage`."""

    def needs(self, resource: Resource) -> Sequence[ResourceId]:
        """See `brokers.base.Driver.needs`."""


def leaders(owners: Collection[Key]) -> list[Key]:
    """Return the owners on whose behalf a shared object is written.

    A user's rights are the union of what many channels grant, and they can be written once the user itself may be.
    """
    users = [owner for owner in owners if owner.kind is Kind.BROKER_USER]
    return users or list(owners)


def plan(
    ids: Iterable[ResourceId],
    desired: Desired,
    picture: Mapping[ResourceId, Resource],
    differ: Differ,
    *,
    may_write: Callable[[Key], bool],
    was_made_by_us: Callable[[Key], bool],
) -> Plan:
    """Compare these ids.

    `may_write(owner)`: its owner record stands. `was_made_by_us(owner)` chooses the reason of a refusal:
    ImmutableOnBroker for what we made or adopted, AdoptionRefused for what we found.
    """
    found = _Found()
    ids = list(ids)
    hindered = differ.hindered(_oldest_first(ids, desired, differ.contested), picture)
    for rid in ids:
        assembled = desired.get(rid)
        if assembled is None or assembled.held:
            continue
        if assembled.refused:
            found.refused[rid] = assembled.refused
        owners = desired.owners(rid)
        lead = leaders(owners)
        if rid in hindered:
            found.block(dict.fromkeys(lead, hindered[rid]))
            continue
        outcome = compare(rid, assembled, picture.get(rid), frozenset(owners), differ)
        if isinstance(outcome, Change):
            if all(may_write(owner) for owner in lead):
                found.changes.append(outcome)
        elif outcome is not None:
            found.block({owner: explain(rid, outcome, made_by_us=was_made_by_us(owner)) for owner in lead})
    stuck = frozenset(owner for rid in hindered for owner in leaders(desired.owners(rid)))
    made, waiting = _without_unmet(found.possible(stuck), desired, picture, differ, may_write)
    return Plan(tuple(made), found.blocked, (), found.refused, waiting)


@dataclass(slots=True)
class _Found:
    """What a comparison has come to so far."""

    changes: list[Change] = field(default_factory=list)
    blocked: dict[Key, tuple[Problem, ...]] = field(default_factory=dict)
    refused: dict[ResourceId, tuple[Refusal, ...]] = field(default_factory=dict)

    def block(self, problems: Mapping[Key, Problem]) -> None:
        """Note what owners cannot have."""
        for owner, problem in problems.items():
            self.blocked[owner] = (*self.blocked.get(owner, ()), problem)

    def possible(self, stuck: frozenset[Key]) -> list[Change]:
        """Return the changes. For the `stuck` nothing new is made: without the rest it would be less than they ask."""
        if not stuck:
            return self.changes
        return [c for c in self.changes if c.action is not Action.CREATE or stuck.isdisjoint(leaders(c.owners))]


def _oldest_first(ids: Iterable[ResourceId], desired: Desired, kinds: Collection[str]) -> list[Resource]:
    """Return what should be of these kinds, that of the oldest owners first."""
    found = [
        (desired.since(rid), assembled.resource)
        for rid in ids
        if rid.kind in kinds
        and (assembled := desired.get(rid)) is not None
        and assembled.resource is not None
        and not assembled.held
    ]
    found.sort(key=lambda pair: pair[0])
    return [resource for _, resource in found]


def _without_unmet(
    changes: list[Change],
    desired: Desired,
    picture: Mapping[ResourceId, Resource],
    differ: Differ,
    may_write: Callable[[Key], bool],
) -> tuple[list[Change], dict[ResourceId, tuple[ResourceId, ...]]]:
    """Put off what refers to something that neither stands nor is made by these very changes.

    What stands counts only when it is spoken of by an owner whose record stands: an exchange of the same name that
    was never taken over is somebody else's.
    """
    needs = {change.id: differ.needs(change.desired) for change in changes if change.desired is not None}
    made = {change.id for change in changes if change.desired is not None}
    waiting: dict[ResourceId, tuple[ResourceId, ...]] = {}

    def stands(rid: ResourceId) -> bool:
        return (rid in picture or rid in made) and any(may_write(owner) for owner in desired.owners(rid))

    pending = [rid for rid, needed in needs.items() if needed]
    while pending:
        unmet = {rid: missing for rid in pending if (missing := tuple(n for n in needs[rid] if not stands(n)))}
        if not unmet:
            break
        waiting |= unmet
        made -= unmet.keys()
        pending = [rid for rid in pending if rid not in unmet]
    if not waiting:
        return changes, waiting
    return _before(waiting, changes), waiting


def _before(waiting: Collection[ResourceId], changes: Iterable[Change]) -> list[Change]:
    """Return what may be written while something waits: of its owner nothing of a later stage.

    An entry waits for the way of the dead letters, and what takes the place of something else has to stand before
    that goes.
    """
    late: dict[Key, int] = {}
    for change in changes:
        if change.id in waiting:
            for owner in leaders(change.owners):
                late[owner] = min(change.stage, late.get(owner, change.stage))
    return [
        change
        for change in changes
        if change.id not in waiting and all(change.stage <= late.get(o, change.stage) for o in leaders(change.owners))
    ]


def compare(
    rid: ResourceId, assembled: Assembled, observed: Resource | None, owners: frozenset[Key], differ: Differ
) -> Change | Difference | None:
    """Compare one object: a change, a difference that the broker cannot change in place, or None."""
    wanted = assembled.resource
    if wanted is None:
        if observed is None:
            return None
        change = Change(
            rid,
            Action.DELETE,
            None,
            observed,
            owners,
            0,
            assembled.removal,
            narrows=True,
            destructive=observed.holds_data,
        )
    elif observed is None:
        change = Change(rid, Action.CREATE, wanted, None, owners, 0, destructive=assembled.destructive)
    else:
        difference = differ.diff(wanted, observed)
        if difference is None:
            return None
        if difference.blocked:
            return difference
        change = Change(
            rid,
            Action.UPDATE,
            wanted,
            observed,
            owners,
            0,
            narrows=difference.narrows,
            destructive=assembled.destructive,
        )
    return staged(change, differ)


def staged(change: Change, differ: Differ) -> Change:
    """Return the change with its place in the order of writing."""
    stage = differ.stage(change)
    if stage == change.stage:
        return change
    return Change(
        change.id,
        change.action,
        change.desired,
        change.observed,
        change.owners,
        stage,
        change.removal,
        change.narrows,
        change.destructive,
    )


def explain(rid: ResourceId, difference: Difference, *, made_by_us: bool) -> Problem:
    """Turn a difference that cannot be written into what the user reads."""
    what = "; ".join(difference.fields)
    if difference.reason is not None:
        # A driver that knows the reason gives the advice with it.
        reason, text = difference.reason, f"{rid} exists on the broker already: {what}."
    elif made_by_us:
        reason = Reason.IMMUTABLE_ON_BROKER
        advice = ", or delete the object at the broker once it is empty to have it made anew"
        if difference.recreatable:
            advice = f", or annotate with {RECREATE}: IfEmpty to have it replaced once it is empty and unused"
        text = (
            f"{rid} differs from the manifest and the broker cannot change it in place: {what}. "
            f"Take the change back{advice}."
        )
    else:
        reason = Reason.ADOPTION_REFUSED
        text = (
            f"{rid} exists on the broker already and does not fit: {what}. "
            "Make the manifest match it, choose another name, or delete it at the broker."
        )
    return Problem(reason, text, condition=ConditionType.PROGRAMMED)
