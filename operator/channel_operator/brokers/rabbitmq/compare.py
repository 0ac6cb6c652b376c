"""Compares what should be with what is. Decides what differs, what RabbitMQ cannot change, and what takes a right away.

Never decides whether a change may be made: adoption and ownership are the core's.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.access import CLOSING, parse
from channel_operator.brokers.rabbitmq.arguments import STREAM, immutable
from channel_operator.brokers.rabbitmq.names import main_of
from channel_operator.brokers.rabbitmq.policies import difference
from channel_operator.brokers.rabbitmq.resources import (
    CONSISTENT_HASH,
    HASH_HEADER,
    SUPER_STREAM,
    Exchange,
    Permission,
    Policy,
    Queue,
    User,
)
from channel_operator.brokers.rabbitmq.site import is_made_by
from channel_operator.core.model import Difference, Resource, Secret

__all__ = ["diff", "same_password"]

_HASHES: Final[dict[str, str]] = {
    "": "sha256",
    "rabbit_password_hashing_sha256": "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}
_SALT_BYTES: Final = 4


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


def _queue(desired: Queue, observed: Queue) -> Difference | None:
    fields = []
    if observed.type != desired.type:
        fields.append(f"type {observed.type} → {desired.type}")
    if observed.durable != desired.durable:
        fields.append(f"durable {observed.durable} → {desired.durable}")
    if observed.auto_delete != desired.auto_delete:
        fields.append(f"auto_delete {observed.auto_delete} → {desired.auto_delete}")
    recreatable = not fields and desired.type != STREAM and main_of(desired.name) == desired.name
    if observed.type == desired.type and (desired.arguments != observed.arguments or desired.by_policy):
        fields += immutable(desired, observed)
    return Difference(tuple(fields), blocked=True, recreatable=recreatable) if fields else None


def _exchange(desired: Exchange, observed: Exchange) -> Difference | None:
    fields = tuple(
        f"{name} {getattr(observed, name)} → {getattr(desired, name)}"
        for name in ("type", "durable", "auto_delete", "internal")
        if getattr(observed, name) != getattr(desired, name)
    )
    if not fields and desired.type == CONSISTENT_HASH:
        # Two exchanges that hash different keys are the same to RabbitMQ: it does not compare this argument.
        want, have = (dict(one.arguments).get(HASH_HEADER) for one in (desired, observed))
        fields = (f"{HASH_HEADER} {_shown(have)} → {_shown(want)}",) if want != have else ()
    if not fields and (SUPER_STREAM, True) in desired.arguments and (SUPER_STREAM, True) not in observed.arguments:
        fields = ("it is no super stream",)
    return Difference(fields, blocked=True) if fields else None


def _policy(desired: Policy, observed: Policy) -> Difference | None:
    fields = difference(desired, observed)
    return Difference(fields) if fields else None


def same_password(password: Secret, stored: Secret, algorithm: str) -> bool:
    """Whether a salted hash as RabbitMQ stores it (base64 of 4 bytes of salt, then the digest) is this password's.

    An unknown algorithm or a damaged hash is not the same.
    """
    name = _HASHES.get(algorithm)
    if name is None:
        return False
    try:
        raw = base64.b64decode(stored.reveal(), validate=True)
    except (binascii.Error, ValueError):
        return False
    salt, digest = raw[:_SALT_BYTES], raw[_SALT_BYTES:]
    if not digest:
        return False
    computed = hashlib.new(name, salt + password.reveal().encode(), usedforsecurity=False).digest()
    return hmac.compare_digest(computed, digest)


def _user(desired: User, observed: User) -> Difference | None:
    fields: tuple[str, ...] = ()
    if observed.tags != desired.tags and any(is_made_by(tag, observed.tags) for tag in desired.tags):
        # Somebody added them to a user of ours; left alone, a tag such as administrator would give it the broker.
        fields = (f"tags without {', '.join(tag for tag in observed.tags if tag not in desired.tags)}",)
    elif observed.tags != desired.tags:
        # Desired tags are the operator's mark or, for a user it may adopt, what the user has: see `assemble`.
        tags = ", ".join(observed.tags)
        why = (
            f"it has the tags {tags}, and such a user is never taken over. Choose another username"
            if tags
            else "it was not made by this operator. Choose another username, or have the Broker's owner list this one "
            "in spec.adoptableUsers"
        )
        return Difference((why,), blocked=True, reason=Reason.ADOPTION_REFUSED)
    if not _same_login(desired, observed):
        return Difference((*fields, "password"), narrows=bool(fields))
    return Difference(fields, narrows=True) if fields else None


def _same_login(desired: User, observed: User) -> bool:
    if desired.has_no_password:
        return observed.has_no_password
    if desired.password is None:
        return True
    if observed.password is not None:
        return observed.password == desired.password
    stored = observed.password_hash
    return stored is not None and same_password(desired.password, stored, observed.algorithm)


def _names(desired: str, observed: str) -> tuple[str, bool]:
    """Say what changes in a pattern, and whether something is taken away."""
    wanted, found = parse(desired) or frozenset(), parse(observed)
    if found is None:
        return "replaces a pattern that is not the operator's", True
    added = [f"+{name}" for name in sorted(wanted - found)]
    removed = [f"-{name}" for name in sorted(found - wanted)]
    return " ".join(added + removed) or "the same names, written otherwise", bool(removed)


def _permission(desired: Permission, observed: Permission) -> Difference | None:
    fields, narrows = [], False
    for what in ("configure", "write", "read"):
        want, have = getattr(desired, what), getattr(observed, what)
        if what == "configure" and have == CLOSING:
            fields.append("open connections are still to be closed")
            narrows = True
            continue
        if want == have or (not parse(want) and parse(have) == frozenset()):
            continue
        text, taken = _names(want, have)
        fields.append(f"{what} {text}")
        narrows = narrows or taken
    return Difference(tuple(fields), narrows=narrows) if fields else None


def diff(desired: Resource, observed: Resource) -> Difference | None:
    """Compare two objects of one id; None = nothing to do. A binding is its id, so it cannot differ."""
    match desired, observed:
        case Queue(), Queue():
            return _queue(desired, observed)
        case Exchange(), Exchange():
            return _exchange(desired, observed)
        case Policy(), Policy():
            return _policy(desired, observed)
        case User(), User():
            return _user(desired, observed)
        case Permission(), Permission():
            return _permission(desired, observed)
        case _:
            return None
