"""Who claims which native name, and who holds it: whom it was given, else the oldest who is admitted.

Never decides what a name is made from, nor who is admitted.
"""

from collections.abc import Callable, Iterable, Mapping

from channel_operator.api.meta import Kind
from channel_operator.core import policy
from channel_operator.core.model import Key
from channel_operator.core.view import Claim, Manifest

__all__ = ["NameClaims"]


class NameClaims:
    """Claims of the objects that a store keeps in `objects`; `is_admitted`: by the Broker, to which it belongs."""

    def __init__(self, objects: Mapping[Key, Manifest], is_admitted: Callable[[Manifest], bool]) -> None:
        self._objects = objects
        self._is_admitted = is_admitted
        self._claimants: dict[Claim, set[Key]] = {}
        self._claims: dict[Key, Claim] = {}
        self.logins: dict[Key, tuple[str, ...]] = {}
        """BrokerUser → the native users that it was found to stand for."""

    def holder(self, claim: Claim) -> Key | None:
        """Return the claimant to whom a name belongs."""
        claimants = self._claimants.get(claim)
        if not claimants:
            return None
        if len(claimants) == 1:
            return next(iter(claimants))
        return min(claimants, key=self._seniority)

    def _seniority(self, key: Key) -> tuple[bool, bool, bool, str, bool, str]:
        """Order claimants: who was given the name, then those who are admitted, oldest first.

        Who was given it keeps it, or messages would get another owner by a consent that comes or goes. Of those made in
        one second, who has something on the broker keeps it.
        Other names are fixed at creation, those of certificates are not: one that was not read yet, or that says
        another name than it did, gives way to whoever else has that name.
        """
        manifest = self._objects[key]
        is_late = manifest.refs.by_certificate and (
            key not in self.logins or manifest.status.get("username") != self._claims[key].name
        )
        has_no_record = policy.owner_record(manifest.annotations) is None
        return (
            is_late,
            has_no_record or not self._was_told(manifest),
            not self._is_admitted(manifest),
            manifest.created,
            has_no_record,
            manifest.uid,
        )

    def _was_told(self, manifest: Manifest) -> bool:
        """Whether its status says that the name is its own: unlike a record, that is not for its owner to write."""
        if manifest.key.kind is Kind.BROKER_USER:
            return bool(manifest.status.get("credentials"))
        address = manifest.status.get("address") or {}
        return bool(address.get("name") == self._claims[manifest.key].name)

    def rivals(self, keys: Iterable[Key]) -> set[Key]:
        """Return who else wants the names that these objects claim."""
        claims = {self._claims[key] for key in keys if key in self._claims}
        return {rival for claim in claims if len(self._claimants[claim]) > 1 for rival in self._claimants[claim]}

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
