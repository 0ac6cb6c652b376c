r"""Rights as RabbitMQ writes them down: one regular expression for each of configure, write and read per user.

Decides how sets of names become a pattern (`^(?:billing\.(?:a|b)|shop\.(?:c))$`) and back, what fits into the broker's
limit, and how the grants of many channels add up to one permission. Never decides who is granted what.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.names import main_of
from channel_operator.brokers.rabbitmq.resources import Permission
from channel_operator.core.model import (
    Assembled,
    Mode,
    Part,
    Refusal,
)

__all__ = [
    "CLOSING",
    "MAX_PATTERN_BYTES",
    "NOTHING",
    "Access",
    "assemble_permission",
    "escaped",
    "gives",
    "parse",
    "render",
]

MAX_PATTERN_BYTES: Final = 1024
"""RabbitMQ refuses longer permission patterns."""

NOTHING: Final = "^$"
"""Matches no queue and no exchange: none has an empty name (the default exchange is checked as `amq.default`)."""

CLOSING: Final = ""
"""The same to RabbitMQ. Written as the configure pattern of a permission that was just narrowed, until the user's
connections are closed: whoever comes after a crash in between sees that this is still to be done."""

_START: Final = "^(?:"
_END: Final = ")$"


class Access(NamedTuple):
    """What one channel grants one user: names it may publish to and names it may consume from."""

    write: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()


def escaped(text: str) -> str:
    """Escape for PCRE, which treats any character as itself after a backslash unless it is a letter or digit."""
    if text.isascii() and text.replace("-", "").replace("_", "").isalnum():
        return text
    return "".join(c if c.isalnum() or c in "-_" or not c.isascii() else "\\" + c for c in text)


def _split(name: str) -> tuple[str, str]:
    """Split at the last dot, which the namespace and what precedes it share: `billing.a` → `billing.`, `a`."""
    dot = name.rfind(".") + 1
    return name[:dot], name[dot:]


class _Pattern:
    """A set of names that knows, name by name, how many bytes its pattern takes."""

    __slots__ = ("groups", "size")

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {}
        self.size = len(_START) + len(_END) - 1  # one separator fewer than alternatives

    def cost(self, names: Iterable[str]) -> int:
        """Return the bytes that these names would add."""
        fresh: dict[str, set[str]] = {}
        added = 0
        for name in names:
            prefix, rest = _split(name)
            if rest in self.groups.get(prefix, ()) or rest in fresh.get(prefix, ()):
                continue
            if prefix and prefix not in self.groups and prefix not in fresh:
                # The first alternative of a group saves the separator that the group itself takes.
                added += _bytes(prefix) + len("(?:)")
            fresh.setdefault(prefix, set()).add(rest)
            added += _bytes(rest) + 1
        return added

    def add(self, names: Iterable[str]) -> None:
        """Take the names in."""
        names = list(names)
        self.size += self.cost(names)
        for name in names:
            prefix, rest = _split(name)
            self.groups.setdefault(prefix, set()).add(rest)

    def render(self) -> str:
        """Return the pattern."""
        if not self.groups:
            return NOTHING
        alternatives = []
        for prefix, rests in sorted(self.groups.items()):
            joined = "|".join(escaped(rest) for rest in sorted(rests))
            alternatives.append(f"{escaped(prefix)}(?:{joined})" if prefix else joined)
        return f"{_START}{'|'.join(alternatives)}{_END}"


def _bytes(text: str) -> int:
    return len(escaped(text).encode())


def render(names: Iterable[str]) -> str:
    """Return the pattern that matches exactly these names, anchored and factored by what they start with.

    The length is not checked here. The empty name cannot be expressed and no object has it: it is left out.
    """
    pattern = _Pattern()
    pattern.add(name for name in names if name)
    return pattern.render()


class _NotOursError(Exception):
    """The pattern has not the form that `render` gives."""


class _Reader:
    """Reads a pattern of our own form; anything else raises _NotOursError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def literal(self) -> str:
        """Read characters that stand for themselves, escaped ones included."""
        taken = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\\":
                self.at += 1
                char = self.text[self.at : self.at + 1]
                if not char or char.isalnum():
                    raise _NotOursError  # \d and the like are classes, not characters
            elif char.isascii() and not (char.isalnum() or char in "-_"):
                break
            taken.append(char)
            self.at += 1
        return "".join(taken)

    def skip(self, expected: str) -> bool:
        """Move past `expected` if it comes next."""
        if self.text.startswith(expected, self.at):
            self.at += len(expected)
            return True
        return False

    def alternatives(self) -> set[str]:
        """Read `prefix(?:a|b)|name|…` up to a closing parenthesis or the end."""
        names: set[str] = set()
        while True:
            prefix = self.literal()
            if self.skip("(?:"):
                names.update(prefix + rest for rest in self.alternatives())
                if not self.skip(")"):
                    raise _NotOursError
            else:
                names.add(prefix)
            if not self.skip("|"):
                return names


def parse(pattern: str) -> frozenset[str] | None:
    """Return the names that a pattern of our own form matches; None when somebody else wrote it.

    RabbitMQ takes an empty pattern as `^$`.
    """
    if pattern in {"", NOTHING}:
        return frozenset()
    if not (pattern.startswith(_START) and pattern.endswith(_END)):
        return None
    reader = _Reader(pattern[len(_START) : -len(_END)])
    try:
        names = reader.alternatives()
    except (_NotOursError, RecursionError):
        return None
    # No object has an empty name, so a pattern that admits one is not ours.
    return frozenset(names) if reader.at == len(reader.text) and "" not in names else None


def _kept(pattern: str, held_names: Collection[str]) -> list[str]:
    if not held_names:
        return []
    return sorted(name for name in parse(pattern) or () if main_of(name) in held_names)


def _held(parts: Sequence[Part], observed: Permission | None, held_names: Collection[str]) -> Assembled:
    """Take from a user on hold what no channel gives it any more, and give it nothing.

    Whoever writes the user's manifest must not keep by that what a channel's owner took back. A pattern of another
    making is left alone.
    """
    if observed is None:
        return Assembled(None, held=True)
    write, read = parse(observed.write), parse(observed.read)
    if write is None or read is None:
        return Assembled(None, held=True)
    says = {Mode.ASSERT, Mode.KEEP}
    given: list[Access] = [p.content for p in parts if p.mode in says and p.owner.kind is not Kind.BROKER_USER]
    kept_write = write & frozenset(_kept(observed.write, held_names)).union(*(access.write for access in given))
    kept_read = read & frozenset(_kept(observed.read, held_names)).union(*(access.read for access in given))
    if (kept_write, kept_read) == (write, read) and observed.configure != CLOSING:
        return Assembled(None, held=True)
    return Assembled(Permission(observed.user, NOTHING, render(kept_write), render(kept_read)))


def _still_there(access: Access, observed: Permission | None) -> Access:
    if observed is None:
        return Access()
    return Access(access.write & (parse(observed.write) or set()), access.read & (parse(observed.read) or set()))


def gives(part: Part, observed: Permission | None, *, whole: bool) -> bool:
    """Whether a user has any of what a channel's part grants it; `whole`: all of that."""
    there = _still_there(part.content, observed)
    return there == part.content if whole else any(there)


def assemble_permission(
    user: str, parts: Sequence[Part], observed: Permission | None, held_names: Collection[str]
) -> Assembled:
    """Add up what every channel grants one user.

    The user's own part decides whether there is a permission at all: without it nothing is touched; while it is on
    hold nothing is added, and what a channel takes back goes; withdrawn, the permission goes. Names of channels on
    hold stay as the broker has them, and come first; then the grants in the order of `since`. One that no longer fits
    the broker's limit is refused as a whole and the next is tried, so an older grant is never lost to a newer one.
    """
    own = [part for part in parts if part.owner.kind is Kind.BROKER_USER]
    if any(part.mode is Mode.HOLD for part in own):
        return _held(parts, observed, held_names)
    if not any(part.mode is Mode.ASSERT for part in own):
        return Assembled(None, held=not any(part.mode is Mode.WITHDRAW for part in own))
    write, read = _Pattern(), _Pattern()
    if observed is not None:
        write.add(_kept(observed.write, held_names))
        read.add(_kept(observed.read, held_names))
    refused = []
    for part in sorted(parts, key=lambda p: (p.mode is not Mode.KEEP, p.since, p.owner)):
        if part.mode not in {Mode.ASSERT, Mode.KEEP} or part.owner.kind is Kind.BROKER_USER:
            continue
        access: Access = part.content if part.mode is Mode.ASSERT else _still_there(part.content, observed)
        if (
            write.size + write.cost(access.write) > MAX_PATTERN_BYTES
            or read.size + read.cost(access.read) > MAX_PATTERN_BYTES
        ):
            refused.append(Refusal(part.owner, access))
            continue
        write.add(access.write)
        read.add(access.read)
    return Assembled(Permission(user, NOTHING, write.render(), read.render()), refused=tuple(refused))
