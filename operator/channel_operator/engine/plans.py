"""What would be written for an object that is only watched, or whose difference cannot be written: `status.plan`.

Decides nothing about the object; compares what it would say with what the broker has, users' rights included. Never
writes.
"""

from collections.abc import Iterable
from dataclasses import replace

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import Kind
from channel_operator.core import access
from channel_operator.core.accepted import Grant, ResolvedQueue, ResolvedSubscription, ResolvedTopic
from channel_operator.core.diff import compare
from channel_operator.core.model import Assembled, Change, Key, Mode, Part, Resource
from channel_operator.core.resolve import Standing
from channel_operator.engine.context import Context
from channel_operator.engine.dependencies import Dependencies
from channel_operator.engine.looks import Look
from channel_operator.engine.state import BrokerState

__all__ = ["Plans"]

_Channel = ResolvedQueue | ResolvedTopic | ResolvedSubscription


class Plans:
    """Plans by the state of one broker as it was last seen."""

    def __init__(self, context: Context, state: BrokerState, dependencies: Dependencies) -> None:
        self._context = context
        self._state = state
        self._dependencies = dependencies

    def of(self, look: Look) -> list[str]:
        """Return one line for each change that would be made."""
        parts = look.compiled.parts
        lines = [line for part in parts if (line := self._own(part)) is not None]
        if not look.resolution.observes:
            return lines
        if look.manifest.key.kind is Kind.BROKER_USER:
            return lines + [line for part in parts if (line := self._shared(look, part)) is not None]
        return lines + self._rights(look)

    def users(self, look: Look) -> set[Key]:
        """Return the users in whose plans a watched channel shows too: those it would give or take a right."""
        if look.manifest.key.kind is Kind.BROKER_USER:
            return set()
        return {grant.user for grant in look.resolution.grants} | {grant.user for grant in self._told(look)}

    def _own(self, part: Part) -> str | None:
        """Compare what belongs to the object alone."""
        driver = self._state.driver
        if part.mode is Mode.ASSERT and isinstance(part.content, Resource):
            assembled = driver.assemble(part.id, [part], self._state.picture, ())
            assembled = Assembled(part.content) if assembled.held else assembled
        elif part.mode is Mode.WITHDRAW:
            assembled = driver.assemble(part.id, [part], self._state.picture, ())
        else:
            return None
        return None if assembled.held else self._line(part, assembled)

    def _line(self, part: Part, assembled: Assembled) -> str | None:
        driver, there = self._state.driver, self._state.picture.get(part.id)
        found = compare(part.id, assembled, there, frozenset({part.owner}), driver)
        if isinstance(found, Change):
            return driver.describe(found)
        return f"! {part.id} cannot be changed in place: {'; '.join(found.fields)}" if found is not None else None

    # -- the rights of users -------------------------------------------------------------------------------------

    def _shared(self, look: Look, part: Part) -> str | None:
        """Compare what many channels add to: all that name the user, watched ones included, as if they were written."""
        if part.mode is not Mode.ASSERT or isinstance(part.content, Resource):
            return None
        key, state = look.manifest.key, self._state
        looks = [one for c in self._context.store.dependants(key) if (one := state.looks.get(c)) is not None]
        parts = [other for one in looks for other in one.compiled.parts if other.id == part.id]
        held = frozenset[str]().union(*(one.compiled.names for one in looks if not _says(one)))
        assembled = state.driver.assemble(part.id, [part, *parts], state.picture, held)
        return None if assembled.held else self._line(part, assembled)

    def _rights(self, look: Look) -> list[str]:
        """Compare what a channel grants with what its users have of it."""
        resolved = look.resolution.resolved
        if not isinstance(resolved, _Channel):
            return []
        wanted = {(grant.user, grant.role): grant for grant in resolved.grants}
        told = {(grant.user, grant.role): grant for grant in self._told(look)}
        missing = [
            g for g in wanted.values() if self._dependencies.exists(g.user) and not self._has(resolved, g, whole=True)
        ]
        extra = [g for which, g in told.items() if which not in wanted and self._has(resolved, g, whole=False)]
        lines = [f"+ right of {g.user.namespace}/{g.user.name} as {g.role}" for g in missing]
        return lines + [f"- right of {g.user.namespace}/{g.user.name} as {g.role}" for g in extra]

    def _told(self, look: Look) -> Iterable[Grant]:
        """Return what the channel gave when it was last written for, as far as its status tells."""
        broker = self._context.store.get(self._context.broker)
        if broker is None or not isinstance(broker.spec, BrokerSpec):
            return
        for key, role in access.told_grants(look.manifest.status):
            user = self._context.store.get(key)
            if user is not None:
                yield Grant(key, access.usernames(user, broker.spec, self._context.store), role)

    def _has(self, resolved: _Channel, grant: Grant, *, whole: bool) -> bool:
        driver, capabilities = self._state.driver, self._context.store.capabilities(self._context.broker)
        if capabilities is None:
            return True
        compiled = driver.compile(replace(resolved, grants=(grant,)), capabilities)
        rights = [part for part in compiled.parts if not set(grant.usernames).isdisjoint(part.id.path)]
        return all(driver.gives(part, self._state.picture.get(part.id), whole=whole) for part in rights)


def _says(look: Look) -> bool:
    """Whether an object would be written for if it were not only watched."""
    return look.resolution.standing is Standing.ACCEPTED and not look.problems
