"""Which native users each BrokerUser of one broker stands for, and when that is to be looked at again.

Decides by what was issued, by the clock and by what the broker has: the one in use, the one that is just being made,
and former ones until they go. Does no I/O; what has not been read it has read by `Bindings`.
"""

from collections.abc import Iterable

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.brokeruser import BrokerUserSpec, Rotation
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.api.values import seconds
from channel_operator.brokers.base import Driver
from channel_operator.core import access, naming, policy
from channel_operator.core.accepted import Login
from channel_operator.core.model import Key, Mode, Problem, Removal
from channel_operator.core.policy import Ownership
from channel_operator.core.rotation import PLAIN, SLOTS, Issue, due_slot, next_moment, removal_of_former, slot_of
from channel_operator.core.view import Manifest
from channel_operator.engine.bindings import Binding
from channel_operator.engine.context import Context
from channel_operator.engine.credentials import ANNOTATIONS, asked_of, misplaced_request
from channel_operator.engine.looks import Look
from channel_operator.engine.state import BrokerState
from channel_operator.errors import Blocked

__all__ = ["Logins"]


class Logins:
    """Keeps them, and tells the store their names, by which channels grant rights."""

    def __init__(self, context: Context, state: BrokerState) -> None:
        self._context = context
        self._state = state
        self._driver: Driver = state.driver
        self._known: dict[Key, tuple[Login, ...]] = {}
        self._problems: dict[Key, Problem] = {}
        self._wakes: dict[Key, float] = {}
        self._edits: dict[Key, int] = {}
        """Key → the generation whose credentials were looked for since it was edited."""

    def of(self, key: Key) -> tuple[Login, ...]:
        """Return what was last found; empty for a user not looked at, or of which nothing is known."""
        return self._known.get(key, ())

    def problem(self, key: Key) -> Problem | None:
        """Return what is wrong with a user's certificate as this broker reads it."""
        return self._problems.get(key)

    def is_next(self, key: Key) -> Login | None:
        """Return the native user that is to follow the one in use, once it stands on the broker as it should."""
        issued = self._context.bindings.of(key).issued
        if issued is None or issued.next is None:
            return None
        return next((login for login in self.of(key)[1:] if login.password == issued.next.password), None)

    def changing(self) -> list[Key]:
        """Return the users that stand for several native users or cannot: the broker may have changed under them."""
        return [key for key, logins in self._known.items() if len(logins) > 1 or key in self._problems]

    def entered(self, keys: Iterable[Key]) -> list[Key]:
        """Look at the users among these keys; return all keys to look at, users first.

        Channels that grant to a user whose names changed are among them: in one pass it must not lose a right.
        """
        users, others = dict[Key, None](), dict[Key, None]()
        for key in keys:
            (users if key.kind is Kind.BROKER_USER else others)[key] = None
        here = self._context.store.on_broker(self._context.broker)
        for key in list(users):
            for other in self._look(key) & set(here):
                (users if other.kind is Kind.BROKER_USER else others).setdefault(other)
        return [*users, *others]

    def read_missing(self, looks: Iterable[Look]) -> None:
        """Have the credentials read of users that are not on the broker, so that they can be made (again)."""
        for look in looks:
            key = look.manifest.key
            if key.kind is not Kind.BROKER_USER or not look.asserts:
                continue
            parts = self._state.desired.parts(key).values()
            missing = any(part.mode is Mode.ASSERT and part.id not in self._state.picture for part in parts)
            binding = self._context.bindings.of(key)
            if missing and binding.issued is None and binding.problem is None:
                self._context.bindings.need_credential(key)

    # -- looking ---------------------------------------------------------------------------------------------------

    def _look(self, key: Key) -> set[Key]:
        store = self._context.store
        manifest, broker = store.get(key), store.get(self._context.broker)
        if manifest is None or manifest.refs.broker != self._context.broker:
            self._known.pop(key, None)
            self._problems.pop(key, None)
            self._wakes.pop(key, None)
            self._edits.pop(key, None)
            return set()
        if manifest.deleted is not None or broker is None or not isinstance(broker.spec, BrokerSpec):
            return set()
        self._look_after_edit(manifest)
        if manifest.refs.by_certificate:
            logins = self._by_certificate(manifest)
        else:
            logins = self._by_password(manifest, naming.native_name(broker.spec, key, manifest.refs.name))
        self._known[key] = logins
        if manifest.refs.by_certificate and self._context.bindings.of(key).issued is None:
            return set()  # hearsay so far: what the status says, which the store takes it from itself
        return store.stands_for(key, tuple(login.name for login in logins))

    def _look_after_edit(self, manifest: Manifest) -> None:
        """Have the credentials looked for that an edit may have replaced, before it is reported on."""
        observed = manifest.status.get("observedGeneration", -1)
        if observed in {-1, manifest.generation} or self._edits.get(manifest.key) == manifest.generation:
            return
        self._edits[manifest.key] = manifest.generation
        self._context.bindings.sweep(manifest.key)

    def _by_certificate(self, manifest: Manifest) -> tuple[Login, ...]:
        """Return the user that the certificate names; one that it named before goes once the new one is in use."""
        key = manifest.key
        binding = self._context.bindings.of(key)
        shown = manifest.status.get("username")
        self._check_request(manifest, binding)
        self._problems.pop(key, None)
        certificate = binding.issued.credential.certificate if binding.issued is not None else None
        before = self.of(key) or ((Login(shown, by_certificate=True),) if isinstance(shown, str) and shown else ())
        if certificate is None:
            if not before or not self._is_free_for(key, before[0].name):
                self._context.bindings.need_credential(key)
            return before
        try:
            name = self._driver.principal(certificate)
        except Blocked as error:
            field = "spec.authentication.certificateSecretRef"
            text = f"{field}: {error}"
            self._problems[key] = Problem(Reason(error.reason), text, ConditionType.RESOLVED_REFS, field)
            return before
        leaves = Removal.DELETE if binding.username == name else None
        former = (one for one in before if one.name != name and self._is_former(key, one.name))
        return (Login(name, by_certificate=True), *(one._replace(leaves=leaves) for one in former))

    def _by_password(self, manifest: Manifest, username: str) -> tuple[Login, ...]:
        key = manifest.key
        binding = self._context.bindings.of(key)
        rotation = manifest.spec.rotation if isinstance(manifest.spec, BrokerUserSpec) else None
        if binding.issued is None:
            slot = slot_of(username, manifest.status.get("username"))
            first = SLOTS[0] if rotation is not None else PLAIN
            binding.shown = binding.shown._replace(slot=first if slot is None else slot)
        issue = binding.issue
        following = binding.issued.next if binding.issued is not None else None
        current = binding.issued.credential.password if binding.issued is not None else None
        logins = [Login(username + issue.slot, current)]
        self._problems.pop(key, None)
        if following is not None and self._is_free(manifest, username + following.slot, username):
            logins.append(Login(username + following.slot, following.password))
        others = [username + slot for slot in (PLAIN, *SLOTS)]
        former = [n for n in others if all(n != one.name for one in logins) and self._is_mine(manifest, n, username)]
        self._check_request(manifest, binding)
        self._wait(manifest, binding, rotation, has_former=bool(former))
        leaves = self._leaves(binding, rotation)
        return (*logins, *(Login(name, leaves=leaves) for name in former))

    def _leaves(self, binding: Binding, rotation: Rotation | None) -> Removal | None:
        """Say how former users go: not before the Secret itself was read, which may say that they are not former."""
        if binding.issued is None or binding.issued.next is not None:
            return None
        return removal_of_former(_with_overlap(binding.issue, rotation), self._context.clock.now())

    def _wait(self, manifest: Manifest, binding: Binding, rotation: Rotation | None, *, has_former: bool) -> None:
        """Have the Secret read where something is due, and the user looked at again when the next thing will be."""
        key, now = manifest.key, self._context.clock.now()
        if not isinstance(manifest.spec, BrokerUserSpec):
            return
        issue = _with_overlap(binding.issue, rotation)
        # Nothing is made for a user that brings its own password, but one that rotated before has to leave its slot.
        asked = "" if manifest.spec.password_secret_ref is not None else asked_of(manifest)
        is_due = due_slot(issue, rotation, asked, now) is not None
        if binding.issued is None:
            is_due = is_due or has_former
        elif binding.issued.next is not None:
            is_due = False
        if is_due:
            self._context.bindings.need_credential(key)
        left = next_moment(issue, rotation, now, has_former=has_former)
        monotonic = self._context.clock.monotonic()
        if left is not None and not monotonic < self._wakes.get(key, 0.0) <= monotonic + left:
            self._wakes[key] = monotonic + left
            self._context.schedule.later(key, left)

    def _check_request(self, manifest: Manifest, binding: Binding) -> None:
        """Have an annotation looked into that asks for what cannot be done, or that no longer does."""
        if not isinstance(manifest.spec, BrokerUserSpec):
            return
        told = binding.problem if binding.problem is not None and binding.problem.field == ANNOTATIONS else None
        if misplaced_request(manifest, manifest.spec, binding.issue) != told:
            self._context.bindings.need_credential(manifest.key)

    def _is_former(self, key: Key, name: str) -> bool:
        """Whether a certificate's former user is there and nobody else's by now."""
        return self._is_free_for(key, name) and self._driver.login_id(name) in self._state.picture

    def _is_free_for(self, key: Key, name: str) -> bool:
        store = self._context.store
        return store.holder(access.user_claim(self._context.broker, store, name)) in {None, key}

    def _is_free(self, manifest: Manifest, name: str, username: str) -> bool:
        """Whether a native user of this name can be made; if somebody else has made one, that is told."""
        if self._driver.login_id(name) not in self._state.picture or self._is_mine(manifest, name, username):
            return True
        text = (
            f'User "{name}", which the next credentials are for, exists on the broker already and was not made by '
            "this operator. Have it deleted there; the present credentials stay."
        )
        self._problems[manifest.key] = Problem(Reason.ADOPTION_REFUSED, text, ConditionType.PROGRAMMED)
        return False

    def _is_mine(self, manifest: Manifest, name: str, username: str) -> bool:
        """Whether a native user of this name is there and this manifest's: made by us, or adopted by it."""
        rid = self._driver.login_id(name)
        found = self._state.picture.get(rid)
        if found is None:
            return False
        if self._driver.leftovers({rid: found}):
            return True
        record = policy.owner_record(manifest.annotations)
        return name == username and record is not None and record.ownership is Ownership.ADOPTED


def _with_overlap(issue: Issue, rotation: Rotation | None) -> Issue:
    """Return the issue with the overlap that counts: the manifest's, else the one it was made with."""
    return issue._replace(overlap=seconds(rotation.overlap)) if rotation is not None else issue
