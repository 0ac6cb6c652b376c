"""What the loop of one broker knows between two passes. Decides nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from channel_operator.api.meta import Kind
from channel_operator.brokers.base import Driver
from channel_operator.core import policy
from channel_operator.core.desired import Desired
from channel_operator.core.diff import leaders
from channel_operator.core.model import (
    Capabilities,
    Key,
    Mode,
    Problem,
    Refusal,
    Resource,
    ResourceId,
)
from channel_operator.core.view import Manifest
from channel_operator.engine.looks import Looks
from channel_operator.engine.waits import Waits
from channel_operator.errors import OperatorError

__all__ = ["BrokerState", "owns"]


@dataclass(slots=True)
class BrokerState:
    """`picture` is what the broker has, as last observed and as written since."""

    driver: Driver
    desired: Desired
    looks: Looks
    picture: dict[ResourceId, Resource] = field(default_factory=dict)
    blocked: dict[Key, tuple[Problem, ...]] = field(default_factory=dict)
    """Objects whose difference cannot be written, and why."""
    failures: dict[ResourceId, OperatorError] = field(default_factory=dict)
    """Writes that went wrong, until they go right or are not wanted any more."""
    refused: dict[Key, set[ResourceId]] = field(default_factory=dict)
    """Channel → shared objects into which what it grants did not fit."""
    waits: Waits = field(default_factory=Waits)
    """What cannot be written before somebody else's objects stand."""
    braked: dict[Key, Problem] = field(default_factory=dict)
    """Objects that the brake holds back, and what they say of it."""
    leaving: dict[Key, set[ResourceId]] = field(default_factory=dict)
    """Native objects that a deleted object had a say in, until it is released."""
    busy: set[ResourceId] = field(default_factory=set)
    """Being deleted beside the passes, since that has to wait for the broker's statistics."""
    resting: set[ResourceId] = field(default_factory=set)
    """Found not to be empty: tried again at the next resync."""
    claimed: set[Key] = field(default_factory=set)
    """Objects whose claim went out and that were not looked at since: what they want is not written yet."""
    affected: set[Key] = field(default_factory=set)
    """Objects to report on."""

    def may_take_back(self, owner: Key) -> bool:
        """Whether a user may lose rights without its record: it bears our mark, and is on hold or not admitted.

        Whoever writes its manifest can remove the record, and must not keep by that what others took back.
        """
        parts = self.desired.parts(owner)
        if owner.kind is not Kind.BROKER_USER or any(part.mode is Mode.ASSERT for part in parts.values()):
            return False
        return bool(self.driver.leftovers({rid: self.picture[rid] for rid in parts.keys() & self.picture.keys()}))

    def waiting_for(self, ids: Iterable[ResourceId]) -> set[Key]:
        """Return the owners of what waits for these to stand: they look again."""
        if not self.waits:
            return set()
        return {owner for needed in ids for rid in self.waits.on(needed) for owner in self.desired.owners(rid)}

    def note_refusals(self, ids: Iterable[ResourceId], refused: Mapping[ResourceId, Sequence[Refusal]]) -> None:
        """Take in what did not fit into these shared objects, and whom that concerns."""
        for rid in ids:
            now = {refusal.owner for refusal in refused.get(rid, ())}
            for owner in self.desired.owners(rid):
                had = rid in self.refused.get(owner, ())
                if had == (owner in now):
                    continue
                self.affected.add(owner)
                # The user is told too: its Secret must not name a channel that it may not use.
                self.affected |= set(leaders(self.desired.owners(rid)))
                if had:
                    self.refused[owner].discard(rid)
                else:
                    self.refused.setdefault(owner, set()).add(rid)

    def take_affected(self) -> set[Key]:
        """Return the keys to report on, and start anew."""
        taken, self.affected = self.affected, set()
        return taken


def owns(manifest: Manifest, capabilities: Capabilities) -> bool:
    """Whether finalizer and owner record stand for this very broker."""
    record = policy.owner_record(manifest.annotations)
    return record is not None and record.identity == capabilities.identity and policy.has_finalizer(manifest)
