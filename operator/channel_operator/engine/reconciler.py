"""One pass over dirty keys of one broker: look, claim, plan, apply, report.

Decides what is written next and what is not written at all while it could be wrong: nothing narrows and nothing is
deleted unless this replica surely leads. The only writer of its broker, so what many objects share has no races.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence

import structlog

from channel_operator.api.common import AdoptionPolicy
from channel_operator.api.meta import FINALIZER, RECONCILE_AT, Kind
from channel_operator.api.reasons import ConditionType, EventReason, Reason
from channel_operator.brokers.base import Driver, Session
from channel_operator.core import policy
from channel_operator.core.desired import Desired
from channel_operator.core.diff import compare, leaders, plan, staged
from channel_operator.core.model import (
    Action,
    Capabilities,
    Change,
    Key,
    Observation,
    Outcome,
    Plan,
    Problem,
    Removal,
    ResolvedUser,
    Resource,
    ResourceId,
)
from channel_operator.core.policy import OwnerRecord, Ownership
from channel_operator.core.report import is_ready
from channel_operator.core.resolve import Standing
from channel_operator.core.view import Manifest
from channel_operator.engine.context import Context
from channel_operator.engine.looks import Look, Looks
from channel_operator.errors import Blocked, OperatorError, Retry, Unreachable

__all__ = ["Reconciler"]

log = structlog.get_logger(__name__)


class Reconciler:
    """The state of one broker's loop and the pass over it.

    `affected` collects the keys whose standing may have changed; whoever reports takes them with `take_affected`.
    """

    def __init__(self, context: Context, driver: Driver) -> None:
        self.context = context
        self.driver = driver
        self.desired = Desired(driver)
        self.looks = Looks(context.broker, driver, context.store, self.desired)
        self.picture: dict[ResourceId, Resource] = {}
        self.blocked: dict[Key, tuple[Problem, ...]] = {}
        self.failures: dict[ResourceId, OperatorError] = {}
        self.refused: dict[Key, set[ResourceId]] = {}
        self.leaving: dict[Key, set[ResourceId]] = {}
        """Native objects that a deleted object had a say in, until it is released."""
        self.busy: set[ResourceId] = set()
        """Being written beside the passes (deletions that have to wait for the broker's statistics)."""
        self.affected: set[Key] = set()
        self._looked_at: dict[Key, str] = {}
        """Key → the last value of its annotation reconcile-at."""
        self._slow: set[asyncio.Task[None]] = set()

    # -- the pass ------------------------------------------------------------------------------------------------

    async def run(self, keys: Iterable[Key], session: Session, capabilities: Capabilities) -> None:
        """Bring these keys one step on. Raises Unreachable when the broker went away in the middle of it."""
        touched: set[ResourceId] = set()
        looks: list[Look] = []
        for number, key in enumerate(keys):
            look, ids, users = self._look(key, capabilities)
            self.affected.add(key)
            self.affected |= users
            touched |= ids
            if look is not None:
                looks.append(look)
                touched |= self.desired.parts(key).keys()
            if number % 200 == 199:  # noqa: PLR2004  # often enough to keep probes and the election alive
                await asyncio.sleep(0)
        await self._look_again(looks, session)
        self._assemble(touched)
        for look in looks:
            self._claim(look, capabilities)
        await self._write(touched, session, capabilities)
        await self._finish_deletions(looks)

    async def resync(self, observation: Observation, session: Session, capabilities: Capabilities) -> None:
        """Take in a fresh picture of the whole broker, tell of drift, and put everything right."""
        fresh = observation.resources
        for rid in self.busy & self.picture.keys():
            fresh.setdefault(rid, self.picture[rid])
        self.picture = fresh
        self.failures.clear()
        self._assemble(self.desired.ids())
        drift = self._drift(self._plan(self.desired.ids(), capabilities).changes)
        strange = self._strangers()
        extra = [*strange, *self._leftovers()]
        done = await self._write(self.desired.ids(), session, capabilities, extra=extra)
        await self._tell_drift([*drift, *strange], {o.change.id for o in done if o.error is None})

    def take_affected(self) -> set[Key]:
        """Return the keys to report on, and start anew."""
        taken, self.affected = self.affected, set()
        return taken

    async def close(self) -> None:
        """Stop what runs beside the passes."""
        for task in self._slow:
            task.cancel()
        await asyncio.gather(*self._slow, return_exceptions=True)

    # -- looking -------------------------------------------------------------------------------------------------

    def _look(self, key: Key, capabilities: Capabilities) -> tuple[Look | None, set[ResourceId], set[Key]]:
        manifest = self.context.store.get(key)
        if manifest is None or manifest.refs.broker != self.context.broker:
            ids, users = self.looks.forget(key)
            self.leaving.pop(key, None)
            self.blocked.pop(key, None)
            self.context.bindings.forget(key)
            self.context.schedule.forget(key)
            self._looked_at.pop(key, None)
            return None, ids, users
        if manifest.uid in self.looks.finished:
            ids, users = self.looks.forget(key)
            return None, ids, users
        self.context.statuses.started(key)
        password = None
        if key.kind is Kind.BROKER_USER and manifest.deleted is None:
            password = self.context.bindings.of(key).password
        look, users = self.looks.look(
            manifest, capabilities, grace_over=self.context.grace_over(manifest), password=password
        )
        if look.leaves:
            self.leaving.setdefault(key, set()).update(look.touched)
        return look, look.touched, users

    async def _look_again(self, looks: Sequence[Look], session: Session) -> None:
        """Read anew what belongs to objects whose annotation reconcile-at says so."""
        ids: set[ResourceId] = set()
        for look in looks:
            key = look.manifest.key
            asked = look.manifest.annotations.get(RECONCILE_AT, "")
            if self._looked_at.get(key, asked) != asked:
                ids |= self.desired.parts(key).keys()
                if key.kind is Kind.BROKER_USER:
                    self.context.bindings.sweep(key)
            self._looked_at[key] = asked
        if ids:
            seen = await session.observe(ids)
            for rid in ids:
                self.picture.pop(rid, None)
            self.picture.update(seen.resources)

    def _assemble(self, ids: Iterable[ResourceId]) -> None:
        self.desired.assemble(ids, self.picture)

    def owns(self, manifest: Manifest, capabilities: Capabilities) -> bool:
        """Whether finalizer and owner record for this very broker stand."""
        record = policy.owner_record(manifest.annotations)
        return record is not None and record.identity == capabilities.identity and policy.has_finalizer(manifest)

    # -- claiming ------------------------------------------------------------------------------------------------

    def _claim(self, look: Look, capabilities: Capabilities) -> None:
        key, manifest = look.manifest.key, look.manifest
        self.blocked.pop(key, None)
        if not look.asserts or self.context.claims.in_flight(key):
            return
        if self.owns(manifest, capabilities):
            return
        if isinstance(look.resolution.resolved, ResolvedUser) and not self._has_password(look, manifest):
            return
        record, problems = self._ownership(look, capabilities)
        if problems:
            self.blocked[key] = problems
            return
        self.context.claims.claim(key, record)

    def _has_password(self, look: Look, manifest: Manifest) -> bool:
        """Whether a user can be made; if not, have its password read or made."""
        binding = self.context.bindings.of(manifest.key)
        if binding.password is not None:
            return True
        if binding.problem is None:
            self.context.bindings.need_password(look.manifest.key)
        return False

    def _ownership(self, look: Look, capabilities: Capabilities) -> tuple[OwnerRecord | None, tuple[Problem, ...]]:
        """Decide what the record will say, from what the broker has: created, adopted, or not ours to take."""
        key = look.manifest.key
        mine = [rid for rid in self.desired.parts(key) if leaders(self.desired.owners(rid)) == [key]]
        existing = [rid for rid in mine if rid in self.picture and self._is_wanted(rid)]
        before = policy.owner_record(look.manifest.annotations)
        if not existing:
            return OwnerRecord(Ownership.CREATING, capabilities.identity), ()
        found = plan(existing, self.desired, self.picture, self.driver, may_write=_never, was_made_by_us=_never)
        if found.blocked.get(key):
            return None, found.blocked[key]
        if key.kind is Kind.BROKER_USER:
            return OwnerRecord(Ownership.CREATED, capabilities.identity), ()
        if getattr(look.manifest.spec, "adoption_policy", None) is AdoptionPolicy.NEVER and before is None:
            names = ", ".join(str(rid) for rid in existing)
            text = f"spec.adoptionPolicy is Never and the broker already has {names}. Choose another name or policy."
            field_ = "spec.adoptionPolicy"
            return None, (Problem(Reason.ADOPTION_REFUSED, text, ConditionType.PROGRAMMED, field_),)
        # A broker that was restored under another identity still has what we made there.
        ownership = before.ownership if before is not None else Ownership.ADOPTED
        return OwnerRecord(ownership, capabilities.identity), ()

    def _is_wanted(self, rid: ResourceId) -> bool:
        assembled = self.desired.get(rid)
        return assembled is not None and assembled.resource is not None

    # -- writing -------------------------------------------------------------------------------------------------

    def _plan(self, ids: Iterable[ResourceId], capabilities: Capabilities) -> Plan:
        store = self.context.store

        def may_write(owner: Key) -> bool:
            manifest = store.get(owner)
            return manifest is not None and self.owns(manifest, capabilities)

        def made_by_us(owner: Key) -> bool:
            manifest = store.get(owner)
            return manifest is not None and policy.owner_record(manifest.annotations) is not None

        wanted = [rid for rid in ids if rid not in self.busy]
        return plan(wanted, self.desired, self.picture, self.driver, may_write=may_write, was_made_by_us=made_by_us)

    async def _write(
        self,
        ids: Collection[ResourceId],
        session: Session,
        capabilities: Capabilities,
        *,
        extra: Sequence[Change] = (),
    ) -> Sequence[Outcome]:
        found = self._plan(ids, capabilities)
        for key, problems in found.blocked.items():
            self.blocked[key] = problems
            self.affected.add(key)
        self._note_refusals(ids, found)
        for rid in ids:
            self.failures.pop(rid, None)
        changes = [*found.changes, *extra]
        if changes and not self.context.leads():
            raise Retry("this replica does not lead any more")
        slow = [c for c in changes if c.removal is Removal.DELETE_IF_EMPTY and c.action is Action.DELETE]
        fast = [c for c in changes if c not in slow] if slow else changes
        if slow:
            self._start_slow(slow, session)
        if not fast:
            return ()
        outcomes = await session.apply(fast)
        self._take_in(outcomes)
        return outcomes

    def _note_refusals(self, ids: Collection[ResourceId], found: Plan) -> None:
        for rid in ids:
            now = {refusal.owner for refusal in found.refused.get(rid, ())}
            for owner in self.desired.owners(rid):
                had = rid in self.refused.get(owner, ())
                if owner in now and not had:
                    self.refused.setdefault(owner, set()).add(rid)
                elif had and owner not in now:
                    self.refused[owner].discard(rid)
                if had != (owner in now):
                    self.affected.add(owner)

    def _take_in(self, outcomes: Sequence[Outcome]) -> None:
        """Update the picture by what was written, and note what was not."""
        unreachable: Unreachable | None = None
        for outcome in outcomes:
            rid = outcome.change.id
            if outcome.error is None:
                if outcome.resource is None:
                    self.picture.pop(rid, None)
                    self.affected |= outcome.change.owners
                else:
                    if outcome.change.observed is None:
                        # A user that now exists turns the grants that waited for it.
                        self.affected |= set(leaders(outcome.change.owners))
                        self.affected |= self._waiting_for(outcome.change.owners)
                    self.picture[rid] = outcome.resource
                if outcome.kept:
                    self._keep(outcome)
                continue
            self.failures[rid] = outcome.error
            self.affected |= outcome.change.owners
            if isinstance(outcome.error, Unreachable):
                unreachable = outcome.error
            else:
                self._again(outcome)
        if unreachable is not None:
            raise unreachable

    def _waiting_for(self, owners: Collection[Key]) -> set[Key]:
        users = [owner for owner in owners if owner.kind is Kind.BROKER_USER]
        return set().union(*(self.looks.granting(user) for user in users))

    def _again(self, outcome: Outcome) -> None:
        """Bring the owners of a failed change back, unless only a user can help."""
        rid = outcome.change.id
        log.info("not written", resource=str(rid), why=str(outcome.error), broker=str(self.context.broker))
        if isinstance(outcome.error, Blocked):
            return
        after = outcome.error.after if isinstance(outcome.error, Retry) else None
        for owner in leaders(outcome.change.owners):
            self.context.schedule.retry(owner, after)

    # -- deletions -----------------------------------------------------------------------------------------------

    def _start_slow(self, changes: Sequence[Change], session: Session) -> None:
        self.busy |= {change.id for change in changes}
        task = asyncio.create_task(self._apply_slow(changes, session), name="delete-if-empty")
        self._slow.add(task)
        task.add_done_callback(self._slow.discard)

    async def _apply_slow(self, changes: Sequence[Change], session: Session) -> None:
        """Delete what must be empty: it waits for the broker's statistics, so it runs beside the passes."""
        owners = set().union(*(change.owners for change in changes))
        try:
            outcomes = await session.apply(changes)
            self._take_in(outcomes)
        except Unreachable:
            pass  # the next pass meets the same broker and tells
        except Exception:
            log.exception("bug", operation="delete if empty")
        finally:
            self.busy -= {change.id for change in changes}
            self.context.schedule.add(owners)

    def _keep(self, outcome: Outcome) -> None:
        """Let a queue that was not empty stay: its owner goes without it."""
        for owner in outcome.change.owners:
            manifest = self.context.store.get(owner)
            if manifest is not None and manifest.deleted is not None:
                self.leaving.get(owner, set()).discard(outcome.change.id)
                self.context.kept.add(manifest.uid)

    async def _finish_deletions(self, looks: Sequence[Look]) -> None:
        for look in looks:
            if not look.leaves:
                continue
            manifest = look.manifest
            if FINALIZER not in manifest.finalizers:
                continue
            if look.resolution.standing is Standing.DELETED and self.waits_for(manifest):
                continue
            self.looks.finished.add(manifest.uid)
            reason, text = self.context.departure(
                look, kept=manifest.uid in self.context.kept, forced=policy.is_released_by_force(manifest)
            )
            await self.context.statuses.event(manifest.key, manifest.uid, reason, text)
            self.context.claims.release(manifest.key)

    def waits_for(self, manifest: Manifest) -> list[ResourceId]:
        """Return the native objects that a deleted object still waits for."""
        waiting = []
        kept = manifest.uid in self.context.kept
        for rid in self.leaving.get(manifest.key, ()):
            assembled = self.desired.get(rid)
            gone = rid not in self.picture or assembled is None or assembled.resource is not None or assembled.held
            holds = rid in self.picture and self.picture[rid].holds_data
            if rid in self.failures or rid in self.busy or not (gone or (kept and holds)):
                waiting.append(rid)
        return waiting

    # -- drift ---------------------------------------------------------------------------------------------------

    def _drift(self, changes: Iterable[Change]) -> list[Change]:
        """Pick the changes that nobody asked for: all owners were ready with just these manifests."""
        found = []
        for change in changes:
            manifests = [self.context.store.get(owner) for owner in change.owners]
            if all(m is not None and m.deleted is None and is_ready(m.status, m.generation) for m in manifests):
                found.append(change)
        return found

    def _strangers(self) -> list[Change]:
        """Return the removal of what others attached to objects that we made."""
        created = {
            rid
            for rid in self.desired.ids()
            if (assembled := self.desired.get(rid)) is not None
            and assembled.resource is not None
            and rid in self.picture
            and all(self._made_here(owner) for owner in leaders(self.desired.owners(rid)))
        }
        return [
            staged(self._removal(rid, self._owner_of(rid, created)), self.driver)
            for rid in self.driver.foreign(self.picture, created)
            if rid not in self.desired.ids()
        ]

    def _made_here(self, owner: Key) -> bool:
        manifest = self.context.store.get(owner)
        record = policy.owner_record(manifest.annotations) if manifest is not None else None
        return record is not None and record.ownership is not Ownership.ADOPTED

    def _owner_of(self, rid: ResourceId, created: Collection[ResourceId]) -> frozenset[Key]:
        for other in self.driver.attached(rid, self.picture):
            if other in created:
                return frozenset(leaders(self.desired.owners(other)))
        return frozenset()

    def _removal(self, rid: ResourceId, owners: frozenset[Key]) -> Change:
        return Change(rid, Action.DELETE, None, self.picture[rid], owners, 0, Removal.DELETE, narrows=True)

    def _leftovers(self) -> list[Change]:
        """Return the removal of users that carry our mark and that no manifest stands for any more."""
        if not self.context.sees_everything:
            return []
        known = self.context.store.usernames()
        return [
            staged(self._removal(rid, frozenset()), self.driver)
            for rid in self.driver.leftovers(self.picture)
            if rid.path[0] not in known and rid not in self.desired.ids()
        ]

    async def _tell_drift(self, drift: Sequence[Change], corrected: Collection[ResourceId]) -> None:
        for change in drift:
            done = change.id in corrected
            self.context.telemetry.drift_detected(self.context.name, change.id.kind)
            if done:
                self.context.telemetry.drift_corrected(self.context.name, change.id.kind)
            text = self.driver.describe(change)
            log.warning("drift", broker=self.context.name, change=text, corrected=done)
            for owner in leaders(change.owners):
                manifest = self.context.store.get(owner)
                if manifest is None:
                    continue
                reason = EventReason.DRIFT_CORRECTED if done else EventReason.DRIFT_DETECTED
                message = f"Changed at the broker by somebody else; put right: {text}" if done else f"Differs: {text}"
                await self.context.statuses.event(owner, manifest.uid, reason, message, warning=True)


def _never(_owner: Key) -> bool:
    return False
