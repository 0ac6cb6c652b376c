"""What the broker is asked right before something is decided: whose a name is, or what a user wants looked at again.

Decides what has to be read and what was read a moment ago. Never writes.
"""

from collections.abc import Collection

from channel_operator.brokers.base import Session
from channel_operator.core.model import Observation, ResourceId
from channel_operator.engine.clock import Clock
from channel_operator.engine.state import BrokerState

__all__ = ["FRESH", "Refresher"]

FRESH = 1.0
"""Seconds for which a look at everything serves for those who come after it.

While many objects are made, the claim of each takes about as long before its first write to the broker.
"""


class Refresher:
    """Refreshes the picture of one broker, object by object or, where many are asked for, all at once."""

    def __init__(self, state: BrokerState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._looked_at: float | None = None
        self._spoken_for: Collection[ResourceId] = ()
        """What somebody spoke of when everything was looked at: that part of the picture was left as it was."""

    async def refresh(self, undecided: Collection[ResourceId], asked: Collection[ResourceId], session: Session) -> None:
        """Read what is undecided unless it was seen a moment ago, and what is asked for in any case."""
        state = self._state
        ids = {rid for rid in undecided if not self._is_fresh(rid)}.union(asked) - state.busy
        if not ids:
            return
        begun = self._clock.monotonic()
        seen = await session.observe(ids)
        for rid in ids:
            state.picture.pop(rid, None)
        if seen.complete:
            self._take_in(seen, ids, begun)
        else:
            state.picture.update(seen.resources)

    def _is_fresh(self, rid: ResourceId) -> bool:
        if self._looked_at is None or rid in self._spoken_for:
            return False
        return self._clock.monotonic() - self._looked_at < FRESH

    def _take_in(self, seen: Observation, ids: Collection[ResourceId], begun: float) -> None:
        """Keep also what was not asked for. What is spoken for is left to the resync, which tells of drift."""
        picture = self._state.picture
        spoken_for = {*self._state.desired.ids(), *self._state.busy}.difference(ids)
        for rid in [rid for rid in picture if rid not in seen.resources and rid not in spoken_for]:
            del picture[rid]
        picture.update((rid, found) for rid, found in seen.resources.items() if rid not in spoken_for)
        self._looked_at, self._spoken_for = begun, spoken_for
