"""Where a BrokerUser's credentials come from: a Secret of the user's, the binding Secret they stand in, or made here.

Decides what is issued and when it was. Never writes a Secret; never decides when a new one is due (`core.rotation`).
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.api.meta import GROUP, ROTATE
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.api.values import seconds
from channel_operator.core.accepted import Credential
from channel_operator.core.model import Problem, Secret
from channel_operator.core.rotation import PLAIN, SLOTS, Issue, due_slot
from channel_operator.core.view import Manifest
from channel_operator.engine.certificates import client_certificate
from channel_operator.engine.clock import Clock
from channel_operator.engine.ports import SecretData, SecretStore
from channel_operator.errors import Blocked

__all__ = [
    "ANNOTATIONS",
    "ISSUED_AT",
    "TIME",
    "Credentials",
    "Issued",
    "annotations_of",
    "asked_of",
    "later_than",
    "misplaced_request",
    "time_of",
]

ISSUED_AT: Final = f"{GROUP}/issued-at"
SLOT: Final = f"{GROUP}/slot"
OVERLAP: Final = f"{GROUP}/overlap-seconds"
ASKED: Final = f"{GROUP}/rotated-for"
"""Annotations of a binding Secret: the state of a rotation, so that no crash and no other leader loses it."""
ANNOTATIONS: Final = "metadata.annotations"
"""The field that a misplaced request is told of."""
TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST: Final = 12
"""Digits of a number that is read from an annotation; whoever may edit the Secret can put anything there."""


class Issued(NamedTuple):
    """A credential with what is known of its issue. `next`: made, and not in the Secret yet."""

    credential: Credential
    issue: Issue
    next: Credential | None = None


def time_of(stamp: object) -> datetime | None:
    """Read a time as we write it; None for anything else."""
    try:
        return datetime.strptime(str(stamp), TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def annotations_of(issue: Issue) -> dict[str, str]:
    """Return how a binding Secret says what was issued."""
    found = {ISSUED_AT: issue.issued_at.strftime(TIME)} if issue.issued_at is not None else {}
    if issue.slot != PLAIN:
        found[SLOT] = issue.slot.removeprefix("_")
    if issue.overlap:
        found[OVERLAP] = f"{issue.overlap:.0f}"
    if issue.asked:
        found[ASKED] = issue.asked
    return found


def _issue_in(existing: SecretData) -> Issue:
    said = existing.annotations
    slot = "_" + said.get(SLOT, "")
    overlap = said.get(OVERLAP, "")
    return Issue(
        slot if slot in SLOTS else PLAIN,
        time_of(said.get(ISSUED_AT)),
        float(overlap) if overlap.isascii() and overlap.isdigit() and len(overlap) <= _LONGEST else 0.0,
        said.get(ASKED, ""),
    )


def asked_of(manifest: Manifest) -> str:
    """Return the value of the annotation that asks for new credentials."""
    return manifest.annotations.get(ROTATE, "")


def misplaced_request(manifest: Manifest, spec: BrokerUserSpec, issue: Issue) -> Problem | None:
    """Refuse by name what cannot be followed: new credentials for a user that brings its own."""
    asked = asked_of(manifest)
    if not asked or asked == issue.asked:
        return None
    if spec.password_secret_ref is not None:
        cure = "change the password in the Secret that spec.passwordSecretRef names"
    elif spec.authentication.certificate_secret_ref is not None:
        cure = "renew the certificate in the Secret that spec.authentication.certificateSecretRef names"
    else:
        return None
    text = f"{ANNOTATIONS}: {ROTATE} makes nothing new for a user that brings its own; {cure}, and remove it."
    return Problem(Reason.INVALID_SPEC, text, ConditionType.ACCEPTED, ANNOTATIONS)


class Credentials:
    """Finds the credential of a user. `existing` is always the user's own binding Secret, as it is now."""

    def __init__(self, secret_store: SecretStore, clock: Clock) -> None:
        self._secrets = secret_store
        self._clock = clock

    async def find(
        self, manifest: Manifest, spec: BrokerUserSpec, existing: SecretData | None, before: Issued | None, shown: Issue
    ) -> Issued:
        """Return what is issued. `before`: what this process found or made last; `shown`: what the status tells.

        Raises Blocked naming field, Secret and key.
        """
        issue = _issue_in(existing) if existing is not None else shown
        if spec.authentication.certificate_secret_ref is not None:
            return await self._certificate(manifest, spec.authentication.certificate_secret_ref.name, existing, issue)
        if spec.password_secret_ref is not None:
            own = await self._own_password(manifest, spec.password_secret_ref.name)
            return self._issued(own, existing, issue, before)
        asked, now = asked_of(manifest), self._now()
        if existing is None and shown.issued_at is None:
            # The very first: nothing was valid before it.
            overlap = seconds(spec.rotation.overlap) if spec.rotation is not None else 0.0
            issue = Issue(SLOTS[0] if spec.rotation is not None else PLAIN, None, overlap, asked)
        slot = due_slot(issue, spec.rotation, asked, now)
        if slot is None:
            return self._issued(None, existing, issue, before)
        if slot == issue.slot:
            if before is not None and before.issue.asked == asked:
                return before  # made already, on its way into the Secret
            return Issued(Credential(_generated(), slot=slot), Issue(slot, self._later_than(issue), 0.0, asked))
        found = self._issued(None, existing, issue, before)
        return found._replace(next=self._next(before, slot, _generated()))

    def _issued(self, given: Secret | None, existing: SecretData | None, issue: Issue, before: Issued | None) -> Issued:
        """Return the password that is in use, dated from when it first stood in the binding Secret."""
        kept = _entry(existing, "password")
        if given is not None and issue.slot != PLAIN:
            # A user that rotated until now and brings its own: the slot stays until the other stands in the Secret.
            found = self._issued(None, existing, issue, before)
            return found._replace(next=self._next(before, PLAIN, given))
        password = given or (kept if kept is not None and kept.reveal() else None)
        if password is None:
            was = before.credential.password if before is not None and before.issue.slot == issue.slot else None
            password = was or _generated()
        if kept != password or issue.issued_at is None:
            same = before is not None and before.credential.password == password and kept != password
            at = before.issue.issued_at if before is not None and same else None
            issue = issue._replace(issued_at=at or self._later_than(issue))
        return Issued(Credential(password, slot=issue.slot), issue)

    @staticmethod
    def _next(before: Issued | None, slot: str, password: Secret) -> Credential:
        """Return what comes next; what was made for it already stays, since the broker may know it by now."""
        made = before.next if before is not None else None
        return made if made is not None and made.slot == slot else Credential(password, slot=slot)

    async def _certificate(self, manifest: Manifest, name: str, existing: SecretData | None, issue: Issue) -> Issued:
        field, namespace = "spec.authentication.certificateSecretRef", manifest.key.namespace
        secret = await self._secrets.read_secret(namespace, name)
        if secret is None:
            raise Blocked(
                f'{field}: there is no Secret "{namespace}/{name}" (yet). Create it, or correct the reference.',
                reason=Reason.REF_NOT_FOUND,
                field=field,
            )
        certificate, key = client_certificate(secret.data, f'{field}: Secret "{namespace}/{name}"', self._clock.now())
        kept = _entry(existing, "tls.crt")
        if kept is None or kept.reveal() != certificate or issue.issued_at is None:
            issue = issue._replace(issued_at=self._later_than(issue))
        return Issued(Credential(None, certificate, key), issue._replace(slot=PLAIN, overlap=0.0))

    async def _own_password(self, manifest: Manifest, name: str) -> Secret:
        field = "spec.passwordSecretRef"
        own = await self._secrets.read_secret(manifest.key.namespace, name)
        value = own.data.get("password") if own is not None else None
        if value is None or not value.reveal():
            what = "there is no such Secret" if own is None else 'it has no key "password", or an empty one'
            raise Blocked(
                f'{field}: no password in Secret "{manifest.key.namespace}/{name}": {what}. Correct it.',
                reason=Reason.REF_NOT_FOUND,
                field=field,
            )
        return value

    def _now(self) -> datetime:
        """Return the wall time in whole seconds, as the annotations have it."""
        return self._clock.now().replace(microsecond=0)

    def _later_than(self, issue: Issue) -> datetime:
        return later_than(issue, self._clock.now())


def later_than(issue: Issue, now: datetime) -> datetime:
    """Return the time of the next issue, in whole seconds as the annotations have it.

    Two of one second would pass for one: nobody would be told, and the second might reach no Secret.
    """
    now = now.replace(microsecond=0)
    return now if issue.issued_at is None else max(now, issue.issued_at + timedelta(seconds=1))


def _generated() -> Secret:
    return Secret(secrets.token_urlsafe(32))


def _entry(existing: SecretData | None, name: str) -> Secret | None:
    """Return an entry of a binding Secret; None also where somebody made it no text: then it is made anew."""
    try:
        return existing.data.get(name) if existing is not None else None
    except Blocked:
        return None
