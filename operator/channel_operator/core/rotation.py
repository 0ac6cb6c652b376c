"""Decides when a user's password is replaced, for which of its native users, and when the former one goes.

A user with rotation alternates between two native users, its slots, so that old and new credentials are valid side by
side for a while. What was issued is handed in, and so is the time; never makes a password.
"""

from datetime import datetime
from typing import Final, NamedTuple

from channel_operator.api.brokeruser import Rotation
from channel_operator.api.values import seconds
from channel_operator.core.model import Removal

__all__ = ["PLAIN", "SLOTS", "Issue", "candidates", "due_slot", "family", "next_moment", "removal_of_former", "slot_of"]

SLOTS: Final = ("_a", "_b")
"""What the native names of the two slots end in; no name that a manifest can state ends so."""
PLAIN: Final = ""
"""The slot of a user without rotation: the name itself."""


class Issue(NamedTuple):
    """What is known of the credentials in a binding Secret.

    `overlap`: seconds for which those before them stay valid. `asked`: the value of the annotation `rotate` that they
    were made for, empty where they were not.
    """

    slot: str = PLAIN
    issued_at: datetime | None = None
    overlap: float = 0.0
    asked: str = ""


def family(username: str) -> tuple[str, ...]:
    """Return every native name that a user with a password may ever have."""
    return (username, *(username + slot for slot in SLOTS))


def candidates(name: str) -> set[str]:
    """Return the user names to which a native name may belong, itself among them."""
    return {name, *(name.removesuffix(slot) for slot in SLOTS)}


def slot_of(username: str, name: object) -> str | None:
    """Return the slot of a native name of this user, None when it is not one of its names."""
    return next((slot for slot in (PLAIN, *SLOTS) if name == username + slot), None)


def due_slot(issue: Issue, rotation: Rotation | None, asked: str, now: datetime) -> str | None:
    """Return the slot for which new credentials are to be made now, None while those that were issued stay.

    `asked`: the annotation's value. A user without rotation is its own slot: it gets another password at once.
    """
    is_asked = bool(asked) and asked != issue.asked
    if rotation is None:
        return PLAIN if issue.slot != PLAIN or is_asked else None
    if issue.slot == PLAIN:
        return SLOTS[0]
    if is_asked or _age(issue, now) >= seconds(rotation.every):
        return SLOTS[1 - SLOTS.index(issue.slot)]
    return None


def removal_of_former(issue: Issue, now: datetime) -> Removal | None:
    """Say how what was valid before this issue goes: not yet, once nobody is connected, or in any case."""
    age = _age(issue, now)
    if age < issue.overlap:
        return None
    return Removal.DELETE_IF_EMPTY if age < 2 * issue.overlap else Removal.DELETE


def next_moment(issue: Issue, rotation: Rotation | None, now: datetime, *, has_former: bool) -> float | None:
    """Return in how many seconds one of these answers changes by itself, None if never."""
    moments = [issue.overlap, 2 * issue.overlap] if has_former else []
    if rotation is not None:
        moments.append(seconds(rotation.every))
    age = _age(issue, now)
    return min((moment - age for moment in moments if moment > age), default=None)


def _age(issue: Issue, now: datetime) -> float:
    return (now - issue.issued_at).total_seconds() if issue.issued_at is not None else 0.0
