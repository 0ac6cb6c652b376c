"""The objects of a Kubernetes API server in memory, as users make, change and delete them.

The rules that the engine relies on hold: resourceVersions, generations, deletion that waits for finalizers, garbage
collection of owned Secrets, watches that tell of every change in order.
"""

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from channel_operator.api.meta import API_VERSION, Kind
from channel_operator.core.model import Key, Secret
from channel_operator.engine.clock import FakeClock
from channel_operator.engine.ports import Body, SecretData

Watcher = Callable[[str | None, Body], None]
Spec = Mapping[str, Any]


class Told(NamedTuple):
    """One Kubernetes Event."""

    key: Key
    reason: str
    message: str
    warning: bool


class Write(NamedTuple):
    """One write that the operator made, as the tests count them."""

    verb: str
    """`metadata`, `status` or `secret`."""
    key: Key


@dataclass
class KubeObjects:
    """Objects and Secrets, and what users and tests do with them."""

    clock: FakeClock
    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    namespaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[tuple[str, str], SecretData] = field(default_factory=dict)
    config_maps: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    events: list[Told] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    quiet: bool = False
    """Watches are cut: nobody is told of changes until they are listed again."""
    _version: int = 100
    _uids: int = 0
    _watchers: list[Watcher] = field(default_factory=list)

    # -- what users do -------------------------------------------------------------------------------------------

    def watch(self, watcher: Watcher) -> None:
        """Have somebody told of every change."""
        self._watchers.append(watcher)

    def unwatch(self) -> None:
        """Cut all watches for good."""
        self._watchers.clear()

    def namespace(self, name: str, labels: Mapping[str, str] | None = None, **annotations: str) -> None:
        """Make or change a namespace."""
        known = name in self.namespaces
        meta = {
            "name": name,
            "uid": f"ns-{name}",
            "labels": dict(labels or {}),
            "annotations": {f"channel-operator.dev/{k.replace('_', '-')}": v for k, v in annotations.items()},
            "resourceVersion": self._next(),
        }
        self.namespaces[name] = {"kind": "Namespace", "apiVersion": "v1", "metadata": meta}
        self._tell("MODIFIED" if known else "ADDED", self.namespaces[name])

    def apply(self, kind: Kind, namespace: str, name: str, spec: Spec, annotations: Spec | None = None) -> Key:
        """Create an object, or replace its spec (and, where given, its annotations)."""
        key = Key(kind, namespace, name)
        if namespace not in self.namespaces:
            self.namespace(namespace)
        found = self.objects.get(key)
        if found is None:
            self._uids += 1
            found = {
                "apiVersion": API_VERSION,
                "kind": str(kind),
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": f"uid-{self._uids:04}",
                    "generation": 1,
                    "creationTimestamp": self._now(),
                    "annotations": dict(annotations or {}),
                    "finalizers": [],
                },
                "spec": copy.deepcopy(dict(spec)),
                "status": {"observedGeneration": -1},
            }
            self.objects[key] = found
            self._changed(key, "ADDED")
            return key
        if found["spec"] != spec:
            found["spec"] = copy.deepcopy(dict(spec))
            found["metadata"]["generation"] += 1
        if annotations is not None:
            found["metadata"]["annotations"].update(annotations)
        self._changed(key, "MODIFIED")
        return key

    def edit(self, key: Key, **fields: Any) -> None:
        """Change top-level fields of a spec; None takes one away."""
        spec = {**self.objects[key]["spec"], **fields}
        self.apply(key.kind, key.namespace, key.name, {k: v for k, v in spec.items() if v is not None})

    def annotate(self, key: Key, **annotations: str | None) -> None:
        """Set annotations of our group (`reconcile_at="1"`); None takes one away."""
        meta = self.objects[key]["metadata"]
        for name, value in annotations.items():
            full = f"channel-operator.dev/{name.replace('_', '-')}"
            if value is None:
                meta["annotations"].pop(full, None)
            else:
                meta["annotations"][full] = value
        self._changed(key, "MODIFIED")

    def write_status_by_hand(self, key: Key, status: Spec) -> None:
        """Replace a status as somebody else would who may, past every check."""
        self.objects[key]["status"] = copy.deepcopy(dict(status))
        self._changed(key, "MODIFIED")

    def delete(self, key: Key) -> None:
        """Ask for deletion: finalizers hold the object up."""
        meta = self.objects[key]["metadata"]
        if meta["finalizers"]:
            if "deletionTimestamp" not in meta:
                meta["deletionTimestamp"] = self._now()
                meta["generation"] += 1
                self._changed(key, "MODIFIED")
            return
        self._remove(key)

    def vanish(self, key: Key) -> None:
        """Take an object away whatever its finalizers say, as an administrator can."""
        self._remove(key)

    def secret(self, namespace: str, name: str, **data: str) -> None:
        """Make or replace a Secret by hand."""
        values = {k.replace("__", "."): Secret(v) for k, v in data.items()}
        self.secrets[namespace, name] = SecretData(
            f"secret-{name}", self._next(), "Opaque", frozenset(), {}, {}, values
        )

    # -- what tests look at --------------------------------------------------------------------------------------

    def status(self, key: Key) -> dict[str, Any]:
        """Return an object's status."""
        status: dict[str, Any] = self.objects[key]["status"]
        return status

    def condition(self, key: Key, kind: str = "Ready") -> tuple[str, str] | None:
        """Return (status, reason) of a condition."""
        for condition in self.status(key).get("conditions") or ():
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return None

    def message(self, key: Key, kind: str = "Ready") -> str:
        """Return the message of a condition."""
        found = [c["message"] for c in self.status(key).get("conditions") or () if c["type"] == kind]
        return str(found[0]) if found else ""

    def entries(self, namespace: str, name: str) -> dict[str, str]:
        """Return the entries of a Secret in clear text."""
        return {k: v.reveal() for k, v in self.secrets[namespace, name].data.items()}

    def written(self, since: int = 0) -> Counter[Write]:
        """Count the operator's writes by verb and object, from the given one on."""
        return Counter(self.writes[since:])

    def told(self, key: Key | None = None) -> list[str]:
        """Return the reasons of the Events, of one object or of all."""
        return [e.reason for e in self.events if key is None or e.key == key]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _remove(self, key: Key) -> None:
        gone = self.objects.pop(key)
        uid = gone["metadata"]["uid"]
        gone["metadata"]["resourceVersion"] = self._next()
        self.secrets = {where: s for where, s in self.secrets.items() if uid not in s.owner_uids}
        self._tell("DELETED", gone)

    def _changed(self, key: Key, event: str) -> str:
        version = self._next()
        self.objects[key]["metadata"]["resourceVersion"] = version
        self._tell(event, self.objects[key])
        return version

    def _tell(self, event: str, body: dict[str, Any]) -> None:
        """Tell the watchers soon, in order: a watch is another connection than the one that writes."""
        if self.quiet or not self._watchers:
            return
        seen = copy.deepcopy(body)
        for watcher in self._watchers:
            asyncio.get_running_loop().call_soon(self._deliver, watcher, event, seen)

    def _deliver(self, watcher: Watcher, event: str, body: Body) -> None:
        if watcher in self._watchers:
            watcher(event, body)

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _now(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
