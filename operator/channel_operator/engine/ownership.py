"""Decides whose an object on the broker is, before anything is written for a manifest: made, adopted, or not ours.

The answer goes into the owner record, in one patch with the finalizer; deletion later acts on nothing else.
"""

from collections.abc import Sequence

from channel_operator.api.common import AdoptionPolicy
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core import policy
from channel_operator.core.diff import leaders, plan
from channel_operator.core.model import (
    Action,
    Capabilities,
    Key,
    Mode,
    Part,
    Plan,
    Problem,
    ResourceId,
)
from channel_operator.core.policy import OwnerRecord, Ownership
from channel_operator.engine.context import Context
from channel_operator.engine.looks import Look
from channel_operator.engine.state import BrokerState, owns

__all__ = ["OwnershipDecisions"]


class OwnershipDecisions:
    """Decides by what the broker has, as the state's picture shows it."""

    def __init__(self, context: Context, state: BrokerState) -> None:
        self._context = context
        self._state = state

    def undecided(self, look: Look, capabilities: Capabilities) -> set[ResourceId]:
        """Return the native objects of which it has to be decided whose they are; they are to be read before that."""
        if not self._is_open(look, capabilities):
            return set()
        return self._mine(look.manifest.key)

    def _is_open(self, look: Look, capabilities: Capabilities) -> bool:
        if not look.asserts or self._context.claims.in_flight(look.manifest.key):
            return False
        return not owns(look.manifest, capabilities)

    def _mine(self, key: Key) -> set[ResourceId]:
        desired = self._state.desired
        return {rid for rid in desired.parts(key) if leaders(desired.owners(rid)) == [key]}

    def claim(self, look: Look, capabilities: Capabilities) -> set[ResourceId]:
        """Have finalizer and owner record written for what is new.

        What may not be taken over says nothing at all, or its lists would give rights on somebody else's object;
        returned are the native objects to assemble without it.
        """
        key = look.manifest.key
        self._state.blocked.pop(key, None)
        if not self._context.claims.in_flight(key):
            self._state.claimed.discard(key)
        if not self._is_open(look, capabilities):
            return set()
        if key.kind is Kind.BROKER_USER and self._context.bindings.of(key).issued is None:
            self._context.bindings.need_credential(key)
            return set()
        record, problems = self._decide(look, capabilities)
        if problems:
            self._state.blocked[key] = problems
            ids, users = self._state.looks.silence(key)
            self._state.affected |= users
            return ids
        if record is not None:
            self._context.claims.claim(key, record)
            self._state.claimed.add(key)
        return set()

    def _decide(self, look: Look, capabilities: Capabilities) -> tuple[OwnerRecord | None, tuple[Problem, ...]]:
        """Decide what the record will say, from what the broker has: created, adopted, or not ours to take."""
        state, key = self._state, look.manifest.key
        before = policy.owner_record(look.manifest.annotations)
        if before is None and key.kind is not Kind.BROKER_USER:
            refusal = self._refusal_of_surplus(key) or self._refusal_of_strangers(key)
            if refusal is not None:
                return None, (refusal,)
        existing = [rid for rid in sorted(self._mine(key)) if rid in state.picture and self._is_wanted(rid)]
        if not existing:
            return OwnerRecord(Ownership.CREATING, capabilities.identity), ()
        mine = sorted(self._mine(key))
        found = plan(mine, state.desired, state.picture, state.driver, may_write=_always, was_made_by_us=_never)
        if found.blocked.get(key):
            return None, found.blocked[key]
        if key.kind is Kind.BROKER_USER:
            # A user with our mark is our own making; one without it was put at our disposal by the Broker's owner.
            marked = state.driver.leftovers({rid: state.picture[rid] for rid in existing})
            ownership = Ownership.CREATED if marked else Ownership.ADOPTED
            return OwnerRecord(ownership, capabilities.identity), ()
        if before is not None:
            # A broker that was restored under another identity still has what we made there.
            return OwnerRecord(before.ownership, capabilities.identity), ()
        refusal = self._refusal_of_adoption(look, existing, found)
        if refusal is not None:
            return None, (refusal,)
        return OwnerRecord(Ownership.ADOPTED, capabilities.identity), ()

    def _refusal_of_surplus(self, key: Key) -> Problem | None:
        """Say what is there that a new manifest does not ask for, and that would be removed for it."""
        driver, picture = self._state.driver, self._state.picture
        doomed = [rid for rid in sorted(self._mine(key)) if rid in picture and self._is_doomed(rid)]
        if not doomed:
            return None
        named = [rid for rid in doomed if driver.name_of(rid) is not None]
        field = "spec.deadLetter" if named else None
        what = ", ".join(str(rid).strip() for rid in named or doomed)
        text = (
            f"The broker already has {what}, which this manifest does not ask for "
            f"and which would be removed. State {field or 'the fields it was made with'} to take it over, choose "
            "another name, or delete it at the broker."
        )
        return _refused(text, field)

    def _refusal_of_adoption(self, look: Look, existing: Sequence[ResourceId], found: Plan) -> Problem | None:
        """Say why what exists may not be taken over: the policy, or messages that it could cost."""
        driver = self._state.driver
        if self.adoption(look) is AdoptionPolicy.NEVER:
            names = ", ".join(str(rid) for rid in existing)
            text = f"spec.adoptionPolicy is Never and the broker already has {names}. Choose another name or policy."
            return _refused(text, "spec.adoptionPolicy")
        lossy = [change for change in found.changes if change.destructive and change.action is not Action.DELETE]
        if not lossy or self.adoption(look) is AdoptionPolicy.ALLOW_DATA_LOSS:
            return None
        what = "; ".join(driver.describe(change) for change in lossy)
        return _refused(
            f"{existing[0]} exists on the broker already, and to make it as the manifest says could drop messages: "
            f"{what}. State spec.adoptionPolicy: AllowDataLoss to accept that, or less strict spec.limits.",
            "spec.adoptionPolicy",
        )

    def adoption(self, look: Look) -> AdoptionPolicy | None:
        """Return the policy that holds for an object: its own, else its Broker's default."""
        stated: AdoptionPolicy | None = getattr(look.manifest.spec, "adoption_policy", None)
        broker = self._context.store.get(self._context.broker)
        defaults = getattr(broker.spec, "defaults", None) if broker is not None else None
        return stated if stated is not None else getattr(defaults, "adoption_policy", None)

    def _is_wanted(self, rid: ResourceId) -> bool:
        assembled = self._state.desired.get(rid)
        return assembled is not None and assembled.resource is not None

    def _refusal_of_strangers(self, key: Key) -> Problem | None:
        """Say which settings that others made bear the names that those of a new manifest need."""
        taken = self._strangers(key)
        if not taken:
            return None
        return _refused(
            f"The broker already has {', '.join(taken)}, which this operator did not make, and needs that name "
            "for the settings of this channel. Have it deleted or renamed at the broker, or choose another name."
        )

    def _strangers(self, key: Key) -> list[str]:
        """Return what others made under names that settings need, and that would be changed or removed.

        By its form a setting made by hand can pass for ours, so that alone is believed only beside a queue of ours.
        What says just what this manifest would say is as good as ours.
        """
        state, found = self._state, list[str]()
        mine = sorted(rid for rid in self._mine(key) if rid in state.picture)
        is_ours = any(self._was_declared_here(rid) for rid in mine)
        for rid in mine:
            assembled = state.desired.get(rid)
            if rid.kind not in state.driver.contested or assembled is None or assembled.held:
                continue
            wanted, there = assembled.resource, state.picture[rid]
            differs = wanted is None or state.driver.diff(wanted, there) is not None
            if (wanted is not None and self._is_anothers(rid)) or (differs and not is_ours):
                found.append(str(rid))
        return found

    def _was_declared_here(self, rid: ResourceId) -> bool:
        assembled = self._state.desired.get(rid)
        if assembled is None or assembled.resource is None:
            return False
        return self._state.driver.shows_own_making(assembled.resource, self._state.picture[rid])

    def _is_anothers(self, rid: ResourceId) -> bool:
        """Whether what is there would stay even if all its owners here withdrew it: it has not the form of ours."""
        parts = [Part(rid, owner, Mode.WITHDRAW) for owner in self._state.desired.owners(rid)]
        return self._state.driver.assemble(rid, parts, self._state.picture, ()).held

    def _is_doomed(self, rid: ResourceId) -> bool:
        """Whether it would be taken away: a dead-letter queue or its exchange where none is asked for.

        A setting that is left over is none: it belongs to the queue, and goes as by an edit.
        """
        assembled = self._state.desired.get(rid) if rid.kind not in self._state.driver.contested else None
        return assembled is not None and assembled.resource is None and not assembled.held


def _refused(text: str, field: str | None = None) -> Problem:
    return Problem(Reason.ADOPTION_REFUSED, text, ConditionType.PROGRAMMED, field)


def _always(_owner: Key) -> bool:
    return True


def _never(_owner: Key) -> bool:
    return False
