"""Who claims which native name, and who holds it: the oldest claimant. Never decides what a name is made from."""

from collections.abc import Mapping

from channel_operator.api.meta import Kind
from channel_operator.core import policy
from channel_operator.core.model import Key
from channel_operator.core.view import Claim, Manifest

__all__ = ["NameClaims"]


class NameClaims:
    """Claims of the objects that a store keeps in `objects`."""

    def __init__(self, objects: Mapping[Key, Manifest]) -> None:
        self._objects = objects
        self._claimants: dict[Claim, set[Key]] = {}
        self._claims: dict[Key, Claim] = {}
        self.logins: dict[Key, tuple[str, ...]] = {}
        """BrokerUser → the native users that it was found to stand for."""

    def holder(self, claim: Claim) -> Key | None:
        """Return the oldest claimant of a name."""
        claimants = self._claimants.get(claim)
        if not claimants:
            return None
        if len(claimants) == 1:
            return next(iter(claimants))
        return min(claimants, key=self._seniority)

    def _seniority(self, key: Key) -> tuple[bool, str, bool, str]:
        """Order claimants: oldest first. Of those made in one second, who has something on the broker keeps it.

        Other names are fixed at creation, those of certificates are not: one that was not read yet, or that says
        another name than it did, gives way to whoever else has that name.
        """
        manifest = self._objects[key]
        is_late = manifest.refs.by_certificate and (
            key not in self.logins or manifest.status.get("username") != self._claims[key].name
        )
        return (is_late, manifest.created, policy.owner_record(manifest.annotations) is None, manifest.uid)

    def usernames(self) -> set[str]:
        """Return every user name that any BrokerUser stands for, on whatever broker."""
        return {claim.name for key, claim in self._claims.items() if key.kind is Kind.BROKER_USER}

    def stands_for(self, user: Key, names: tuple[str, ...]) -> bool:
        """Keep the native users of a BrokerUser; return whether they were others before."""
        is_new = self.logins.get(user) != names
        self.logins[user] = names
        return is_new

    def put(self, key: Key, claim: Claim | None) -> set[Key]:
        """Replace what an object claims; return everybody else who wanted the old name or wants the new one."""
        if claim == self._claims.get(key):
            return set()
        rivals = self.drop(key)
        if claim is not None:
            self._claims[key] = claim
            claimants = self._claimants.setdefault(claim, set())
            rivals |= claimants
            claimants.add(key)
        return rivals

    def drop(self, key: Key) -> set[Key]:
        """Forget what an object claims; return who else wanted it."""
        claim = self._claims.pop(key, None)
        if claim is None:
            return set()
        rivals = self._claimants[claim]
        rivals.discard(key)
        if not rivals:
            del self._claimants[claim]
        return set(rivals)
