"""Whether what an object needs of others stands, is on its way, or does not come by itself.

Decides whether a report is held back for it, so that one status says all, and what is said when it does not come.
"""

from collections.abc import Iterable, Sequence

from channel_operator.api.meta import CHANNEL_KINDS, Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core.diff import leaders
from channel_operator.core.model import Key, Problem, ResourceId
from channel_operator.engine.context import Context
from channel_operator.engine.looks import Look
from channel_operator.engine.state import BrokerState

__all__ = ["Dependencies"]


class Dependencies:
    """Looks at the state of one broker."""

    def __init__(self, context: Context, state: BrokerState) -> None:
        self._context = context
        self._state = state

    def exists(self, user: Key) -> bool:
        """Whether a user is on the broker by its own manifest: the native user of its Secret, with its right."""
        look = self._state.looks.get(user)
        subject = look.resolution.subject if look is not None else None
        if subject is None:
            return False
        name = (self._context.store.logins(user) or (subject.name,))[0]
        mine = [rid for rid in self._state.desired.parts(user) if name in rid.path]
        return bool(mine) and all(rid in self._state.picture for rid in mine)

    def is_coming(self, key: Key) -> bool:
        """Whether nothing is known that keeps an object from being made."""
        look, manifest = self._state.looks.get(key), self._context.store.get(key)
        if look is None:
            return manifest is not None
        stuck = bool(self._state.blocked.get(key)) or self._is_failing(key)
        if key.kind is Kind.BROKER_USER:
            stuck = stuck or self._context.bindings.of(key).problem is not None
        return look.asserts and not stuck

    def _is_failing(self, key: Key) -> bool:
        state = self._state
        return any(
            rid in state.failures and key in leaders(state.desired.owners(rid)) for rid in state.desired.parts(key)
        )

    def awaits(self, look: Look) -> bool:
        """Whether something that an object refers to is just being made: then one report says all."""
        users = {grant.user for grant in getattr(look.resolution.resolved, "grants", ())}
        if any(not self.exists(user) and self.is_coming(user) for user in users):
            return True
        return any(owner is not None and self.is_coming(owner) for _, owner in self._missing(look))

    def is_about_to_be_found(self, look: Look, problems: Sequence[Problem]) -> bool:
        """Whether nothing is wrong but that another object is just being made."""
        awaited = look.resolution.awaits
        return awaited is not None and not any(p.stalled for p in problems) and self.is_coming(awaited)

    def problems(self, look: Look) -> list[Problem]:
        """Return what an object waits for that does not come by itself."""
        found = []
        for rid, owner in self._missing(look):
            if owner is not None and self.is_coming(owner):
                continue
            found.append(
                Problem(Reason.REF_NOT_READY, self._text(rid, owner), ConditionType.RESOLVED_REFS, stalled=False)
            )
        return list(dict.fromkeys(found))

    def _text(self, rid: ResourceId, owner: Key | None) -> str:
        if owner is None:
            return f"{rid} is not on Broker {self._context.name} (yet)."
        look = self._state.looks.get(owner)
        if look is not None and look.resolution.observes and rid in self._state.picture:
            return f"{owner} is only observed (managementPolicy: Observe), so nothing is attached to it."
        return f"{owner} is not on Broker {self._context.name} (yet); see its status."

    def held_back(self, key: Key) -> set[Key]:
        """Return who held its report back for an object of which it is now known that it does not come."""
        state = self._state
        if self.is_coming(key):
            return set()
        if key.kind is Kind.BROKER_USER:
            return set() if self.exists(key) else state.looks.granting(key)
        look, waiting = state.looks.get(key), set(state.looks.awaiting(key))
        if look is not None:
            waiting |= state.waiting_for(part.id for part in look.compiled.parts)
        return waiting

    def _missing(self, look: Look) -> Iterable[tuple[ResourceId, Key | None]]:
        """Yield what an object waits for, each with the object of Kubernetes that is to make it, where it is known."""
        state, key = self._state, look.manifest.key
        if not state.waits:
            return
        for rid in state.desired.parts(key):
            for needed in state.waits.of(rid):
                owner = self._maker(look, needed)
                if owner != key:
                    yield needed, owner

    def _maker(self, look: Look, rid: ResourceId) -> Key | None:
        for key in (look.manifest.key, *look.manifest.refs.others):
            found = self._state.looks.get(key) if key.kind in CHANNEL_KINDS else None
            # What may not be taken over is not spoken of any more, but was looked at.
            if found is not None and any(part.id == rid for part in found.compiled.parts):
                return key
        return None
