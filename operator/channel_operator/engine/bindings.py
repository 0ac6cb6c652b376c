"""Passwords of BrokerUsers and their binding Secrets: reads, makes, writes, and remembers what was written.

Decides whether a password has to be made and whether a Secret has to be written. Never decides a grant, and never
holds a password longer than the process lives. Reading is lazy: a restart reads no Secret of a user whose status says
that all is well; a paced sweep looks at each in time.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core.model import Key, Problem, Secret
from channel_operator.core.view import Manifest
from channel_operator.engine.clock import Clock
from channel_operator.engine.pipeline import Pipeline
from channel_operator.engine.ports import Conflict, Owner, SecretData, SecretStore
from channel_operator.engine.store import Store
from channel_operator.errors import Blocked, OperatorError, Retry

__all__ = ["Binding", "Bindings", "Wanted", "digest_of", "secret_name"]

Render = Callable[[Secret], Mapping[str, str]]
ISSUED_AT = "channel-operator.dev/issued-at"
TIME = "%Y-%m-%dT%H:%M:%SZ"
REFUSED = 60.0
"""Seconds until a Secret that the API server refused is tried again; an edit of the manifest is taken up at once."""
_CONDITIONS = {Reason.SECRET_CONFLICT: ConditionType.PROGRAMMED, Reason.INVALID_SPEC: ConditionType.ACCEPTED}


def secret_name(key: Key, spec: BrokerUserSpec) -> str:
    """Return the name of a user's binding Secret."""
    return spec.secret.name if spec.secret is not None and spec.secret.name else f"{key.name}-binding"


@dataclass(slots=True)
class Wanted:
    """A binding Secret as it should be. `render` puts the password in; `digest` names everything but the password."""

    type: str
    render: Render
    digest: str


@dataclass(slots=True)
class Binding:
    """What is known of the credentials of one user, in one incarnation (`uid`).

    `version` is shown in status and names what was written last.
    """

    uid: str | None = None
    password: Secret | None = None
    problem: Problem | None = None
    issued_at: str | None = None
    version: str | None = None
    wanted: Wanted | None = None
    read_password: bool = False
    written: SecretData | None = None
    """The Secret as we wrote it last, without its entries: enough to replace just that version of it."""


class Bindings:
    """Works for the users of one broker; `changed(key)` is called when a password or a problem became known."""

    def __init__(
        self,
        store: Store,
        secret_store: SecretStore,
        clock: Clock,
        *,
        leads: Callable[[], bool],
        changed: Callable[[Key], None],
    ) -> None:
        self._store = store
        self._secrets = secret_store
        self._clock = clock
        self._changed = changed
        self._known: dict[Key, Binding] = {}
        self.pipeline = Pipeline("binding", self._work, clock, leads=leads)

    def of(self, key: Key) -> Binding:
        """Return what is known of a user; at first what its status says."""
        known, manifest = self._known.get(key), self._store.get(key)
        uid = manifest.uid if manifest is not None else None
        if known is None or known.uid != uid:
            shown = manifest.status.get("credentials") or {} if manifest is not None else {}
            known = Binding(uid, issued_at=shown.get("issuedAt"), version=shown.get("secretVersion"))
            self._known[key] = known
        return known

    def forget(self, key: Key) -> None:
        """Drop a user that is gone; the Secret goes with its owner by garbage collection."""
        self._known.pop(key, None)
        self.pipeline.discard(key)

    def need_password(self, key: Key) -> None:
        """Have the password read (or made), because the user has to be created or compared."""
        self.of(key).read_password = True
        self.pipeline.add(key)

    def want(self, key: Key, wanted: Wanted) -> bool:
        """Have the binding Secret written if it is not as wanted; return whether it already is."""
        binding = self.of(key)
        if binding.version is not None and binding.version == self._version(wanted.digest, binding.issued_at):
            binding.wanted = None
            return True
        binding.wanted = wanted
        self.pipeline.add(key)
        return False

    def sweep(self, key: Key) -> None:
        """Look at a user's Secrets again: they are not watched."""
        self._known.pop(key, None)
        known = self.of(key)
        known.version = None
        self.need_password(key)

    @staticmethod
    def _version(digest: str, issued_at: str | None) -> str:
        return hashlib.sha256(f"{digest} {issued_at}".encode()).hexdigest()[:12]

    async def _work(self, key: Key) -> None:
        manifest = self._store.get(key)
        if manifest is None or manifest.deleted is not None or not isinstance(manifest.spec, BrokerUserSpec):
            self.forget(key)
            return
        binding = self.of(key)
        try:
            await self._settle(manifest, manifest.spec, binding)
        except Blocked as error:
            self._fail(key, binding, error)
            # Secrets are not watched: what is missing is looked for again, without hurry.
            raise Retry(str(error)) from error
        except Conflict:
            binding.written = None
            raise Retry("the binding Secret changed meanwhile", after=0.1) from None
        except Retry:
            raise
        except OperatorError as error:
            text = f"spec.secret: the binding Secret cannot be written as asked for: {error}. Correct what it names."
            self._fail(key, binding, Blocked(text, reason=Reason.INVALID_SPEC, field="spec.secret"))
            raise Retry(str(error), after=REFUSED) from error
        if binding.problem is not None:
            binding.problem = None
            self._changed(key)

    def _fail(self, key: Key, binding: Binding, error: Blocked) -> None:
        reason = Reason(error.reason)
        kind = _CONDITIONS.get(reason, ConditionType.RESOLVED_REFS)
        stalled = reason is not Reason.REF_NOT_FOUND
        problem = Problem(reason, str(error), condition=kind, field=error.field, stalled=stalled)
        if binding.problem != problem:
            binding.problem = problem
            self._changed(key)

    async def _settle(self, manifest: Manifest, spec: BrokerUserSpec, binding: Binding) -> None:
        key, name = manifest.key, secret_name(manifest.key, spec)
        if binding.password is not None and binding.wanted is None and not binding.read_password:
            return
        last = binding.written
        if last is not None and manifest.uid in last.owner_uids and binding.password and not binding.read_password:
            # Nobody else can have changed it unnoticed: the API server refuses to replace any other version.
            existing: SecretData | None = last
        else:
            existing = await self._secrets.read_secret(key.namespace, name)
        if existing is not None and manifest.uid not in existing.owner_uids:
            raise Blocked(
                f'spec.secret.name: a Secret "{key.namespace}/{name}" exists and does not belong to this BrokerUser. '
                "Delete it or choose another name.",
                reason=Reason.SECRET_CONFLICT,
                field="spec.secret.name",
            )
        if binding.password is None or binding.read_password:
            before = binding.password
            binding.password = await self._password(manifest, spec, existing, binding)
            binding.read_password = False
            if before != binding.password:
                self._changed(key)
        wanted = binding.wanted
        if wanted is None:
            return
        binding.issued_at = binding.issued_at or self._now()
        version = self._version(wanted.digest, binding.issued_at)
        data = wanted.render(binding.password)
        if not self._same(existing, data, wanted, spec):
            written = await self._write(manifest, spec, name, data, wanted, existing, binding.issued_at)
            binding.written = replace(written, data={})
        binding.version = version
        if binding.wanted is wanted:
            binding.wanted = None
        self._changed(key)

    async def _password(
        self, manifest: Manifest, spec: BrokerUserSpec, existing: SecretData | None, binding: Binding
    ) -> Secret:
        if spec.password_secret_ref is not None:
            name, field = spec.password_secret_ref.name, "spec.passwordSecretRef"
            own = await self._secrets.read_secret(manifest.key.namespace, name)
            value = own.data.get("password") if own is not None else None
            if value is None or not value.reveal():
                what = "there is no such Secret" if own is None else 'it has no key "password", or an empty one'
                raise Blocked(
                    f'{field}: no password in Secret "{manifest.key.namespace}/{name}": {what}. Correct it.',
                    reason=Reason.REF_NOT_FOUND,
                    field=field,
                )
            return self._issue(value, existing, binding)
        kept = _password_in(existing)
        if kept is None or not kept.reveal():
            kept = Secret(secrets.token_urlsafe(32))
        return self._issue(kept, existing, binding)

    def _issue(self, password: Secret, existing: SecretData | None, binding: Binding) -> Secret:
        """Date a password: from when it first stood in the binding Secret, which outlives us."""
        if existing is not None and _password_in(existing) == password:
            stamp = existing.annotations.get(ISSUED_AT, "")
            binding.issued_at = stamp if _is_time(stamp) else binding.issued_at
        else:
            binding.issued_at = self._now()
        return password

    @staticmethod
    def _same(existing: SecretData | None, data: Mapping[str, str], wanted: Wanted, spec: BrokerUserSpec) -> bool:
        if existing is None or existing.type != wanted.type:
            return False
        labels = (spec.secret.labels if spec.secret is not None else None) or {}
        annotations = (spec.secret.annotations if spec.secret is not None else None) or {}
        try:
            found = {name: value.reveal() for name, value in existing.data.items()}
        except Blocked:
            return False  # somebody put an entry there that is no text
        return (
            found == dict(data)
            and all(existing.labels.get(name) == value for name, value in labels.items())
            and all(existing.annotations.get(name) == value for name, value in annotations.items())
        )

    async def _write(
        self,
        manifest: Manifest,
        spec: BrokerUserSpec,
        name: str,
        data: Mapping[str, str],
        wanted: Wanted,
        existing: SecretData | None,
        issued_at: str,
    ) -> SecretData:
        labels = (spec.secret.labels if spec.secret is not None else None) or {}
        annotations = (spec.secret.annotations if spec.secret is not None else None) or {}
        return await self._secrets.write_secret(
            manifest.key.namespace,
            name,
            type=wanted.type,
            data=data,
            labels=labels,
            annotations={**annotations, ISSUED_AT: issued_at},
            owner=Owner(manifest.key.kind, manifest.key.name, manifest.uid),
            expected=existing,
        )

    def _now(self) -> str:
        return self._clock.now().strftime(TIME)


def _password_in(existing: SecretData | None) -> Secret | None:
    """Return the password of a binding Secret; None also where somebody made it no text: then it is made anew."""
    try:
        return existing.data.get("password") if existing is not None else None
    except Blocked:
        return None


def _is_time(stamp: str) -> bool:
    """Whether it is a time as we write it: whoever may edit the Secret can put anything there."""
    try:
        datetime.strptime(stamp, TIME).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def digest_of(value: Any) -> str:
    """Return a short name for a JSON value: equal values, equal names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
