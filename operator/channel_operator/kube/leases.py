"""The Lease of leader election as the election sees it. Decides nothing."""

import math
from datetime import UTC, datetime
from typing import Any

from channel_operator.engine.ports import Gone, LeaseRecord
from channel_operator.kube.client import KubeClient, path

__all__ = ["KubeLease"]

_API = "apis/coordination.k8s.io/v1"


class KubeLease:
    """One Lease object on the API server; implements `LeaseClient`."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    async def get(self) -> LeaseRecord | None:
        """Read it; None = not there."""
        try:
            return _record(await self._client.call("get", path(_API, self._namespace, "leases", self._name)))
        except Gone:
            return None

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Make it; Conflict when somebody else was faster."""
        body = self._body(record)
        return _record(await self._client.call("create", path(_API, self._namespace, "leases"), body))

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        """Write it if it still has `record.resource_version`; else Conflict."""
        body = self._body(record)
        body["metadata"]["resourceVersion"] = record.resource_version
        return _record(await self._client.call("update", path(_API, self._namespace, "leases", self._name), body))

    def _body(self, record: LeaseRecord) -> dict[str, Any]:
        spec = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": math.ceil(record.duration),
            "leaseTransitions": record.transitions,
            "acquireTime": _micro_time(record.acquired),
            "renewTime": _micro_time(record.renewed),
        }
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {key: value for key, value in spec.items() if value is not None},
        }


def _micro_time(stamp: datetime | None) -> str | None:
    # The API server takes a MicroTime with exactly six digits after the point, zeros included.
    return stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if stamp else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _record(body: dict[str, Any]) -> LeaseRecord:
    spec = body.get("spec") or {}
    return LeaseRecord(
        resource_version=body["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        acquired=_time(spec.get("acquireTime")),
        renewed=_time(spec.get("renewTime")),
    )
