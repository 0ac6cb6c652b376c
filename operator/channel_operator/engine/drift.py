"""What a fresh look at the whole broker shows that nobody asked for, and what is told of it.

Decides which differences are drift, which bindings are somebody else's, and which users were left over.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import structlog

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import EventReason
from channel_operator.core import policy
from channel_operator.core.diff import leaders, staged
from channel_operator.core.model import (
    Action,
    Change,
    Key,
    Removal,
    Resource,
    ResourceId,
)
from channel_operator.core.policy import Ownership
from channel_operator.core.report import is_as_looked_at
from channel_operator.core.rotation import candidates
from channel_operator.engine.context import Context
from channel_operator.engine.state import BrokerState

__all__ = ["Drift"]

log = structlog.get_logger(__name__)


class Drift:
    """Looks for drift in the state of one broker."""

    def __init__(self, context: Context, state: BrokerState) -> None:
        self._context = context
        self._state = state

    def among(self, changes: Iterable[Change]) -> list[Change]:
        """Pick the changes that nobody asked for: all owners were ready with just these manifests and rights."""
        found = []
        for change in changes:
            manifests = [self._context.store.get(owner) for owner in change.owners]
            told = [m is not None and m.deleted is None and is_as_looked_at(m.status, m.generation) for m in manifests]
            if all(told) and all(self._is_as_told(leader) for leader in leaders(change.owners)):
                found.append(change)
        return found

    def _is_as_told(self, owner: Key) -> bool:
        """Whether an object says on the broker what its status last told.

        A consent that is taken back, or a channel that comes or goes, changes rights without a word in the manifest.
        """
        look, manifest = self._state.looks.get(owner), self._context.store.get(owner)
        if look is None or manifest is None or not look.asserts:
            return False
        if owner.kind is not Kind.BROKER_USER:
            return True
        channels = self._state.looks.channels_of(owner)
        given = [(str(key.kind), key.namespace, key.name, str(role)) for key, role, _ in channels]
        told = [(g["kind"], g["namespace"], g["name"], g["role"]) for g in manifest.status.get("grants") or ()]
        return len(given) == manifest.status.get("grantCount", 0) and given[: len(told)] == told

    def strangers(self) -> list[Change]:
        """Return the removal of what others attached to objects that we made (not to adopted ones)."""
        state = self._state
        made = {
            rid
            for rid in state.desired.ids()
            if (assembled := state.desired.get(rid)) is not None
            and assembled.resource is not None
            and rid in state.picture
            and all(self._made_here(owner) for owner in leaders(state.desired.owners(rid)))
        }
        held = {rid for rid in state.desired.ids() if (one := state.desired.get(rid)) is not None and one.held}
        found = {
            rid: state.picture[rid]
            for rid in state.driver.foreign(state.picture, made, held)
            if not state.desired.owners(rid)
        }
        for rid in state.busy:
            stand_in = state.driver.stand_in(rid)
            for mine in state.driver.attached(stand_in, found) if stand_in is not None else ():
                del found[mine]
        return self._removals(found, made) if found else []

    def leftovers(self) -> list[Change]:
        """Return the removal of users that carry our mark and that no manifest stands for any more."""
        if not self._context.options.sees_everything:
            return []
        state = self._state
        known = self._context.store.usernames()
        found = [
            rid
            for rid in state.driver.leftovers(state.picture)
            if not known.intersection(candidates(rid.path[0])) and not state.desired.owners(rid)
        ]
        unsure = self._unsure() if found else ()
        # Rights on this virtual host are nobody's all the same, and go.
        return [
            self._removal(rid, frozenset()) for rid in found if not (state.driver.name_of(rid) or "").endswith(unsure)
        ]

    def _unsure(self) -> tuple[str, ...]:
        """Return how the names end of users whose Broker is gone or unreadable: their whole names are not known.

        They may be users of the same cluster on another virtual host, whose Broker comes back.
        """
        store = self._context.store
        endings = []
        for key in store.keys():  # noqa: SIM118  # a method of the store, not of a dict
            manifest = store.get(key) if key.kind is Kind.BROKER_USER else None
            if manifest is None:
                continue
            if manifest.refs.by_certificate and not store.logins(key) and not manifest.status.get("username"):
                return ("",)  # its certificate, which says the name, was not read yet: it may be any of them
            broker = store.get(manifest.refs.broker) if manifest.refs.broker is not None else None
            if broker is None or not isinstance(broker.spec, BrokerSpec):
                endings.append(manifest.refs.name or f"{key.namespace}.{key.name}")
        return tuple(endings)

    async def tell(self, drift: Sequence[Change], corrected: Collection[ResourceId]) -> None:
        """Count the drift, log it, and tell the objects it concerns."""
        for change in drift:
            done = change.id in corrected
            self._context.telemetry.drift_detected(self._context.name, change.id.kind)
            if done:
                self._context.telemetry.drift_corrected(self._context.name, change.id.kind)
            text = self._state.driver.describe(change)
            log.warning("drift", broker=self._context.name, change=text, corrected=done)
            reason = EventReason.DRIFT_CORRECTED if done else EventReason.DRIFT_DETECTED
            message = f"Changed at the broker by somebody else; put right: {text}" if done else f"Differs: {text}"
            for owner in leaders(change.owners):
                manifest = self._context.store.get(owner)
                if manifest is not None:
                    await self._context.statuses.event(owner, manifest.uid, reason, message, warning=True)

    def _made_here(self, owner: Key) -> bool:
        manifest = self._context.store.get(owner)
        record = policy.owner_record(manifest.annotations) if manifest is not None else None
        return record is not None and record.ownership is not Ownership.ADOPTED

    def _removals(self, found: Mapping[ResourceId, Resource], made: Iterable[ResourceId]) -> list[Change]:
        """Return the removal of strangers, on behalf of the owners of what they are attached to."""
        owners: dict[ResourceId, set[Key]] = {rid: set() for rid in found}
        for rid in made:
            for stranger in self._state.driver.attached(rid, found):
                owners[stranger] |= set(leaders(self._state.desired.owners(rid)))
        return [self._removal(rid, frozenset(beside)) for rid, beside in owners.items()]

    def _removal(self, rid: ResourceId, owners: frozenset[Key]) -> Change:
        change = Change(rid, Action.DELETE, None, self._state.picture[rid], owners, 0, Removal.DELETE, narrows=True)
        return staged(change, self._state.driver)
