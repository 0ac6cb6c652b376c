"""Assembles what every owner says into what each native object should be.

Keeps the parts of all owners of one broker, by owner and by object, so that a pass combines only the objects it
touches. Nothing is counted up and down, so nothing can be lost. Never looks at a broker: what is observed is handed in.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from channel_operator.core.accepted import Compiled
from channel_operator.core.model import (
    Assembled,
    Key,
    Part,
    Resource,
    ResourceId,
)

__all__ = ["Assembler", "Desired"]


class Assembler(Protocol):
    """What is needed of a driver: combine all parts of one native object."""

    def assemble(
        self,
        rid: ResourceId,
        parts: Sequence[Part],
        picture: Mapping[ResourceId, Resource],
        held_names: Collection[str],
    ) -> Assembled:
        """See `brokers.base.Driver.assemble`."""


class Desired:
    """The parts of all owners of one broker and, cached, what they make of each native object."""

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._by_owner: dict[Key, dict[ResourceId, Part]] = {}
        self._by_id: dict[ResourceId, dict[Key, Part]] = {}
        self._held: dict[Key, frozenset[str]] = {}
        self._held_names: frozenset[str] = frozenset()
        self._assembled: dict[ResourceId, Assembled] = {}

    def put(self, owner: Key, compiled: Compiled, *, held: bool) -> set[ResourceId]:
        """Replace what an owner says; return the ids that have to be assembled again.

        When an owner goes on hold or comes off it, that is every id: shared objects keep what they have on its names.
        """
        before = self._by_owner.get(owner, {})
        after = {part.id: part for part in compiled.parts}
        touched = {rid for rid, part in after.items() if before.get(rid) != part}
        for rid in before.keys() - after.keys():
            self._discard(rid, owner)
            touched.add(rid)
        for rid in touched & after.keys():
            self._by_id.setdefault(rid, {})[owner] = after[rid]
        self._by_owner[owner] = after
        if self._hold(owner, compiled.names if held else None):
            touched |= self._by_id.keys()
        return touched

    def drop(self, owner: Key) -> set[ResourceId]:
        """Forget an owner: it says nothing any more; return the ids it had."""
        parts = self._by_owner.pop(owner, {})
        for rid in parts:
            self._discard(rid, owner)
        touched = set(parts)
        if self._hold(owner, None):
            touched |= self._by_id.keys()
        return touched

    def assemble(self, ids: Iterable[ResourceId], picture: Mapping[ResourceId, Resource]) -> None:
        """Combine the parts of these ids anew."""
        for rid in ids:
            parts = self._by_id.get(rid)
            if not parts:
                self._assembled.pop(rid, None)
                continue
            ordered = list(parts.values()) if len(parts) == 1 else sorted(parts.values(), key=lambda p: p.since)
            self._assembled[rid] = self._assembler.assemble(rid, ordered, picture, self._held_names)

    def get(self, rid: ResourceId) -> Assembled | None:
        """Return what an object should be, None if nobody speaks of it."""
        return self._assembled.get(rid)

    def owners(self, rid: ResourceId) -> Collection[Key]:
        """Return who speaks of an object."""
        return self._by_id.get(rid, {}).keys()

    def since(self, rid: ResourceId) -> tuple[str, str]:
        """Return when the oldest owner of an object came."""
        return min(part.since for part in self._by_id[rid].values())

    def parts(self, owner: Key) -> Mapping[ResourceId, Part]:
        """Return what an owner says."""
        return self._by_owner.get(owner, {})

    def ids(self) -> Collection[ResourceId]:
        """Return every object that anybody speaks of."""
        return self._by_id.keys()

    def _discard(self, rid: ResourceId, owner: Key) -> None:
        owners = self._by_id.get(rid)
        if owners is not None:
            owners.pop(owner, None)
            if not owners:
                del self._by_id[rid]

    def _hold(self, owner: Key, names: frozenset[str] | None) -> bool:
        if self._held.get(owner) == names:
            return False
        if names is None:
            del self._held[owner]
        else:
            self._held[owner] = names
        self._held_names = frozenset().union(*self._held.values())
        return True
