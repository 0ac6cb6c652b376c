"""A Kubernetes API server in memory, for the engine's logic only: objects, finalizers, watches, Secrets, faults.

It implements the protocols of `engine.ports` with the rules that the engine relies on: resourceVersions, generations,
deletion that waits for finalizers, merge patches. It also holds every status to the rules that each status must keep,
so that no test has to. What a real API server decides (schemas, CEL, RBAC) is tested on a real one.
"""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channel_operator.api.meta import Kind
from channel_operator.api.reasons import EventReason, Reason
from channel_operator.api.status_reading import read_status
from channel_operator.core.model import Key, Secret
from channel_operator.engine.ports import Body, Conflict, Gone, Owner, SecretData, Written
from channel_operator.errors import Blocked, Unreachable
from tests.engine.kubeobjects import KubeObjects, Spec, Told, Write

__all__ = ["KubeStub", "Spec", "Told", "Write", "check_status"]


@dataclass
class KubeStub(KubeObjects):
    """The server as the operator meets it, and how it misbehaves."""

    secret_reads: int = 0
    away: bool = False
    """Every call fails as if nothing answered."""
    answers_left: int | None = None
    """After so many more writes the server takes one more write but its answer is lost, and then it is away."""
    conflicts: int = 0
    """So many writes of metadata find that somebody else was faster."""
    refuses_status: set[Key] = field(default_factory=set)
    """Objects whose status cannot be written."""

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
        if key in self.refuses_status:
            raise Unreachable("the API server does not answer")
        found = self._find(key, uid)
        whole = {name: _present(value) for name, value in fields.items()}
        said = {name: value for name, value in whole.items() if value is not None}
        assert read_status(key.kind, said) == said, f"{key}: a status was written that its schema does not allow"
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

    # -- inside ------------------------------------------------------------------------------------------------------

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
        body = copy.deepcopy(self.objects[key])
        await self._answer()
        return Written(version, body)

    def _count(self, verb: str, key: Key) -> None:
        self.writes.append(Write(verb, key))


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
