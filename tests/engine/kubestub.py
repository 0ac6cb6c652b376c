"""A Kubernetes API server in memory, for the engine's logic only: objects, finalizers, watches, Secrets, faults.

It implements the protocols of `engine.ports` with the rules that the engine relies on: resourceVersions, generations,
deletion that waits for finalizers, merge patches. It also holds every status to the rules that each status must keep,
so that no test has to. What a real API server decides (schemas, CEL, RBAC) is tested on a real one.
"""

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from channel_operator.api.meta import API_VERSION, Kind
from channel_operator.api.reasons import EventReason, Reason
from channel_operator.core.model import Key, Secret
from channel_operator.engine.clock import FakeClock
from channel_operator.engine.ports import Body, Conflict, Gone, Owner, SecretData, Written
from channel_operator.errors import Blocked, Unreachable

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
class KubeStub:
    """Objects and Secrets, and how the server misbehaves."""

    clock: FakeClock
    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    namespaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[tuple[str, str], SecretData] = field(default_factory=dict)
    config_maps: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    events: list[Told] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    secret_reads: int = 0
    away: bool = False
    """Every call fails as if nothing answered."""
    answers_left: int | None = None
    """After so many more writes the server takes one more write but its answer is lost, and then it is away."""
    quiet: bool = False
    """Watches are cut: nobody is told of changes until they are listed again."""
    conflicts: int = 0
    """So many writes of metadata find that somebody else was faster."""
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

    # -- KubeWriter ----------------------------------------------------------------------------------------------

    async def patch_metadata(
        self,
        key: Key,
        *,
        uid: str,
        resource_version: str,
        finalizers: Sequence[str] | None,
        annotations: Mapping[str, str | None] | None,
    ) -> Written:
        """See `engine.ports.KubeWriter`."""
        await self._arrive()
        found = self._find(key, uid)
        if self.conflicts:
            self.conflicts -= 1
            self.annotate(key, unrelated=str(self._version))
        if found["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(f"{key} changed meanwhile")
        self._count("metadata", key)
        meta = found["metadata"]
        if finalizers is not None:
            meta["finalizers"] = list(finalizers)
        for name, value in (annotations or {}).items():
            if value is None:
                meta["annotations"].pop(name, None)
            else:
                meta["annotations"][name] = value
        if "deletionTimestamp" in meta and not meta["finalizers"]:
            self._remove(key)
            version = self._next()
        else:
            version = self._changed(key, "MODIFIED")
        await self._answer()
        return Written(version)

    async def set_status(self, key: Key, *, uid: str, fields: Mapping[str, Any]) -> Written:
        """See `engine.ports.KubeWriter`."""
        await self._arrive()
        found = self._find(key, uid)
        whole = {name: _present(value) for name, value in fields.items()}
        return await self._write_status(
            key, {name: value for name, value in {**found["status"], **whole}.items() if value is not None}
        )

    async def event(self, key: Key, uid: str, *, reason: EventReason, message: str, warning: bool) -> None:
        """See `engine.ports.KubeWriter`."""
        assert uid
        self.events.append(Told(key, str(reason), message, warning))

    async def list_all(self) -> list[Body]:
        """See `engine.ports.KubeWriter`."""
        await self._arrive()
        return [copy.deepcopy(body) for body in (*self.namespaces.values(), *self.objects.values())]

    async def list_metadata(self) -> list[Body]:
        """See `engine.ports.KubeWriter`."""
        await self._arrive()
        bodies = (*self.namespaces.values(), *self.objects.values())
        return [{"kind": b["kind"], "metadata": copy.deepcopy(b["metadata"])} for b in bodies]

    # -- SecretStore ---------------------------------------------------------------------------------------------

    async def read_secret(self, namespace: str, name: str) -> SecretData | None:
        """See `engine.ports.SecretStore`."""
        await self._arrive()
        self.secret_reads += 1
        return self.secrets.get((namespace, name))

    async def read_config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """See `engine.ports.SecretStore`."""
        await self._arrive()
        return self.config_maps.get((namespace, name))

    async def write_secret(
        self,
        namespace: str,
        name: str,
        *,
        type: str,  # noqa: A002  # the field's own name
        data: Mapping[str, str | Secret],
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        owner: Owner,
        expected: SecretData | None,
    ) -> SecretData:
        """See `engine.ports.SecretStore`."""
        await self._arrive()
        found = self.secrets.get((namespace, name))
        if found is not None and owner.uid not in found.owner_uids:
            raise Blocked(f"Secret {namespace}/{name} belongs to something else", reason=Reason.SECRET_CONFLICT)
        if (found.resource_version if found else None) != (expected.resource_version if expected else None):
            raise Conflict(f"Secret {namespace}/{name} changed meanwhile")
        self._count("secret", Key(Kind(owner.kind), namespace, owner.name))
        values = {k: v if isinstance(v, Secret) else Secret(v) for k, v in data.items()}
        written = SecretData(
            f"secret-{name}", self._next(), type, frozenset({owner.uid}), dict(annotations), dict(labels), values
        )
        self.secrets[namespace, name] = written
        await self._answer()
        return written

    # -- inside --------------------------------------------------------------------------------------------------

    async def _arrive(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise Unreachable("the API server does not answer")

    async def _answer(self) -> None:
        """Answer a write, unless this is the moment the server goes away."""
        if self.answers_left is not None:
            if self.answers_left == 0:
                self.away = True
                raise Unreachable("the connection broke after the request was sent")
            self.answers_left -= 1
        await asyncio.sleep(0)

    def _find(self, key: Key, uid: str) -> dict[str, Any]:
        found = self.objects.get(key)
        if found is None or found["metadata"]["uid"] != uid:
            raise Gone(f"{key} is no more")
        return found

    async def _write_status(self, key: Key, status: dict[str, Any]) -> Written:
        self._count("status", key)
        assert status != self.objects[key]["status"], f"{key}: a status was written that changes nothing"
        check_status(status, self.objects[key]["metadata"]["generation"])
        self.objects[key]["status"] = copy.deepcopy(status)
        version = self._changed(key, "MODIFIED")
        await self._answer()
        return Written(version)

    def _count(self, verb: str, key: Key) -> None:
        self.writes.append(Write(verb, key))

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


def _present(value: Any) -> Any:
    """Drop what is None at any depth of maps."""
    if isinstance(value, Mapping):
        return {k: _present(v) for k, v in value.items() if v is not None}
    return value


def check_status(status: Mapping[str, Any], generation: int) -> None:
    """Hold a status to what kstatus and the API conventions ask of each one that is ever written."""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    assert len(conditions) == len(status.get("conditions") or ()), "a condition type occurs twice"
    assert "Ready" in conditions, "observedGeneration without Ready counts as current"
    assert status["observedGeneration"] <= generation
    assert not {"Reconciling", "Stalled"} <= conditions.keys(), "Reconciling and Stalled at once"
    if "Stalled" in conditions:
        assert conditions["Ready"]["status"] == "False"
    if conditions["Ready"]["status"] == "True":
        assert not {"Reconciling", "Stalled"} & conditions.keys()
    known = {r.value for r in Reason}
    for condition in conditions.values():
        assert condition["reason"] in known
        assert condition["status"] in {"True", "False", "Unknown"}
        assert condition["lastTransitionTime"]
        assert condition["message"], f"{condition['type']} says nothing"
