"""One pass over dirty keys of one broker: look, claim, plan, apply.

Decides what is written next. The only writer of its broker, so what many objects share has no races; before anything
is written it makes sure once more that this replica leads.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence

import structlog

from channel_operator.api.meta import RECONCILE_AT, Kind
from channel_operator.brokers.base import Driver, Session
from channel_operator.core import policy
from channel_operator.core.desired import Desired
from channel_operator.core.diff import leaders, plan
from channel_operator.core.model import (
    Capabilities,
    Change,
    Key,
    Observation,
    Outcome,
    Plan,
    ResourceId,
)
from channel_operator.engine.brake import Brake
from channel_operator.engine.context import Context
from channel_operator.engine.departures import Departures
from channel_operator.engine.drift import Drift
from channel_operator.engine.logins import Logins
from channel_operator.engine.looks import Look, Looks
from channel_operator.engine.ownership import OwnershipDecisions
from channel_operator.engine.recreation import Recreation
from channel_operator.engine.refresh import Refresher
from channel_operator.engine.schedule import Priority
from channel_operator.engine.state import BrokerState, owns
from channel_operator.errors import Blocked, CredentialsRefused, OperatorError, Retry, Unreachable, Waiting

__all__ = ["Reconciler"]

log = structlog.get_logger(__name__)


class Reconciler:
    """The pass over one broker's objects."""

    def __init__(self, context: Context, driver: Driver) -> None:
        desired = Desired(driver)
        self.context = context
        self.state = BrokerState(driver, desired, Looks(context.broker, driver, context.store, desired))
        self.departures = Departures(context, self.state, self)
        self.brake = Brake(context, self.state)
        self.drift = Drift(context, self.state)
        self.logins = Logins(context, self.state)
        self.recreation = Recreation(context, self.state)
        self.ownership = OwnershipDecisions(context, self.state)
        self._refresher = Refresher(self.state, context.clock)
        self._looked_at: dict[Key, str] = {}
        """Key → the last value of its annotation reconcile-at."""

    async def close(self) -> None:
        """Stop what runs beside the passes."""
        await self.departures.close()

    # -- the passes ----------------------------------------------------------------------------------------------

    async def run(self, keys: Iterable[Key], session: Session, capabilities: Capabilities) -> None:
        """Bring these keys one step on. Raises Unreachable when the broker went away in the middle of it."""
        with self.context.span("resolve"):
            looks, due = await self._enter(keys, session, capabilities)
        await self._write(due, session, capabilities)
        await self.departures.finish(looks)

    async def take_over(
        self, keys: Iterable[Key], observation: Observation, session: Session, capabilities: Capabilities
    ) -> None:
        """Begin with a broker: look at all objects before anything is compared, then put everything right."""
        self.state.picture = observation.resources
        with self.context.span("resolve"):
            looks, _ = await self._enter(keys, session, capabilities)
        await self.resync(observation, session, capabilities)
        await self.departures.finish(looks)

    async def resync(self, observation: Observation, session: Session, capabilities: Capabilities) -> None:
        """Take in a fresh picture of the whole broker, tell of drift, and put everything right."""
        state = self.state
        fresh = observation.resources
        for rid in state.busy & state.picture.keys():
            fresh.setdefault(rid, state.picture[rid])
        state.picture = fresh
        state.affected |= {owner for rid in state.failures for owner in state.desired.owners(rid)}
        state.affected |= state.looks.observed()
        state.failures.clear()
        state.resting.clear()
        # What is blocked may not be so any more: its owners look again.
        self.context.schedule.add(state.blocked, Priority.RESYNC)
        for key in self.logins.entered(self.logins.changing()):
            # A former user may be gone, and its rights must not be made again.
            state.affected |= {key} | self._look(key, capabilities)[2]
        await self.brake.judge(capabilities, tidy=True)
        ids = list(state.desired.ids())
        state.desired.assemble(ids, state.picture)
        self.logins.read_missing(state.looks.all().values())
        drift = self.drift.among(self._plan(ids, capabilities).changes)
        strangers = self.drift.strangers()
        done = await self._write(ids, session, capabilities, extra=[*strangers, *self.drift.leftovers()])
        await self.drift.tell([*drift, *strangers], {o.change.id for o in done if o.error is None})

    # -- looking -------------------------------------------------------------------------------------------------

    async def _enter(
        self, keys: Iterable[Key], session: Session, capabilities: Capabilities
    ) -> tuple[list[Look], set[ResourceId]]:
        """Look at these keys, enter what they say, and have claims written for what is new.

        Returned is what may be written now: a right that only new objects ask for waits until their claims stand.
        """
        state, looks = self.state, list[Look]()
        touched, due = set[ResourceId](), set[ResourceId]()
        for number, key in enumerate(self.logins.entered(keys)):
            try:
                look, ids, users = self._look(key, capabilities)
            except Exception:  # noqa: BLE001  # told as a bug
                # Whatever it said before stands until it can be looked at.
                self.context.bug(key)
                continue
            state.affected.add(key)
            state.affected |= users
            touched |= ids | state.desired.parts(key).keys()
            if look is None:
                due |= ids
            else:
                looks.append(look)
            if number % 200 == 199:  # noqa: PLR2004  # often enough to keep probes and the election alive
                await asyncio.sleep(0)
        await self._look_again(looks, session, capabilities)
        stays = await self.brake.judge(capabilities)
        touched, due = touched | stays, due | stays
        state.desired.assemble(touched, state.picture)
        self.logins.read_missing(looks)
        refused: set[ResourceId] = set()
        for look in looks:
            refused |= self.ownership.claim(look, capabilities)
            wanted = state.desired.parts(look.manifest.key).keys()
            # What an edit took off the lists goes at once, whatever the claim is waiting for.
            due |= look.touched - wanted if look.manifest.key in state.claimed else look.touched | wanted
            self.context.schedule.add(state.waiting_for(wanted))
            if owns(look.manifest, capabilities):
                self.context.schedule.add(state.looks.awaiting(look.manifest.key))
        state.desired.assemble(refused, state.picture)
        return looks, due | refused

    def _look(self, key: Key, capabilities: Capabilities) -> tuple[Look | None, set[ResourceId], set[Key]]:
        context, state = self.context, self.state
        manifest = context.store.get(key)
        if manifest is None or manifest.refs.broker != context.broker or manifest.uid in state.looks.finished:
            ids, users = state.looks.forget(key)
            self.brake.forget(key)
            if manifest is not None and manifest.uid in state.looks.finished and policy.has_finalizer(manifest):
                context.claims.release(key)  # somebody else's write came between
            if manifest is None:
                state.leaving.pop(key, None)
                state.blocked.pop(key, None)
                state.claimed.discard(key)
                state.refused.pop(key, None)
                self._looked_at.pop(key, None)
                context.bindings.forget(key)
                context.schedule.forget(key)
            return None, ids, users
        context.statuses.started(key)
        grace = context.grace_left(manifest)
        look, users = state.looks.look(
            manifest,
            capabilities,
            grace_over=grace <= 0,
            logins=self.logins.of(key),
            kept=manifest.uid in context.kept,
        )
        self.brake.note(look, capabilities)
        if look.resolution.awaits_consent and grace > 0:
            context.schedule.later(key, grace)
        if look.leaves:
            state.leaving.setdefault(key, set()).update(look.touched)
        return look, look.touched, users

    async def _look_again(self, looks: Sequence[Look], session: Session, capabilities: Capabilities) -> None:
        """Read anew what an annotation reconcile-at asks for, and what is about to be claimed.

        The picture may be minutes old: a queue or user that somebody made since would be taken for our own, and
        deleted with the manifest.
        """
        undecided, asked = set[ResourceId](), set[ResourceId]()
        for look in looks:
            key = look.manifest.key
            wish = look.manifest.annotations.get(RECONCILE_AT, "")
            undecided |= self.ownership.undecided(look, capabilities)
            if self._looked_at.get(key, wish) != wish:
                asked |= self.state.desired.parts(key).keys()
                if key.kind is Kind.BROKER_USER:
                    self.context.bindings.sweep(key)
            self._looked_at[key] = wish
        await self._refresher.refresh(undecided, asked, session)

    # -- writing -------------------------------------------------------------------------------------------------

    def _plan(self, ids: Iterable[ResourceId], capabilities: Capabilities) -> Plan:
        store, state = self.context.store, self.state

        def may_write(owner: Key) -> bool:
            manifest = store.get(owner)
            return manifest is not None and (owns(manifest, capabilities) or state.may_take_back(owner))

        def made_by_us(owner: Key) -> bool:
            manifest = store.get(owner)
            return manifest is not None and policy.owner_record(manifest.annotations) is not None

        wanted = [rid for rid in ids if rid not in state.busy]
        return plan(wanted, state.desired, state.picture, state.driver, may_write=may_write, was_made_by_us=made_by_us)

    async def _write(
        self,
        ids: Collection[ResourceId],
        session: Session,
        capabilities: Capabilities,
        *,
        extra: Sequence[Change] = (),
    ) -> Sequence[Outcome]:
        state = self.state
        with self.context.span("diff"):
            found = self._plan(ids, capabilities)
        for key, problems in found.blocked.items():
            state.blocked[key] = problems
            state.affected.add(key)
        state.note_refusals(ids, found.refused)
        state.waits.note(ids, found.waiting)
        for rid in ids:
            state.failures.pop(rid, None)
        changes = [] if self.context.only_observes() else [*found.changes, *extra]
        now, empty = self.departures.divide(changes)
        if not self.context.only_observes():
            empty += self.recreation.due(sorted(state.affected | found.blocked.keys()), capabilities)
        if (now or empty) and not self.context.leads():
            raise Retry("this replica does not lead any more")
        if empty:
            self.departures.if_empty(empty, session)
        if not now:
            return ()
        with self.context.span("apply", changes=len(now)):
            outcomes = await session.apply(now)
        self.take_in(outcomes)
        return outcomes

    def take_in(self, outcomes: Sequence[Outcome]) -> None:
        """Update picture and failures. Raises Unreachable or CredentialsRefused if the broker serves us no more."""
        state = self.state
        lost: OperatorError | None = None
        for outcome in outcomes:
            change = outcome.change
            if outcome.error is not None:
                state.affected |= change.owners
                if isinstance(outcome.error, Waiting) and change.desired is not None:
                    state.waits.add(change.id, tuple(state.driver.needs(change.desired)))
                else:
                    state.failures[change.id] = outcome.error
                if isinstance(outcome.error, Unreachable | CredentialsRefused):
                    lost = outcome.error
                else:
                    self._again(outcome)
            elif outcome.resource is None:
                state.picture.pop(change.id, None)
                state.affected |= change.owners
            else:
                state.picture[change.id] = outcome.resource
                if change.observed is None:
                    self._made(change)
        if lost is not None:
            raise lost

    def _made(self, change: Change) -> None:
        """Report on what a new object concerns: its owner, and for a user the channels that waited for it."""
        self.context.schedule.add(self.state.waiting_for([change.id]))
        for leader in leaders(change.owners):
            self.state.affected.add(leader)
            if leader.kind is Kind.BROKER_USER:
                self.state.affected |= self.state.looks.granting(leader)

    def _again(self, outcome: Outcome) -> None:
        """Bring the owners of a failed change back, unless only a user can help."""
        error = outcome.error
        log.info("not written", resource=str(outcome.change.id), why=str(error), broker=self.context.name)
        if isinstance(error, Blocked):
            return
        after = error.after if isinstance(error, Retry) else None
        for owner in leaders(outcome.change.owners):
            self.context.schedule.retry(owner, after)
