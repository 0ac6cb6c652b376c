"""Compares what should be with what is. Decides what differs, what RabbitMQ cannot change, and what takes a right away.

Never decides whether a change may be made: adoption and ownership are the core's.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any, Final

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.access import CLOSING, parse
from channel_operator.brokers.rabbitmq.resources import (
    CONSISTENT_HASH,
    DEAD_LETTER_EXCHANGE,
    DELIVERY_LIMIT,
    HASH_HEADER,
    QUEUE_TYPE,
    Exchange,
    Permission,
    Queue,
    User,
)
from channel_operator.core.model import Difference, Resource, Secret

__all__ = ["diff", "same_password"]

_HASHES: Final[dict[str, str]] = {
    "": "sha256",
    "rabbit_password_hashing_sha256": "sha256",
    "rabbit_password_hashing_sha512": "sha512",
    "rabbit_password_hashing_md5": "md5",
}
_SALT_BYTES: Final = 4

_MANAGED: Final = frozenset(
    {
        DELIVERY_LIMIT,
        "x-consumer-timeout",
        "x-dead-letter-strategy",
        "x-delayed-retry-max",
        "x-delayed-retry-min",
        "x-delayed-retry-type",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-message-ttl",
        "x-overflow",
        "x-quorum-initial-group-size",
        "x-single-active-consumer",
    }
)
"""Arguments that fields of the manifest stand for; others on an existing queue are its maker's."""


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


_DEFAULTS: Final[dict[str, Any]] = {
    DELIVERY_LIMIT: -1,
    "x-dead-letter-strategy": "at-most-once",
    "x-delayed-retry-type": "disabled",
    "x-overflow": "drop-head",
    "x-single-active-consumer": False,
}


def _is_absent(name: str, value: Any) -> bool:
    """Whether stating the value is the same as leaving it out (an unlimited number of deliveries, drop-head)."""
    return value is None or (name in _DEFAULTS and value == _DEFAULTS[name])


def _argument_fields(desired: Queue, observed: Queue) -> list[str]:
    wanted, found = dict(desired.arguments), dict(observed.arguments)
    # Only queues made here carry this very argument, and only there is an unstated setting known to be a removed one.
    # On a queue that somebody else made, what the manifest does not state is its maker's choice.
    is_ours = DEAD_LETTER_EXCHANGE in wanted and found.get(DEAD_LETTER_EXCHANGE) == wanted[DEAD_LETTER_EXCHANGE]
    fields = []
    for name in sorted(wanted.keys() | (_MANAGED & found.keys())):
        want, have = wanted.get(name), found.get(name)
        if name == QUEUE_TYPE or name in desired.flexible or want == have:
            continue
        if _is_absent(name, want) and (_is_absent(name, have) or not is_ours):
            continue
        fields.append(f"{name} {_shown(have)} → {_shown(want)}")
    return fields


def _queue(desired: Queue, observed: Queue) -> Difference | None:
    fields = []
    if observed.type != desired.type:
        fields.append(f"type {observed.type} → {desired.type}")
    if observed.durable != desired.durable:
        fields.append(f"durable {observed.durable} → {desired.durable}")
    if observed.auto_delete != desired.auto_delete:
        fields.append(f"auto_delete {observed.auto_delete} → {desired.auto_delete}")
    if observed.type == desired.type and desired.arguments != observed.arguments:
        fields += _argument_fields(desired, observed)
    return Difference(tuple(fields), blocked=True) if fields else None


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
    return Difference(fields, blocked=True) if fields else None


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
    if observed.tags != desired.tags:
        # Desired tags are the operator's mark or, for a user it may adopt, what the user has: see `assemble`.
        tags = ", ".join(observed.tags)
        why = (
            f"it has the tags {tags}, and such a user is never taken over. Choose another username"
            if tags
            else "it was not made by this operator. Choose another username, or have the Broker's owner list this one "
            "in spec.adoptableUsers"
        )
        return Difference((why,), blocked=True, reason=Reason.ADOPTION_REFUSED)
    if desired.password is None:
        return None
    if observed.password is not None:
        same = observed.password == desired.password
    else:
        stored = observed.password_hash
        same = stored is not None and same_password(desired.password, stored, observed.algorithm)
    return None if same else Difference(("password",))


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
        case User(), User():
            return _user(desired, observed)
        case Permission(), Permission():
            return _permission(desired, observed)
        case _:
            return None
