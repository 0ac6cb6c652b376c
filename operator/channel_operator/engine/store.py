"""What is known of Kubernetes: manifests and namespaces, with reverse indexes and name claims kept in step.

Decides which keys a change makes dirty, and drops echoes of our own writes. Never does I/O; it is filled from a full
LIST before the watches start, so that a partly filled store is never mistaken for deletions.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import Kind
from channel_operator.core import references
from channel_operator.core.access import admits, claim_of
from channel_operator.core.model import Capabilities, Key
from channel_operator.core.view import Claim, Manifest, NamespaceInfo
from channel_operator.engine.indexes import Indexes
from channel_operator.engine.manifests import Body, Known, fingerprint, key_of, manifest_of, namespace_of
from channel_operator.engine.nameclaims import NameClaims
from channel_operator.engine.versions import Versions, older

__all__ = ["Known", "Store"]

Listener = Callable[[Collection[Key]], None]


class Store:
    """Implements `core.view.View`. `listener` is told the keys that have to be looked at again."""

    def __init__(self) -> None:
        self.listener: Listener = lambda _keys: None
        self._objects: dict[Key, Manifest] = {}
        self._namespaces: dict[str, NamespaceInfo] = {}
        self._indexes = Indexes(self._objects)
        self._claims = NameClaims(self._objects, self._is_admitted)
        self._capabilities: dict[Key, Capabilities] = {}
        self._own_users: dict[Key, str] = {}
        self._versions = Versions()

    # -- looking up (View) ---------------------------------------------------------------------------------------

    def get(self, key: Key) -> Manifest | None:
        """Return the manifest, or None."""
        return self._objects.get(key)

    def dependants(self, key: Key) -> Collection[Key]:
        """Return the objects that name this one."""
        return self._indexes.dependants.get(key, set())

    def namespace(self, name: str) -> NamespaceInfo | None:
        """Return the namespace, or None."""
        return self._namespaces.get(name)

    def holder(self, claim: Claim) -> Key | None:
        """Return the claimant to whom a name belongs."""
        return self._claims.holder(claim)

    def capabilities(self, broker: Key) -> Capabilities | None:
        """Return what was last learnt of a broker."""
        return self._capabilities.get(broker)

    def own_user(self, broker: Key) -> str | None:
        """Return the operator's own user on a broker."""
        return self._own_users.get(broker)

    def logins(self, user: Key) -> tuple[str, ...] | None:
        """Return the native users that a BrokerUser stands for."""
        return self._claims.logins.get(user)

    def brokers_with_identity(self, identity: str) -> Collection[Manifest]:
        """Return the Broker objects that lead to one identity."""
        keys = [key for key, known in self._capabilities.items() if known.identity == identity]
        return [self._objects[key] for key in keys if key in self._objects]

    def on_broker(self, broker: Key) -> Collection[Key]:
        """Return the keys of all objects that name a Broker."""
        return self._indexes.on_broker.get(broker, set())

    def brokers(self) -> set[Key]:
        """Return every Broker that exists or is named by an object."""
        return {key for key in self._objects if key.kind is Kind.BROKER} | self._indexes.on_broker.keys()

    def keys(self) -> Collection[Key]:
        """Return all keys."""
        return self._objects.keys()

    def usernames(self) -> set[str]:
        """Return every user name that any BrokerUser stands for, on whatever broker."""
        return self._claims.usernames()

    # -- changes -------------------------------------------------------------------------------------------------

    def event(self, event_type: str | None, body: Body) -> None:
        """Take in a watch event of one of our kinds or of a Namespace, and tell the listener what is dirty."""
        if body["kind"] == "Namespace":
            dirty = self._namespace_event(event_type, body)
        elif event_type == "DELETED":
            dirty = self._removed(key_of(body), body["metadata"]["uid"])
        else:
            dirty = self._changed(body)
        if dirty:
            self.listener(dirty)

    def knows(self, kind: str, version: str) -> bool:
        """Whether an event of this version would say nothing new: the echo of a write, or a repeated list."""
        return self._versions.knows(kind, version)

    def snapshot(self) -> Known:
        """Return what is known now: taken before a LIST, it tells deletions from what came in meanwhile."""
        return Known({key: manifest.uid for key, manifest in self._objects.items()}, frozenset(self._namespaces))

    def replace(self, bodies: Collection[Body], known: Known) -> None:
        """Take in a full LIST. What was `known` before it was begun and is not in it has gone."""
        for body in bodies:
            self.event(None, body)
        self.keep_only(bodies, known)

    def keep_only(self, bodies: Iterable[Body], known: Known) -> None:
        """Drop what a complete LIST (metadata is enough) does not contain: deletions that the watch missed."""
        keys: dict[Key, str] = {}
        namespaces: set[str] = set()
        for body in bodies:
            meta = body["metadata"]
            if body["kind"] == "Namespace":
                namespaces.add(meta["name"])
            else:
                keys[key_of(body)] = meta["uid"]
        dirty: set[Key] = set()
        for key, uid in known.uids.items():
            if keys.get(key) != uid:
                dirty |= self._removed(key, uid)
        for name in known.namespaces - namespaces:
            if self._namespaces.pop(name, None) is not None:
                dirty |= self._indexes.in_namespace.get(name, set())
        if dirty:
            self.listener(dirty)

    def wrote(
        self,
        key: Key,
        uid: str,
        resource_version: str,
        *,
        status: Mapping[str, Any] | None = None,
        finalizers: tuple[str, ...] | None = None,
        annotations: Mapping[str, str] | None = None,
        guarded: bool = False,
        seen: Body | None = None,
    ) -> None:
        """Note what we wrote ourselves, so that its echo changes nothing.

        `guarded`: the write was one of exactly the version known before. `seen`: the object as the answer showed it.
        Only by one of them is it sure that nothing of somebody else's came between; else the watch has to tell.
        """
        manifest = self._objects.get(key)
        if manifest is None or manifest.uid != uid or older(resource_version, manifest.resource_version):
            return
        before, manifest.resource_version = manifest.resource_version, resource_version
        whole = guarded and self._versions.knows(key.kind, before)
        if status is not None:
            manifest.status = status
        if finalizers is not None:
            manifest.finalizers = finalizers
        if annotations is not None:
            manifest.annotations = annotations
        if seen is not None:
            after = manifest_of(seen, manifest)
            whole = fingerprint(after) == fingerprint(manifest) and after.status == manifest.status
        self._versions.move(key.kind, before, resource_version if whole else None)

    def learnt(self, broker: Key, capabilities: Capabilities, own_user: str) -> None:
        """Keep what a session found out; the names of users may now be claimed in another space."""
        if self._capabilities.get(broker) == capabilities and self._own_users.get(broker) == own_user:
            return
        before = self._capabilities.get(broker)
        self._capabilities[broker] = capabilities
        self._own_users[broker] = own_user
        brokerless = [key for key, manifest in self._objects.items() if manifest.refs.broker is None]
        dirty = self._reclaim_all(broker) | set(self.on_broker(broker)) | self._reroute(brokerless)
        if before is None or before.identity != capabilities.identity:
            dirty |= {m.key for m in self.brokers_with_identity(capabilities.identity)} - {broker}
        self.listener(dirty)

    def stands_for(self, user: Key, names: tuple[str, ...]) -> set[Key]:
        """Keep the native users that a BrokerUser stands for; return who has to look again."""
        if not self._claims.stands_for(user, names):
            return set()
        self.listener(dirty := self._reclaim(user) | self._indexes.dependants.get(user, set()))
        return dirty

    # -- inside --------------------------------------------------------------------------------------------------

    def _namespace_event(self, event_type: str | None, body: Body) -> set[Key]:
        info = namespace_of(body)
        if event_type == "DELETED":
            self._namespaces.pop(info.name, None)
        elif self._namespaces.get(info.name) == info:
            return set()
        else:
            self._namespaces[info.name] = info
        inside = set(self._indexes.in_namespace.get(info.name, set()))
        # A deleted Topic waits for those only that it still admits.
        waiting = {
            other
            for key in inside
            if key.kind is Kind.SUBSCRIPTION
            for other in self._indexes.waiting_for(self._objects[key])
        }
        rivals = self._with_dependants(self._claims.rivals(inside))
        return inside | waiting | self._indexes.granting_to(info.name) | rivals

    def _is_admitted(self, manifest: Manifest) -> bool:
        """Whether the Broker of an object admits its namespace."""
        broker = self._objects.get(manifest.refs.broker) if manifest.refs.broker is not None else None
        if broker is None or not isinstance(broker.spec, BrokerSpec):
            return False
        return admits(broker.spec.allowed_namespaces, broker.key.namespace, manifest.key.namespace, self)

    def _changed(self, body: Body) -> set[Key]:
        key = key_of(body)
        before = self._objects.get(key)
        if before is not None and older(body["metadata"]["resourceVersion"], before.resource_version):
            return set()
        after = manifest_of(body, before)
        self._versions.move(key.kind, before.resource_version if before else None, after.resource_version)
        if before is not None and fingerprint(before) == fingerprint(after):
            foreign_status = before.status != after.status
            before.resource_version = after.resource_version
            before.status = after.status
            return {key, *self._reroute([key])} if foreign_status else set()
        dirty = self._indexes.leading_to(key)
        dirty |= self._unlink(before) if before is not None else set()
        self._objects[key] = after
        dirty |= self._link(after)
        affects_others = before is None or before.uid != after.uid or before.deleted != after.deleted
        if affects_others or before is None or before.generation != after.generation or key.kind is Kind.BROKER:
            dirty |= self._indexes.dependants.get(key, set())
        if key.kind is Kind.BROKER:
            dirty |= self._reclaim_all(key) | set(self.on_broker(key))
            dirty |= self._with_dependants(self._claims.rivals(self.on_broker(key)))
        return dirty | {key} | self._reroute(self.dependants(key)) | self._indexes.waiting_for(before, after)

    def _removed(self, key: Key, uid: str) -> set[Key]:
        before = self._objects.get(key)
        if before is None or before.uid != uid:
            return set()
        dirty = self._indexes.leading_to(key) | self._unlink(before)
        del self._objects[key]
        self._versions.move(key.kind, before.resource_version, None)
        self._claims.logins.pop(key, None)
        dirty |= self._indexes.dependants.get(key, set()) | {key}
        if key.kind is Kind.BROKER:
            known = self._capabilities.pop(key, None)
            if known is not None:  # a younger Broker of the same virtual host may go on with it
                dirty |= {m.key for m in self.brokers_with_identity(known.identity)}
            self._own_users.pop(key, None)
            dirty |= self._reclaim_all(key) | set(self.on_broker(key))
        return dirty | self._reroute(self.dependants(key)) | self._indexes.waiting_for(before, None)

    def _reroute(self, keys: Iterable[Key]) -> set[Key]:
        """Move Subscriptions that now belong to another Broker, since their Topic came, went or moved."""
        dirty: set[Key] = set()
        for key in [key for key in keys if key.kind is Kind.SUBSCRIPTION]:
            manifest = self._objects[key]
            if references.broker_of(manifest, self) != manifest.refs.broker:
                dirty |= self._unlink(manifest) | self._link(manifest) | {key}
        return dirty

    def _link(self, manifest: Manifest) -> set[Key]:
        key = manifest.key
        if key.kind is Kind.SUBSCRIPTION:
            manifest.refs = replace(manifest.refs, broker=references.broker_of(manifest, self))
        self._indexes.add(manifest)
        return self._reclaim(key)

    def _unlink(self, manifest: Manifest) -> set[Key]:
        self._indexes.remove(manifest)
        return self._with_dependants(self._claims.drop(manifest.key))

    def _reclaim(self, key: Key) -> set[Key]:
        """Claim the name that an object now stands for; everybody who wanted it looks again."""
        return self._with_dependants(self._claims.put(key, claim_of(self._objects[key], self)))

    def _with_dependants(self, rivals: Collection[Key]) -> set[Key]:
        """Return these and the channels that name them: who holds a name decides what those may grant."""
        return set(rivals).union(*(self._indexes.dependants.get(rival, set()) for rival in rivals))

    def _reclaim_all(self, broker: Key) -> set[Key]:
        dirty: set[Key] = set()
        for key in list(self.on_broker(broker)):
            dirty |= self._reclaim(key)
        return dirty
