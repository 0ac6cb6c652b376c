"""Recreating what cannot be changed in place, where a user asked for it by annotation.

Decides which objects are due: their difference needs a new one, or a replacement that was begun is to be finished.
Whether an object is empty and unused is the broker's to say.
"""

from collections.abc import Iterable

from channel_operator.api.meta import RECREATE
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core.diff import leaders
from channel_operator.core.model import Action, Capabilities, Change, Key, Problem, ResourceId
from channel_operator.engine.context import Context
from channel_operator.engine.state import BrokerState, owns

__all__ = ["Recreation"]

IF_EMPTY = "IfEmpty"


class Recreation:
    """Looks for what is to be replaced among the objects of one broker."""

    def __init__(self, context: Context, state: BrokerState) -> None:
        self._context = context
        self._state = state

    def due(self, keys: Iterable[Key], capabilities: Capabilities) -> list[Change]:
        """Return the replacements to begin; what is being replaced already is told as work that goes on."""
        found = []
        for key in keys:
            manifest, look = self._context.store.get(key), self._state.looks.get(key)
            if manifest is None or manifest.annotations.get(RECREATE) != IF_EMPTY:
                continue
            if look is None or not look.asserts or not owns(manifest, capabilities):
                continue
            found += [c for rid in self._state.desired.parts(key) if (c := self._recreated(key, rid)) is not None]
        return found

    def _recreated(self, key: Key, rid: ResourceId) -> Change | None:
        state = self._state
        if rid in state.busy:
            text = f"{rid} is being replaced, which takes some seconds."
            problem = Problem(Reason.PROGRESSING, text, ConditionType.PROGRAMMED, stalled=False)
            state.blocked[key] = (*state.blocked.get(key, ()), problem)
            return None
        assembled, observed, stand_in = state.desired.get(rid), state.picture.get(rid), state.driver.stand_in(rid)
        wanted = assembled.resource if assembled is not None and not assembled.held else None
        if wanted is None or stand_in is None or rid in state.resting or leaders(state.desired.owners(rid)) != [key]:
            return None
        difference = state.driver.diff(wanted, observed) if observed is not None else None
        if (difference is None or not difference.recreatable) and stand_in not in state.picture:
            return None
        return Change(rid, Action.RECREATE, wanted, observed, frozenset({key}), 0, destructive=True)
