"""Decides whether deletions and withdrawn consents may be carried out, or wait for a person.

A wrong prune or a mistyped selector must not take many queues or rights with it: what exceeds the Broker's allowance
within its window is held back as a whole, with all that comes after it, until somebody confirms exactly this set by
its token. Pure: what is pending, what was let through and the time are handed in; what must survive a restart is a
`BrakeState`, in the form of `status.brake`. Never decides how something is held back.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from channel_operator.api.broker import Brake
from channel_operator.api.status_access import MAX_PASSING, MAX_RECENT
from channel_operator.api.values import seconds

__all__ = ["BrakeState", "Pending", "Spent", "Toll", "decide", "mark_of"]

_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"


def mark_of(*words: str) -> str:
    """Return a short name for one thing that may be held back, the same after a restart: 12 hexadecimal digits."""
    return hashlib.blake2b("\0".join(words).encode(), digest_size=6).hexdigest()


class Toll(NamedTuple):
    """How much something counts towards the allowance."""

    deletions: int = 0
    revocations: int = 0


Pending = Mapping[str, Toll]
"""What is about to be done: mark → what it counts."""


class Spent(NamedTuple):
    """What was let through at one moment."""

    at: datetime
    toll: Toll


@dataclass(frozen=True, slots=True)
class BrakeState:
    """What the brake remembers. `token` None: it is not engaged.

    `passing`: marks that were let through and are not carried out yet; they are never counted or held again.
    `recent`: what was let through within the window, oldest first; what a person released is not in it.
    `waiting`: how much is held back.
    """

    token: str | None = None
    passing: frozenset[str] = frozenset()
    recent: tuple[Spent, ...] = ()
    waiting: Toll = field(default_factory=Toll)

    @property
    def engaged(self) -> bool:
        """Whether anything is held back."""
        return self.token is not None

    @classmethod
    def read(cls, status: Mapping[str, Any] | None) -> "BrakeState":
        """Read `status.brake`."""
        if not status:
            return cls()
        recent = tuple(
            Spent(datetime.fromisoformat(entry["time"]), Toll(entry.get("deletions", 0), entry.get("revocations", 0)))
            for entry in status.get("recent") or ()
        )
        waiting = Toll(status.get("deletions", 0), status.get("revocations", 0))
        token = status.get("token") if status.get("engaged") else None
        return cls(token, frozenset(status.get("passing") or ()), recent, waiting)

    def status(self) -> dict[str, Any] | None:
        """Return `status.brake`; None when there is nothing to remember."""
        if self == BrakeState():
            return None
        recent = [
            {"time": s.at.strftime(_FORM), "deletions": s.toll.deletions, "revocations": s.toll.revocations}
            for s in self.recent
        ]
        held = {"deletions": self.waiting.deletions, "revocations": self.waiting.revocations} if self.engaged else {}
        status = {
            "engaged": self.engaged,
            "token": self.token,
            **held,
            "recent": recent or None,
            "passing": sorted(self.passing)[:MAX_PASSING] or None,
        }
        return {name: value for name, value in status.items() if value is not None}


def decide(
    pending: Pending, before: BrakeState, brake: Brake, *, asked: str | None, now: datetime, nonce: str
) -> BrakeState:
    """Decide on everything that is about to be done; what is in `passing` afterwards may be done.

    `asked`: the token that somebody confirmed. `nonce`: starts the token of a newly engaged brake, so that an old
    token never fits again.
    """
    passing = before.passing & pending.keys()
    rest = {mark: toll for mark, toll in pending.items() if mark not in passing}
    recent = _within(before.recent, now - timedelta(seconds=seconds(brake.window)))
    state = BrakeState(None, passing, recent)
    if not rest:
        return state
    due = _sum(rest.values())
    if before.token is not None:
        token = _token(before.token.partition("-")[0], rest)
        if asked == token == before.token:
            return replace(state, passing=passing | rest.keys())
        return replace(state, token=token, waiting=due)
    total = _sum([due, *(spent.toll for spent in recent)])
    too_much = due.deletions and total.deletions > brake.max_deletions
    if too_much or (due.revocations and total.revocations > brake.max_revocations):
        return replace(state, token=_token(nonce, rest), waiting=due)
    return replace(state, passing=passing | rest.keys(), recent=_with(recent, Spent(now, due)))


def _token(nonce: str, marks: Collection[str]) -> str:
    return f"{nonce}-{mark_of(*sorted(marks))}"


def _sum(tolls: Iterable[Toll]) -> Toll:
    each = list(tolls)
    return Toll(sum(toll.deletions for toll in each), sum(toll.revocations for toll in each))


def _within(recent: tuple[Spent, ...], since: datetime) -> tuple[Spent, ...]:
    return tuple(spent for spent in recent if spent.at > since)


def _with(recent: tuple[Spent, ...], spent: Spent) -> tuple[Spent, ...]:
    """Add an entry. The list stays short: its oldest entries are taken together, as if they were the later of them."""
    # A status holds full seconds.
    entries = [*recent, spent._replace(at=spent.at.replace(microsecond=0))]
    while len(entries) > 1 and entries[-1].at == entries[-2].at:
        last, earlier = entries.pop(), entries.pop()
        entries.append(Spent(last.at, _sum([earlier.toll, last.toll])))
    while len(entries) > MAX_RECENT:
        first, second = entries.pop(0), entries.pop(0)
        entries.insert(0, Spent(second.at, _sum([first.toll, second.toll])))
    return tuple(entries)
