"""What objects say while their broker cannot be worked with: missing, refused, unreachable.

Decides who is told: only what has work pending; what was Ready stays Ready, since the Broker itself tells. Deleted
objects are let go when waiting is over, or at once where nothing can ever come of it.
"""

from collections.abc import Iterable

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import CHANNEL_KINDS, Kind
from channel_operator.api.reasons import ConditionType, EventReason, Reason
from channel_operator.api.values import seconds
from channel_operator.core import policy
from channel_operator.core.model import Key, Problem, Removal
from channel_operator.core.report import ObjectState, channel_status, is_as_looked_at, user_status
from channel_operator.core.resolve import Resolution, Standing, resolve
from channel_operator.core.view import Manifest
from channel_operator.engine.context import Context

__all__ = ["Offline"]


class Offline:
    """Reports on objects of a broker that there is no session with."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def tell(self, keys: Iterable[Key], problem: Problem | None, outage: str | None) -> None:
        """Report on these objects. `problem`: of the Broker object; `outage`: why it does not answer."""
        for key in keys:
            manifest = self._context.store.get(key)
            if manifest is None:
                continue
            try:
                if manifest.deleted is not None:
                    await self._leave(manifest, problem, outage)
                else:
                    self._wait(manifest, problem, outage)
            except Exception:  # noqa: BLE001  # told as a bug
                # A bug that one object meets must not keep the others from being told, nor the broker from a new try.
                self._context.bug(key)

    def _wait(self, manifest: Manifest, problem: Problem | None, outage: str | None) -> None:
        grace = self._context.grace_left(manifest)
        found = resolve(manifest, self._context.store, grace_over=grace <= 0)
        if found.awaits_consent and grace > 0:
            self._context.schedule.later(manifest.key, grace)
        problems = found.problems
        if not problems and not policy.is_disabled(manifest):
            if is_as_looked_at(manifest.status, manifest.generation):
                return
            problems = (self._pending(problem, outage),)
        state = self._state(manifest, found, problems, None)
        self._want(manifest, state)

    def _pending(self, problem: Problem | None, outage: str | None) -> Problem:
        name = self._context.name
        if outage is not None or problem is None:
            text = f"Broker {name} does not answer; this goes on by itself once it does. See its status."
            return Problem(Reason.BROKER_UNREACHABLE, text, ConditionType.PROGRAMMED, stalled=False)
        # What is wrong in detail (addresses, the operator's own user) concerns those who may read the Broker.
        text = f"spec.brokerRef: Broker {name} cannot be used ({problem.reason}); see its status."
        return Problem(Reason.REF_NOT_READY, text, ConditionType.RESOLVED_REFS, "spec.brokerRef", stalled=False)

    def _state(
        self, manifest: Manifest, found: Resolution, problems: tuple[Problem, ...], deleting: str | None
    ) -> ObjectState:
        return ObjectState(
            generation=manifest.generation,
            previous=manifest.status,
            broker=self._context.broker,
            now=self._context.now(),
            problems=problems,
            disabled=policy.is_disabled(manifest) and deleting is None,
            observes=found.observes,
            deleting=deleting,
        )

    def _want(self, manifest: Manifest, state: ObjectState) -> None:
        user = manifest.key.kind is Kind.BROKER_USER
        status = user_status(state) if user else channel_status(state)
        result = "blocked" if any(p.stalled for p in state.problems) else "waiting"
        self._context.statuses.want(manifest.key, manifest.uid, status, result)

    async def _leave(self, manifest: Manifest, problem: Problem | None, outage: str | None) -> None:
        """Let a deleted object go, or say what it waits for."""
        found = resolve(manifest, self._context.store, grace_over=True)
        if not policy.has_finalizer(manifest):
            return
        if policy.owner_record(manifest.annotations) is None or found.standing is Standing.RELEASED:
            await self._release(manifest, found, forced=policy.is_released_by_force(manifest))
            return
        left = self._left(manifest, found, problem)
        if left is not None and left <= 0:
            await self._release(manifest, found, forced=False)
            return
        why = "it does not answer" if outage is not None or problem is None else f"it cannot be used ({problem.reason})"
        if left is None:
            longest = "however long that takes, since its brake is engaged"
        else:
            self._context.schedule.later(manifest.key, left)
            longest = f"at most {left:.0f} s more"
        text = f"Being deleted; waits for Broker {self._context.name}, {longest}: {why}. See its status."
        # The seconds left are part of the message only when it is first told, or it would change for ever.
        if not _tells_deletion(manifest):
            self._want(manifest, self._state(manifest, found, (), text))

    def _left(self, manifest: Manifest, found: Resolution, problem: Problem | None) -> float | None:
        """Return how many seconds a deleted object may still wait for its broker; None = the brake holds it back."""
        broker = self._context.store.get(self._context.broker)
        if broker is None or not isinstance(broker.spec, BrokerSpec):
            return 0.0
        if broker.deleted is not None and problem is not None and problem.reason is Reason.CREDENTIALS_INVALID:
            return 0.0  # a Broker that goes without its credentials will never answer again
        if (
            self._context.brake_state().engaged
            and manifest.key.kind in CHANNEL_KINDS
            and found.subject is not None
            and found.subject.removal is Removal.DELETE
        ):
            return None  # it waits for a person first
        waited = self._context.age(manifest.deleted) if manifest.deleted is not None else 0.0
        return seconds(broker.spec.deletion_timeout) - waited

    async def _release(self, manifest: Manifest, found: Resolution, *, forced: bool) -> None:
        name = found.subject.name if found.subject is not None else manifest.key.name
        if forced:
            reason, text = EventReason.RELEASED_BY_FORCE, f"Released by annotation; {name} was left on the broker."
        else:
            reason = EventReason.ORPHANED
            text = f"Released although Broker {self._context.name} could not be asked; {name} may still be there."
        if policy.owner_record(manifest.annotations) is not None:
            await self._context.statuses.event(manifest.key, manifest.uid, reason, text, warning=True)
        self._context.claims.release(manifest.key)


def _tells_deletion(manifest: Manifest) -> bool:
    conditions = manifest.status.get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("reason") == Reason.DELETING for c in conditions)
