"""Which native objects wait for which others: a binding for an exchange that somebody else has yet to make.

Decides who is to be looked at again when something came to stand. Never looks at a broker.
"""

from collections.abc import Iterable, Mapping

from channel_operator.core.model import ResourceId

__all__ = ["Waits"]


class Waits:
    """What could not be written so far, and what it needs; both ways round."""

    def __init__(self) -> None:
        self._needs: dict[ResourceId, tuple[ResourceId, ...]] = {}
        self._needed_by: dict[ResourceId, set[ResourceId]] = {}

    def note(self, planned: Iterable[ResourceId], waiting: Mapping[ResourceId, tuple[ResourceId, ...]]) -> None:
        """Take in what a plan found: of what it looked at (`planned`), only `waiting` waits now."""
        for rid in planned:
            self.forget(rid)
        for rid, needs in waiting.items():
            self.add(rid, needs)

    def add(self, rid: ResourceId, needs: tuple[ResourceId, ...]) -> None:
        """Let one object wait."""
        self.forget(rid)
        self._needs[rid] = needs
        for needed in needs:
            self._needed_by.setdefault(needed, set()).add(rid)

    def forget(self, rid: ResourceId) -> None:
        """Let it wait no more."""
        for needed in self._needs.pop(rid, ()):
            waiting = self._needed_by[needed]
            waiting.discard(rid)
            if not waiting:
                del self._needed_by[needed]

    def of(self, rid: ResourceId) -> tuple[ResourceId, ...]:
        """Return what an object waits for; empty = it does not wait."""
        return self._needs.get(rid, ())

    def on(self, needed: ResourceId) -> frozenset[ResourceId]:
        """Return what waits for an object."""
        return frozenset(self._needed_by.get(needed, ()))

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._needs)
