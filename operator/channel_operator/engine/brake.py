"""Holds mass deletions and withdrawn consents of one broker back until a person confirms them.

Finds what is pending and puts the verdict of `core.brake` into effect: what is held back stays on the broker as it is.
A verdict that lets something through is in the Broker's status before anything is done, so that no restart forgets what
was counted. Never decides how much is too much.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import structlog

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import RELEASE_BRAKE, Kind
from channel_operator.api.reasons import ConditionType, EventReason, Reason
from channel_operator.core.brake import BrakeState, Toll, decide, mark_of
from channel_operator.core.model import Capabilities, Key, Mode, Part, Problem, Removal, ResourceId
from channel_operator.core.resolve import Standing
from channel_operator.core.view import Manifest
from channel_operator.engine.context import Context
from channel_operator.engine.looks import Look
from channel_operator.engine.ports import Gone
from channel_operator.engine.state import BrokerState, owns
from channel_operator.errors import Retry

__all__ = ["Brake"]

log = structlog.get_logger(__name__)

SAVE_AGAIN = 1.0
"""Seconds until a verdict is tried again that could not be written down."""


class _Candidate(NamedTuple):
    """One thing that an object would take away, pending as long as any of `parts` is on the broker.

    `about`: the channel and the user whose right it is. What a consent takes away besides rights (a user, bindings)
    has no toll of its own: it counts as one only where no right of the same object does.
    """

    mark: str
    parts: tuple[Part, ...]
    toll: Toll
    about: frozenset[Key]


class Brake:
    """The brake on one broker's loop, for one session; what it remembers beyond that is the context's."""

    def __init__(self, context: Context, state: BrokerState) -> None:
        self._context = context
        self._state = state
        self._candidates: dict[Key, tuple[_Candidate, ...]] = {}
        self._compiled: dict[Key, tuple[Part, ...]] = {}
        """What each of them says when nothing is held back."""
        self._unsaved = False

    @property
    def waits(self) -> bool:
        """Whether a change of the Broker, or time alone, may change the verdict."""
        return self._unsaved or self._context.brake_state().engaged

    # -- what would be taken away --------------------------------------------------------------------------------

    def note(self, look: Look, capabilities: Capabilities) -> None:
        """Take in what an object would take away by the newest look at it."""
        key = look.manifest.key
        found = () if self._context.only_observes() else tuple(self._find(look, capabilities))
        self._state.braked.pop(key, None)
        if found:
            self._candidates[key], self._compiled[key] = found, look.compiled.parts
        else:
            self.forget(key)

    def forget(self, key: Key) -> None:
        """Forget an object that takes nothing away."""
        self._candidates.pop(key, None)
        self._compiled.pop(key, None)
        self._state.braked.pop(key, None)

    def _find(self, look: Look, capabilities: Capabilities) -> Iterable[_Candidate]:
        standing, parts = look.resolution.standing, look.compiled.parts
        key, uid = look.manifest.key, look.manifest.uid
        doomed = tuple(p for p in parts if p.mode is Mode.WITHDRAW and p.content is Removal.DELETE)
        if doomed and owns(look.manifest, capabilities):
            mark = mark_of("delete", uid, *sorted(str(p.id) for p in doomed))
            yield _Candidate(mark, doomed, Toll(deletions=1), frozenset())
        denied = standing is Standing.DENIED and (bool(parts) or look.resolution.withheld is not None)
        if denied and (owns(look.manifest, capabilities) or self._state.may_take_back(key)):
            taken = tuple(part for part in parts if part.mode is Mode.WITHDRAW)
            yield _Candidate(mark_of("consent", uid), taken, Toll(), frozenset({key}))
        if key.kind is not Kind.BROKER_USER and (denied or look.asserts):
            grants = getattr(look.resolution.withheld, "grants", ())
            for part in self._rights(look, capabilities):
                of = [grant for grant in grants if not set(grant.usernames).isdisjoint(part.id.path)]
                # While credentials change a user is several native users; the right is one all the same.
                toll = Toll(revocations=sum(grant.usernames[0] in part.id.path for grant in of))
                about = frozenset({key, *(grant.user for grant in of)})
                yield _Candidate(mark_of("grant", uid, str(part.id)), (part,), toll, about)

    def _rights(self, look: Look, capabilities: Capabilities) -> Sequence[Part]:
        """Return the parts by which a channel would go on giving what is withheld: on objects that others share."""
        withheld = look.resolution.withheld
        if withheld is None:
            return ()
        own, compiled = self._own(look), self._state.driver.compile(withheld, capabilities)
        return [p._replace(mode=Mode.KEEP) for p in compiled.parts if p.id not in own and p.mode is Mode.ASSERT]

    def _own(self, look: Look) -> frozenset[ResourceId]:
        subject = look.resolution.subject
        held = self._state.driver.hold(subject).parts if subject is not None else ()
        return frozenset(part.id for part in held if part.mode is Mode.HOLD)

    def _pending(self) -> dict[str, Toll]:
        there = [c for found in self._candidates.values() for c in found if any(map(self._is_there, c.parts))]
        counted = frozenset[Key]().union(*(c.about for c in there if c.toll.revocations))
        return {c.mark: c.toll if c.toll != Toll() or c.about & counted else Toll(revocations=1) for c in there}

    def _is_there(self, part: Part) -> bool:
        observed, driver = self._state.picture.get(part.id), self._state.driver
        if observed is None:
            return False
        if part.mode is Mode.KEEP:
            return driver.gives(part, observed)
        assembled = driver.assemble(part.id, [part], {part.id: observed}, ())
        return assembled.resource is None and not assembled.held

    # -- the verdict ---------------------------------------------------------------------------------------------

    async def judge(self, capabilities: Capabilities, *, tidy: bool = False) -> set[ResourceId]:
        """Decide on all that is pending; return the native objects of which another word is to be said.

        `tidy`: write down as well what is merely over by now.
        """
        manifest = self._context.store.get(self._context.broker)
        before = self._context.brake_state()
        if manifest is None or not isinstance(manifest.spec, BrokerSpec) or self._context.only_observes():
            return set()
        if not self._candidates and before == BrakeState():
            return set()
        pending = self._pending()
        after = decide(
            pending,
            before,
            manifest.spec.brake,
            asked=manifest.annotations.get(RELEASE_BRAKE),
            now=self._context.clock.now(),
            nonce=secrets.token_hex(2),
        )
        passing = after.passing
        must = after.token != before.token or bool(after.passing - before.passing)
        self._unsaved = (must or tidy) and not await self._save(manifest, after) and must
        if self._unsaved:
            passing = before.passing & pending.keys()
        else:
            self._context.brake = after
            await self._tell(manifest, before, after)
        return self._apply({mark for mark in pending if mark not in passing}, capabilities)

    async def _save(self, manifest: Manifest, state: BrakeState) -> bool:
        """Write it down; until that is done nothing more is let through."""
        status = state.status()
        if manifest.status.get("brake") == status:
            return True
        try:
            await self._context.statuses.put(manifest.key, manifest.uid, {"brake": status})
        except (Retry, Gone) as error:
            log.warning("cannot note the brake", broker=self._context.name, why=str(error))
            self._context.schedule.later(manifest.key, SAVE_AGAIN)
            return False
        return True

    async def _tell(self, manifest: Manifest, before: BrakeState, after: BrakeState) -> None:
        if before.engaged == after.engaged:
            return
        if after.engaged:
            reason = EventReason.BRAKE_ENGAGED
            text = (
                f"{after.waiting.deletions} deletions and {after.waiting.revocations} withdrawals of rights wait: "
                "more than spec.brake allows. See the status."
            )
        else:
            reason = EventReason.BRAKE_RELEASED
            released = bool(after.passing - before.passing)
            text = "Released by its token; what waited goes on." if released else "Nothing waits any more."
        log.warning("brake", broker=self._context.name, engaged=after.engaged, why=text)
        await self._context.statuses.event(manifest.key, manifest.uid, reason, text, warning=after.engaged)

    # -- its effect ----------------------------------------------------------------------------------------------

    def _apply(self, held: Collection[str], capabilities: Capabilities) -> set[ResourceId]:
        touched: set[ResourceId] = set()
        for key, candidates in self._candidates.items():
            look = self._state.looks.get(key)
            if look is None:
                continue
            stopped = [c for c in candidates if c.mark in held]
            if stopped:
                touched |= self._hold_back(look, stopped, capabilities)
            elif look.held_back:
                # It may go on, or there is nothing to hold any more: looked at anew, it says what it wants.
                self._context.schedule.add([key])
        return touched

    def _hold_back(self, look: Look, stopped: Sequence[_Candidate], capabilities: Capabilities) -> set[ResourceId]:
        key, standing = look.manifest.key, look.resolution.standing
        before = self._compiled[key]
        kept = [part for c in stopped for part in c.parts if part.mode is Mode.KEEP]
        if standing is Standing.ACCEPTED:
            # A dead-letter queue that is not asked for any more stays with what leads to it; what else the edit took
            # away, such as a routing key, goes.
            stays = any(part.mode is Mode.WITHDRAW for c in stopped for part in c.parts)
            own = self._own(look) if stays else frozenset()
            rest = [_held(part) if part.id in own and _waits(part) else part for part in before]
        else:
            rest = [_held(part) for part in before]
            if standing is Standing.DELETED:
                kept = list(self._rights(look, capabilities))
        problem = self._problem(look, stays=standing is not Standing.ACCEPTED or rest != list(before))
        if problem is not None and self._state.braked.get(key) != problem:
            self._state.braked[key] = problem
            self._state.affected.add(key)
        compiled = replace(look.compiled, parts=(*rest, *kept))
        touched, users = self._state.looks.hold_back(key, compiled)
        self._state.affected |= users
        return touched

    def _problem(self, look: Look, *, stays: bool) -> Problem | None:
        """Return what a held back object says; None where all that is held back is a right it gives somebody else."""
        name = self._context.name
        if not stays:
            return None
        if look.resolution.standing is Standing.DENIED:
            denied = look.problems[0]
            text = (
                f"{denied.message} What it has still works: so many rights would have gone at once that the brake of "
                f"Broker {name} is engaged, until its owner releases it."
            )
            return Problem(Reason.BRAKE_ENGAGED, text, denied.condition, denied.field)
        why = f"so much would have been deleted or withdrawn at once that the brake of Broker {name} is engaged"
        if look.leaves:
            text = (
                f"Not deleted: {why}. Nothing of it was taken away. Ask the owner of that Broker to release the "
                "brake; or, to let only the manifest go and keep the messages, annotate it with "
                'channel-operator.dev/force-release: "true".'
            )
        else:
            text = (
                f"What the manifest asks for no more was not deleted: {why}. Ask the owner of that Broker to release "
                "the brake, or take the change back."
            )
        return Problem(Reason.BRAKE_ENGAGED, text, ConditionType.PROGRAMMED)


def _waits(part: Part) -> bool:
    """Whether what is taken away stays as long as what holds data does."""
    return part.mode is Mode.WITHDRAW and part.content is not Removal.REGARDLESS


def _held(part: Part) -> Part:
    return part._replace(mode=Mode.HOLD, content=None)
