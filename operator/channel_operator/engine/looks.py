"""One object as the loop last looked at it: resolved, compiled, entered into what is desired.

Decides what an object says on its broker right now: it asserts, holds, withdraws or says nothing. Never does I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from channel_operator.api.common import DeletionPolicy
from channel_operator.api.meta import CHANNEL_KINDS, Kind
from channel_operator.brokers.base import Driver
from channel_operator.core import policy
from channel_operator.core.accepted import Compiled, Login, Role
from channel_operator.core.access import told_grants
from channel_operator.core.desired import Desired
from channel_operator.core.model import (
    Capabilities,
    Key,
    Mode,
    Problem,
    Resource,
    ResourceId,
)
from channel_operator.core.report import is_ready
from channel_operator.core.resolve import Resolution, Standing, resolve
from channel_operator.core.view import Manifest, View
from channel_operator.engine.indexes import drop

__all__ = ["Look", "Looks"]

NOTHING = Compiled(())


@dataclass(slots=True)
class Look:
    """What was found. `touched`: native objects whose owners' say has changed."""

    manifest: Manifest
    resolution: Resolution
    compiled: Compiled = NOTHING
    problems: tuple[Problem, ...] = ()
    touched: set[ResourceId] = field(default_factory=set)
    held_back: bool = False
    """The brake keeps it from taking something away."""

    @property
    def asserts(self) -> bool:
        """Whether it is accepted in full and written for."""
        return self.resolution.standing is Standing.ACCEPTED and not self.problems and not self.resolution.observes

    @property
    def withdraws(self) -> bool:
        """Whether something of it is taken away from the broker."""
        return any(part.mode is Mode.WITHDRAW for part in self.compiled.parts)

    @property
    def leaves(self) -> bool:
        """Whether the manifest is being deleted."""
        return self.resolution.standing in {Standing.DELETED, Standing.RELEASED}


def _is_dropped(content: object) -> bool:
    """Whether what a part asserted goes when it is not asserted any more: nothing that holds messages, no right."""
    return isinstance(content, Resource) and not content.holds_data


class Looks:
    """Keeps the last look at every object of one broker, and who may use which channel."""

    def __init__(self, broker: Key, driver: Driver, view: View, desired: Desired) -> None:
        self.broker = broker
        self._driver = driver
        self._view = view
        self._desired = desired
        self._known: dict[Key, Look] = {}
        self._granted: dict[Key, set[Key]] = {}
        """Channel → users it grants something to."""
        self._channels: dict[Key, dict[Key, tuple[Role, ...]]] = {}
        """User → channels with its roles there: `channels.json` and `status.grants`."""
        self._awaited: dict[Key, set[Key]] = {}
        """Object → those that wait for it to be made."""
        self.finished: set[str] = set()
        """uids of deleted objects whose part on the broker is settled."""

    def get(self, key: Key) -> Look | None:
        """Return the last look."""
        return self._known.get(key)

    def all(self) -> Mapping[Key, Look]:
        """Return every look."""
        return self._known

    def observed(self) -> set[Key]:
        """Return the objects that are only watched."""
        return {key for key, look in self._known.items() if look.resolution.observes}

    def forget(self, key: Key) -> tuple[set[ResourceId], set[Key]]:
        """Forget an object that is gone: it says nothing any more."""
        self._await(key, None)
        self._known.pop(key, None)
        return self._desired.drop(key), self._grant(key, {})

    def silence(self, key: Key) -> tuple[set[ResourceId], set[Key]]:
        """Take back what an object says, but keep the look at it: it is not allowed to have what it names."""
        return self._desired.drop(key), self._grant(key, {})

    def look(
        self,
        manifest: Manifest,
        capabilities: Capabilities,
        *,
        grace_over: bool,
        logins: tuple[Login, ...],
        kept: bool = False,
    ) -> tuple[Look, set[Key]]:
        """Look at an object anew; also return the users whose set of channels changed by it.

        `kept`: it is deleted and its queue was found not to be empty, so nothing more is taken away.
        """
        resolution = resolve(manifest, self._view, grace_over=grace_over, logins=logins)
        found = Look(manifest, resolution, problems=resolution.problems)
        held = None
        match resolution.standing:
            case Standing.ACCEPTED:
                held = self._compile(found, capabilities)
            case Standing.HELD:
                held = found.compiled = self._hold(found)
            case Standing.DENIED:
                found.compiled = self._deny(found, capabilities)
            case Standing.DELETED if not kept and self._owns(manifest, capabilities):
                found.compiled = self._leave(resolution)
            case _:
                pass
        if found.asserts:
            found.compiled = self._with_dropped(found)
        if held is not None:
            found.touched = self._desired.put(manifest.key, held, held=True)
        elif found.compiled.parts:
            found.touched = self._desired.put(manifest.key, found.compiled, held=False)
        else:
            found.touched = self._desired.drop(manifest.key)
        self._await(manifest.key, resolution.awaits)
        self._known[manifest.key] = found
        return found, self._grant(manifest.key, self._roles(found))

    def hold_back(self, key: Key, compiled: Compiled) -> tuple[set[ResourceId], set[Key]]:
        """Have an object say this instead of what its manifest comes to; also return the users whom it concerns."""
        found = self._known[key]
        found.compiled, found.held_back = compiled, True
        touched = self._desired.put(key, compiled, held=False)
        found.touched |= touched
        return touched, self._grant(key, self._roles(found))

    def _await(self, key: Key, awaited: Key | None) -> None:
        before = self._known[key].resolution.awaits if key in self._known else None
        if before is not None and before != awaited:
            drop(self._awaited, before, key)
        if awaited is not None:
            self._awaited.setdefault(awaited, set()).add(key)

    def awaiting(self, key: Key) -> frozenset[Key]:
        """Return the objects that wait for this one to be made."""
        return frozenset(self._awaited.get(key, ()))

    def channels_of(self, user: Key) -> list[tuple[Key, Role, Mapping[str, Any]]]:
        """Return what a user may use: channel, role, and what a client of that role needs to know."""
        found: list[tuple[Key, Role, Mapping[str, Any]]] = []
        for channel, roles in sorted(self._channels.get(user, {}).items()):
            look = self._known.get(channel)
            if look is not None:
                found += [(channel, role, look.compiled.coordinates.get(role, {})) for role in roles]
        return found

    def granting(self, user: Key) -> set[Key]:
        """Return the channels that grant something to a user."""
        return set(self._channels.get(user, {}))

    def _compile(self, found: Look, capabilities: Capabilities) -> Compiled | None:
        """Compile an accepted object; return what it says on the broker instead if it holds."""
        resolved = found.resolution.resolved
        if resolved is None:
            return None
        compiled = self._driver.compile(resolved, capabilities)
        if found.manifest.key.kind in CHANNEL_KINDS:
            # What deleting the manifest would do is the operator's policy, the same on every broker.
            policy_now = str(resolved.subject.removal or DeletionPolicy.RETAIN)
            compiled = replace(compiled, effective={**compiled.effective, "deletionPolicy": policy_now})
        found.problems = (*found.problems, *compiled.problems)
        found.compiled = self._hold(found) if compiled.problems else compiled
        # What an observed object would assert is compared by itself; on the broker it only holds.
        return self._hold(found) if compiled.problems or found.resolution.observes else None

    def _with_dropped(self, found: Look) -> Compiled:
        """Withdraw what the object said before and does not speak of now, such as the binding of a routing key.

        Only until its status tells of the present manifest: after that nothing of the former ones is left.
        """
        manifest, compiled = found.manifest, found.compiled
        if is_ready(manifest.status, manifest.generation):
            return compiled
        now = {part.id for part in compiled.parts}
        dropped = [
            part._replace(mode=Mode.WITHDRAW, content=None)
            for rid, part in self._desired.parts(manifest.key).items()
            if rid not in now and (part.mode is Mode.WITHDRAW or _is_dropped(part.content))
        ]
        return replace(compiled, parts=(*compiled.parts, *dropped)) if dropped else compiled

    def _hold(self, found: Look) -> Compiled:
        subject = found.resolution.subject
        return self._driver.hold(subject) if subject is not None else NOTHING

    def _deny(self, found: Look, capabilities: Capabilities) -> Compiled:
        """Take access away from a namespace that is not admitted: its user goes, its channels keep their messages."""
        subject = found.resolution.subject
        if subject is not None and subject.key.kind is Kind.BROKER_USER:
            return self._driver.withdraw(subject)
        if subject is None or not self._owns(found.manifest, capabilities):
            return NOTHING
        return self._driver.deny(subject)

    def _leave(self, resolution: Resolution) -> Compiled:
        """Take away what a deleted object has; while others still need that, only the access to it."""
        if resolution.subject is None:
            return NOTHING
        return (
            self._driver.deny(resolution.subject) if resolution.needed_by else self._driver.withdraw(resolution.subject)
        )

    @staticmethod
    def _owns(manifest: Manifest, capabilities: Capabilities) -> bool:
        """Whether the object's record says that what is on this broker is its own to withdraw."""
        record = policy.owner_record(manifest.annotations)
        return record is not None and record.identity == capabilities.identity and policy.has_finalizer(manifest)

    def _roles(self, found: Look) -> dict[Key, tuple[Role, ...]]:
        roles: dict[Key, tuple[Role, ...]] = {}
        given = [found.resolution.resolved] if found.asserts else []
        if found.held_back:
            given.append(found.resolution.withheld)
        if given:
            for resolved in given:
                for grant in getattr(resolved, "grants", ()):
                    roles[grant.user] = (*roles.get(grant.user, ()), grant.role)
        elif (
            found.resolution.standing in {Standing.HELD, Standing.ACCEPTED} and found.manifest.key.kind in CHANNEL_KINDS
        ):
            # On hold the grants stay on the broker, so clients must keep reading of them too: as status last showed.
            for user, role in told_grants(found.manifest.status):
                roles[user] = (*roles.get(user, ()), role)
        return roles

    def _grant(self, channel: Key, roles: Mapping[Key, tuple[Role, ...]]) -> set[Key]:
        """Replace whom a channel grants what; return the users for whom that is a change."""
        changed: set[Key] = set()
        for user in self._granted.get(channel, set()) - roles.keys():
            self._channels[user].pop(channel, None)
            if not self._channels[user]:
                del self._channels[user]
            changed.add(user)
        for user, given in roles.items():
            channels = self._channels.setdefault(user, {})
            if channels.get(channel) != given:
                channels[channel] = given
                changed.add(user)
        if roles:
            self._granted[channel] = set(roles)
        else:
            self._granted.pop(channel, None)
        return changed
