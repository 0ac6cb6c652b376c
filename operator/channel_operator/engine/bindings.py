"""The binding Secrets of BrokerUsers: reads, writes, and remembers what was written.

Decides whether a credential has to be looked for and whether a Secret has to be written. Never decides a grant, and
never holds a password longer than the process lives. Reading is lazy: a restart reads no Secret of a user whose status
says that all is well; a paced sweep looks at each in time.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.api.values import seconds
from channel_operator.core.model import Key, Problem
from channel_operator.core.rotation import Issue
from channel_operator.core.view import Manifest
from channel_operator.engine.binding_content import BindingContent, secret_name
from channel_operator.engine.clock import Clock
from channel_operator.engine.credentials import (
    TIME,
    Credentials,
    Issued,
    annotations_of,
    asked_of,
    later_than,
    misplaced_request,
    time_of,
)
from channel_operator.engine.pipeline import Pipeline
from channel_operator.engine.ports import Conflict, Owner, SecretData, SecretStore
from channel_operator.engine.store import Store
from channel_operator.errors import Blocked, OperatorError, Retry

__all__ = ["Binding", "Bindings"]

UNKNOWN = Issue()
REFUSED = 60.0
"""Seconds until a Secret that the API server refused is tried again; an edit of the manifest is taken up at once."""
_CONDITIONS = {Reason.SECRET_CONFLICT: ConditionType.PROGRAMMED, Reason.INVALID_SPEC: ConditionType.ACCEPTED}


@dataclass(slots=True)
class Binding:
    """What is known of the credentials of one user, in one incarnation (`uid`).

    `shown`: what its status told of them at first. `version` is shown in status and names what was written last.
    """

    uid: str | None = None
    issued: Issued | None = None
    """What was read or made in this process."""
    shown: Issue = UNKNOWN
    problem: Problem | None = None
    version: str | None = None
    wanted: BindingContent | None = None
    username: str | None = None
    """The native user that the Secret surely names by now."""
    reads: bool = False
    """The credential is to be looked for (again)."""
    written: SecretData | None = None
    """The Secret as we wrote it last, without its entries: enough to replace just that version of it."""

    @property
    def issue(self) -> Issue:
        """What is known of the issue."""
        return self.issued.issue if self.issued is not None else self.shown

    @property
    def issued_at(self) -> str | None:
        """When the credentials in the Secret were made, as status shows it."""
        at = self.issue.issued_at
        return at.strftime(TIME) if at is not None else None


class Bindings:
    """Works for the users of one broker; `changed(key)` is called when a credential or a problem became known."""

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
        self._credentials = Credentials(secret_store, clock)
        self._changed = changed
        self._known: dict[Key, Binding] = {}
        self.pipeline = Pipeline("binding", self._work, clock, leads=leads)

    def of(self, key: Key) -> Binding:
        """Return what is known of a user; at first what its status says."""
        known, manifest = self._known.get(key), self._store.get(key)
        uid = manifest.uid if manifest is not None else None
        if known is None or known.uid != uid:
            shown = manifest.status.get("credentials") or {} if manifest is not None else {}
            at = time_of(shown.get("issuedAt"))
            known = Binding(uid, shown=Issue(issued_at=at), version=shown.get("secretVersion"))
            self._known[key] = known
        return known

    def forget(self, key: Key) -> None:
        """Drop a user that is gone; the Secret goes with its owner by garbage collection."""
        self._known.pop(key, None)
        self.pipeline.discard(key)

    def need_credential(self, key: Key) -> None:
        """Have the credential read (or made), because the user has to be created or compared."""
        self.of(key).reads = True
        self.pipeline.add(key)

    def want(self, key: Key, wanted: BindingContent) -> bool:
        """Have the binding Secret written if it is not as wanted; return whether it already is."""
        binding = self.of(key)
        if binding.version is not None and binding.version == self._version(wanted.digest, binding.issued_at):
            binding.wanted, binding.username = None, wanted.username
            return True
        binding.wanted = wanted
        self.pipeline.add(key)
        return False

    def sweep(self, key: Key) -> None:
        """Look at a user's Secrets again: they are not watched."""
        self._known.pop(key, None)
        known = self.of(key)
        known.version = None
        self.need_credential(key)

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
        problem = misplaced_request(manifest, manifest.spec, binding.issue)
        if binding.problem != problem:
            binding.problem = problem
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
        if binding.issued is not None and binding.wanted is None and not binding.reads:
            return
        last = binding.written
        if last is not None and manifest.uid in last.owner_uids and binding.issued is not None and not binding.reads:
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
        issued = binding.issued
        if issued is None or binding.reads:
            issued = await self._credentials.find(manifest, spec, existing, binding.issued, binding.shown)
            binding.reads = False
            if binding.issued != issued:
                binding.issued = issued
                self._changed(key)
        if binding.wanted is not None:
            await self._bind(manifest, spec, binding, binding.wanted, issued, existing)

    async def _bind(
        self,
        manifest: Manifest,
        spec: BrokerUserSpec,
        binding: Binding,
        wanted: BindingContent,
        issued: Issued,
        existing: SecretData | None,
    ) -> None:
        """Have the Secret as wanted. Once what comes next stands in it, that is what is issued."""
        if issued.next is not None and issued.next.slot == wanted.slot:
            overlap = seconds(spec.rotation.overlap) if spec.rotation is not None else issued.issue.overlap
            at = later_than(issued.issue, self._clock.now())
            issued = Issued(issued.next, Issue(wanted.slot, at, overlap, asked_of(manifest)))
        elif issued.credential.slot != wanted.slot:
            binding.wanted = None  # what was wanted has been overtaken
            self._changed(manifest.key)
            return
        data = wanted.render(issued.credential)
        if not self._same(existing, data, wanted, spec):
            name = secret_name(manifest.key, spec)
            written = await self._write(manifest, spec, name, data, wanted, existing, issued.issue)
            binding.written = replace(written, data={})
        binding.issued, binding.username = issued, wanted.username
        binding.version = self._version(wanted.digest, binding.issued_at)
        if binding.wanted is wanted:
            binding.wanted = None
        self._changed(manifest.key)

    @staticmethod
    def _same(
        existing: SecretData | None, data: Mapping[str, str], wanted: BindingContent, spec: BrokerUserSpec
    ) -> bool:
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
        wanted: BindingContent,
        existing: SecretData | None,
        issue: Issue,
    ) -> SecretData:
        labels = (spec.secret.labels if spec.secret is not None else None) or {}
        annotations = (spec.secret.annotations if spec.secret is not None else None) or {}
        return await self._secrets.write_secret(
            manifest.key.namespace,
            name,
            type=wanted.type,
            data=data,
            labels=labels,
            annotations={**annotations, **annotations_of(issue)},
            owner=Owner(manifest.key.kind, manifest.key.name, manifest.uid),
            expected=existing,
        )
