"""Gathers what is known of each object after a pass and has its status written.

Decides only whether there is something final to say: an object whose claim or first Secret is on its way waits for it,
so that it costs one status write and no more. The content is decided by `core.report`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from channel_operator.api.meta import CHANNEL_KINDS, Kind
from channel_operator.api.reasons import ConditionType, EventReason, Reason
from channel_operator.api.status import GrantState
from channel_operator.core import policy
from channel_operator.core.accepted import ResolvedUser
from channel_operator.core.access import GrantReport
from channel_operator.core.annotations import without_effect
from channel_operator.core.diff import leaders
from channel_operator.core.model import Key, Problem
from channel_operator.core.policy import Ownership
from channel_operator.core.report import MAX_GRANTS, ObjectState, arrival, channel_status, is_ready, user_status
from channel_operator.core.resolve import Standing
from channel_operator.core.view import Manifest
from channel_operator.engine.binding_content import binding_content, secret_name
from channel_operator.engine.dependencies import Dependencies
from channel_operator.engine.looks import Look
from channel_operator.engine.plans import Plans
from channel_operator.engine.reconciler import Reconciler
from channel_operator.errors import Blocked, CredentialsRefused, OperatorError, Unreachable

__all__ = ["Reports"]

MAX_NAMED = 10
"""Objects that a message names; more are counted."""


class Reports:
    """Reports on the objects of one reconciler. `ca`: what clients need to trust the broker, PEM."""

    def __init__(self, reconciler: Reconciler, ca: str | None) -> None:
        self._reconciler = reconciler
        self._state = reconciler.state
        self._context = reconciler.context
        self._dependencies = Dependencies(self._context, self._state)
        self._plans = Plans(self._context, self._state, self._dependencies)
        self._ca = ca

    async def tell(self, keys: Iterable[Key]) -> None:
        """Report these objects."""
        for key in self._with_those_that_wait(keys):
            look = self._state.looks.get(key)
            manifest = self._context.store.get(key)
            if look is None or manifest is None or manifest.uid != look.manifest.uid:
                continue
            try:
                await self._tell(look, manifest)
            except Exception:  # noqa: BLE001  # told as a bug
                # A bug that one object meets must not keep the others from their status.
                self._context.bug(key)

    def _with_those_that_wait(self, keys: Iterable[Key]) -> set[Key]:
        """Add those that held their report back for an object of which it is now known that it does not come."""
        affected = set(keys)
        looks = [look for key in affected if (look := self._state.looks.get(key)) is not None]
        affected = affected.union(*(self._plans.users(look) for look in looks if look.resolution.observes))
        return affected.union(*(self._dependencies.held_back(key) for key in affected))

    async def _tell(self, look: Look, manifest: Manifest) -> None:
        state = self._gather(look, manifest)
        if state is None:
            return
        status = user_status(state) if manifest.key.kind is Kind.BROKER_USER else channel_status(state)
        await self._events(look, manifest, status)
        result = _result(state, failed=bool(self._failures(manifest.key)))
        self._context.statuses.want(manifest.key, manifest.uid, status, result)

    def _gather(self, look: Look, manifest: Manifest) -> ObjectState | None:
        key = manifest.key
        problems = [*look.problems, *self._state.blocked.get(key, ()), *self._failures(key)]
        problems += self._dependencies.problems(look) if look.asserts else []
        deleting = self._deleting(look, manifest)
        braked = self._state.braked.get(key)
        if braked is not None:
            # A namespace that is not admitted any more still has what the brake keeps.
            problems = [braked, *(p for p in problems if p.condition is not braked.condition)]
        if look.leaves and deleting is None and braked is None:
            return None
        extra: dict[str, Any] = {}
        if key.kind is Kind.BROKER_USER and not look.leaves:
            problems = self._with_credentials(key, problems)
            settled = self._user(look, manifest, extra)
            if not settled and not problems:
                return None
        # A claim may come to stand while its pass still writes for others: only the next pass writes for it.
        if look.asserts and not problems and (key in self._state.claimed or self._dependencies.awaits(look)):
            return None
        if not look.leaves and self._dependencies.is_about_to_be_found(look, problems):
            return None
        observes = look.resolution.observes and not look.leaves
        plan = self._plans.of(look) if observes or self._state.blocked.get(key) else []
        return ObjectState(
            generation=look.manifest.generation,  # an edit that came in since was not looked at
            previous=manifest.status,
            broker=self._context.broker,
            now=self._context.now(),
            problems=tuple(problems),
            disabled=policy.is_disabled(manifest) and not look.leaves and braked is None,
            observes=observes,
            drifted=bool(plan),
            compiled=look.compiled if look.resolution.standing is Standing.ACCEPTED and not look.problems else None,
            grants=self._grants(look),
            origin=_origin(manifest),
            plan=plan,
            deleting=deleting,
            unheeded=without_effect(manifest, self._context.store.namespace(manifest.key.namespace)),
            extra=extra,
        )

    def _with_credentials(self, key: Key, problems: Sequence[Problem]) -> list[Problem]:
        """Add what is wrong with a user's credentials: that says more than that something of them is awaited."""
        binding = self._context.bindings.of(key)
        known = [p for p in (binding.problem, self._reconciler.logins.problem(key)) if p is not None]
        fields = {p.field for p in known}
        return [p for p in problems if p.stalled or p.field not in fields] + known

    def _failures(self, key: Key) -> list[Problem]:
        """Return what the broker refused or did not answer, on behalf of one owner."""
        found = []
        for rid in self._state.desired.parts(key):
            error = self._state.failures.get(rid)
            if error is not None and key in leaders(self._state.desired.owners(rid)):
                found.append(self._problem_of(error))
        return found

    def _problem_of(self, error: OperatorError) -> Problem:
        """Say it without what only the Broker's owner is to know: the log has that."""
        if isinstance(error, Unreachable | CredentialsRefused):
            text = f"Broker {self._context.name} does not serve the operator; see its status."
            return Problem(Reason.PROGRESSING, text, ConditionType.PROGRAMMED, stalled=False)
        text = f"Broker {self._context.name}: {error.told}" if error.told is not None else str(error)
        if isinstance(error, Blocked):
            return Problem(Reason(error.reason), text, ConditionType.PROGRAMMED, error.field)
        return Problem(Reason.PROGRESSING, text, ConditionType.PROGRAMMED, stalled=False)

    def _deleting(self, look: Look, manifest: Manifest) -> str | None:
        if not look.leaves:
            return None
        if look.resolution.needed_by:
            return _needed(look)
        waiting = self._reconciler.departures.waits_for(manifest)
        if not waiting:
            return None
        names = ", ".join(sorted(str(rid) for rid in waiting)[:5])
        return f"Being deleted; waits for {names} on {self._context.name}."

    def _grants(self, look: Look) -> Sequence[GrantReport]:
        """Complete the grants by what is on the broker: the user may not be made yet, the pattern may be full."""
        refused = self._state.refused.get(look.manifest.key, set())
        names = {path for rid in refused for path in rid.path}
        usernames = {g.user: g.usernames for g in getattr(look.resolution.resolved, "grants", ())}
        found = []
        for grant in look.resolution.grants:
            # What the brake keeps is still given.
            state = GrantState.GRANTED if look.held_back and grant.lapsed else grant.state
            native = usernames.get(grant.user)
            if native is not None and not names.isdisjoint(native):
                state = GrantState.TOO_MANY
            elif native is not None and not self._dependencies.exists(grant.user):
                state = GrantState.MISSING
            found.append(grant._replace(state=state))
        return found

    # -- users ---------------------------------------------------------------------------------------------------

    def _user(self, look: Look, manifest: Manifest, extra: dict[str, Any]) -> bool:
        """Add what a user's status shows; return whether its binding Secret is written."""
        key, resolved = manifest.key, look.resolution.resolved
        bindings = self._context.bindings
        if not isinstance(resolved, ResolvedUser) or not look.asserts:
            for name in ("username", "binding", "credentials", "grants", "grantCount", "permissionBytes"):
                extra[name] = manifest.status.get(name)
            if extra["username"] is None and look.resolution.subject is not None:
                extra["username"] = look.resolution.subject.name
            return True
        # Without the record the user on the broker is somebody else's so far: no Secret may name it.
        if policy.owner_record(manifest.annotations) is None or not self._dependencies.exists(key):
            return False
        mine, refused = self._state.desired.parts(key).keys(), self._state.refused
        channels = [one for one in self._state.looks.channels_of(key) if not mine & refused.get(one[0], set())]
        entries = [
            {"kind": str(c.kind), "namespace": c.namespace, "name": c.name, "role": str(role), **coordinates}
            for c, role, coordinates in channels
        ]
        following = self._reconciler.logins.is_next(key)
        stuck = bool(self._state.blocked.get(key) or self._failures(key))
        login = resolved.logins[0] if following is None or stuck else following
        written = bindings.want(key, binding_content(self._state.driver, resolved, login, entries, self._ca))
        binding = bindings.of(key)
        extra["username"] = resolved.logins[0].name
        shown = [{k: e[k] for k in ("kind", "namespace", "name", "role")} for e in entries[:MAX_GRANTS]]
        extra["grants"] = shown or None
        extra["grantCount"] = len(entries)
        extra.update(self._state.driver.user_facts(self._state.desired.parts(key), self._state.picture))
        if binding.version is not None:
            extra["binding"] = {"name": secret_name(key, resolved.spec)}
            extra["credentials"] = {"issuedAt": binding.issued_at, "secretVersion": binding.version}
        else:
            extra["binding"] = manifest.status.get("binding")
            extra["credentials"] = manifest.status.get("credentials")
        return written

    # -- events --------------------------------------------------------------------------------------------------

    async def _events(self, look: Look, manifest: Manifest, status: dict[str, Any]) -> None:
        """Tell of the transitions that a status makes."""
        before, key = self._context.statuses.newest(manifest.key), manifest.key
        if is_ready(status, look.manifest.generation) and not before.get("origin") and status.get("origin"):
            made = status["origin"] == "Created"
            reason = EventReason.CREATED if made else EventReason.ADOPTED
            text = arrival(key.kind, status, self._context.name, self._reconciler.ownership.adoption(look))
            await self._context.statuses.event(key, manifest.uid, reason, text)
        if key.kind is Kind.BROKER_USER:
            await self._rotation_event(manifest, before.get("credentials") or {}, status)
        reason_now = _ready_reason(status)
        if reason_now in _TOLD and reason_now != _ready_reason(before):
            text = next(c["message"] for c in status["conditions"] if c["type"] == "Ready")
            await self._context.statuses.event(key, manifest.uid, _TOLD[reason_now], text, warning=True)
        if key.kind in CHANNEL_KINDS:
            await self._grant_events(manifest, before.get("grants") or (), status.get("grants") or ())

    async def _rotation_event(self, manifest: Manifest, before: Mapping[str, Any], status: dict[str, Any]) -> None:
        issued = (status.get("credentials") or {}).get("issuedAt")
        if before.get("issuedAt") and issued and issued != before["issuedAt"]:
            text = f"New credentials of {status['username']} stand in Secret {status['binding']['name']}."
            await self._context.statuses.event(manifest.key, manifest.uid, EventReason.CREDENTIALS_ROTATED, text)

    async def _grant_events(
        self, manifest: Manifest, before: Iterable[dict[str, str]], grants: Iterable[dict[str, str]]
    ) -> None:
        old = {(g["user"], g["role"]): g["state"] for g in before}
        for grant in grants:
            state = grant["state"]
            if state == GrantState.GRANTED or old.get((grant["user"], grant["role"])) == state:
                continue
            missing = state == GrantState.MISSING
            reason = EventReason.GRANT_MISSING if missing else EventReason.GRANT_REFUSED
            text = f"{grant['role']} {grant['user']} is not granted: {_WHY[GrantState(state)]}"
            await self._context.statuses.event(manifest.key, manifest.uid, reason, text, warning=True)


_TOLD: dict[str | None, EventReason] = {
    Reason.NAME_CONFLICT: EventReason.NAME_CONFLICT,
    Reason.POLICY_SHADOWED: EventReason.POLICY_SHADOWED,
}
"""Reasons of Ready that are told as an Event too when they come."""

_WHY = {
    GrantState.MISSING: "there is no such BrokerUser on this Broker (yet).",
    GrantState.NOT_PERMITTED: "that BrokerUser is not permitted on this Broker; see its status.",
    GrantState.ON_OTHER_BROKER: "that BrokerUser belongs to another Broker.",
    GrantState.TOO_MANY: "its permission pattern would exceed RabbitMQ's 1024 bytes. Use a second BrokerUser.",
    GrantState.GRANTED: "",
}


def _listed(keys: Sequence[Key]) -> str:
    shown = ", ".join(map(str, keys[:MAX_NAMED]))
    return shown if len(keys) <= MAX_NAMED else f"{shown} and {len(keys) - MAX_NAMED} more"


def _needed(look: Look) -> str:
    """Say who is in the way of a deletion, and what to do."""
    who, kind = _listed(look.resolution.needed_by), look.manifest.key.kind
    if kind is Kind.QUEUE:
        return (
            f"Being deleted; waits for {who}, whose dead letters come here. "
            "Name another Queue in spec.deadLetter.queueRef there, or delete that first."
        )
    return f"Being deleted; waits for {who} to be deleted first."


def _ready_reason(status: Any) -> str | None:
    conditions = status.get("conditions") or ()
    return next((c["reason"] for c in conditions if c["type"] == "Ready"), None)


def _origin(manifest: Manifest) -> str | None:
    record = policy.owner_record(manifest.annotations)
    if record is None:
        return None
    return "Adopted" if record.ownership is Ownership.ADOPTED else "Created"


def _result(state: ObjectState, *, failed: bool) -> str:
    if any(p.stalled for p in state.problems):
        return "blocked"
    if failed:
        return "retry"
    if state.problems or state.pending is not None:
        return "waiting"
    return "success"
