"""Reverse indexes: from a namespace, a Broker or a reference to the keys that have to do with it. Decides nothing."""

from typing import TypeVar

from channel_operator.core.model import Key

__all__ = ["drop"]

_Entry = TypeVar("_Entry", Key, str)


def drop(index: dict[_Entry, set[Key]], entry: _Entry, key: Key) -> None:
    """Take a key out; an entry without keys goes."""
    members = index.get(entry)
    if members is not None:
        members.discard(key)
        if not members:
            del index[entry]
