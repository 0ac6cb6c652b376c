"""Reverse indexes: from a namespace, a Broker or a reference to the keys that have to do with it.

Follows references as they are stated; never decides what one is good for.
"""

from collections.abc import Mapping
from typing import TypeVar

from channel_operator.api.meta import Kind
from channel_operator.core.model import Key
from channel_operator.core.view import Manifest

__all__ = ["Indexes", "drop"]

_Entry = TypeVar("_Entry", Key, str)


def drop(index: dict[_Entry, set[Key]], entry: _Entry, key: Key) -> None:
    """Take a key out; an entry without keys goes."""
    members = index.get(entry)
    if members is not None:
        members.discard(key)
        if not members:
            del index[entry]


class Indexes:
    """The reverse indexes of the objects that a store keeps in `objects`; an entry without keys is not there."""

    def __init__(self, objects: Mapping[Key, Manifest]) -> None:
        self._objects = objects
        self.dependants: dict[Key, set[Key]] = {}
        """Object → the objects that name it."""
        self.in_namespace: dict[str, set[Key]] = {}
        self.on_broker: dict[Key, set[Key]] = {}
        """Broker → the objects that belong to it."""

    def add(self, manifest: Manifest) -> None:
        """Enter an object by what it names now."""
        key = manifest.key
        self.in_namespace.setdefault(key.namespace, set()).add(key)
        for other in manifest.refs.others:
            self.dependants.setdefault(other, set()).add(key)
        if manifest.refs.broker is not None:
            self.on_broker.setdefault(manifest.refs.broker, set()).add(key)

    def remove(self, manifest: Manifest) -> None:
        """Take an object out, wherever the same manifest was entered."""
        key = manifest.key
        drop(self.in_namespace, key.namespace, key)
        for other in manifest.refs.others:
            drop(self.dependants, other, key)
        if manifest.refs.broker is not None:
            drop(self.on_broker, manifest.refs.broker, key)

    def granting_to(self, namespace: str) -> set[Key]:
        """Return the channels that name a user of a namespace: its labels can change their grants."""
        users = [k for k in self.in_namespace.get(namespace, ()) if k.kind is Kind.BROKER_USER]
        return {channel for user in users for channel in self.dependants.get(user, ())}

    def waiting_for(self, *versions: Manifest | None) -> set[Key]:
        """Return what an object names or named and what is being deleted: that may wait for it."""
        named = [self._objects.get(other) for one in versions if one is not None for other in one.refs.others]
        return {other.key for other in named if other is not None and other.deleted is not None}

    def leading_to(self, key: Key) -> set[Key]:
        """Return the queues whose dead letters come to this one, however far: a circle may close or open here."""
        found: set[Key] = set()
        pending = [key] if key.kind is Kind.QUEUE else []
        while pending:
            for source in self.dependants.get(pending.pop(), ()):
                if source.kind is Kind.QUEUE and source not in found:
                    found.add(source)
                    pending.append(source)
        return found
