"""The one place that writes status and tells events. Decides only whether there is anything to write."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from channel_operator.api.reasons import EventReason
from channel_operator.core.model import Key
from channel_operator.core.report import changed_fields, with_fields
from channel_operator.engine.clock import Clock
from channel_operator.engine.pipeline import Pipeline
from channel_operator.engine.ports import Gone, KubeWriter, Telemetry
from channel_operator.engine.store import Store

__all__ = ["Statuses"]


class _Wanted(NamedTuple):
    uid: str
    status: Mapping[str, Any]
    result: str


class Statuses:
    """Writes the newest wanted status of each object, if it differs from what the API server has."""

    def __init__(
        self, store: Store, writer: KubeWriter, clock: Clock, telemetry: Telemetry, *, leads: Callable[[], bool]
    ) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._telemetry = telemetry
        self._wanted: dict[Key, _Wanted] = {}
        self._dirty_since: dict[Key, float] = {}
        self.pipeline = Pipeline("status", self._write, clock, leads=leads)

    def started(self, key: Key) -> None:
        """Note when an object became dirty: the start of its reconcile duration."""
        self._dirty_since.setdefault(key, self._clock.monotonic())

    def failed(self, key: Key) -> None:
        """Count an error of our own with an object."""
        self._telemetry.reconciled(key.kind, "error", None)

    def want(self, key: Key, uid: str, status: Mapping[str, Any], result: str) -> None:
        """Have a status written; `result` is what the reconcile counts as."""
        manifest = self._store.get(key)
        if manifest is None or manifest.uid != uid:
            self._dirty_since.pop(key, None)
            return
        if key not in self.pipeline and not changed_fields(manifest.status, status):
            self._dirty_since.pop(key, None)
            self._telemetry.reconciled(key.kind, result, None)
            return
        self._wanted[key] = _Wanted(uid, status, result)
        self.pipeline.add(key)

    def newest(self, key: Key) -> Mapping[str, Any]:
        """Return what an object says last: the status on its way to the API server, else the one that is there."""
        manifest = self._store.get(key)
        if manifest is None:
            return {}
        wanted = self._wanted.get(key)
        return wanted.status if wanted is not None and wanted.uid == manifest.uid else manifest.status

    async def put(self, key: Key, uid: str, fields: Mapping[str, Any]) -> None:
        """Write fields that nobody else writes, at once. Raises what keeps it from being written."""
        written = await self._writer.set_status(key, uid=uid, fields=fields)
        manifest = self._store.get(key)
        if manifest is not None:
            self._store.wrote(key, uid, written.resource_version, status=with_fields(manifest.status, fields))

    async def event(self, key: Key, uid: str, reason: EventReason, message: str, *, warning: bool = False) -> None:
        """Tell of a transition."""
        await self._writer.event(key, uid, reason=reason, message=message, warning=warning)

    async def _write(self, key: Key) -> None:
        wanted = self._wanted.get(key)
        manifest = self._store.get(key)
        if wanted is None or manifest is None or manifest.uid != wanted.uid:
            self._wanted.pop(key, None)
            return
        fields = changed_fields(manifest.status, wanted.status)
        if fields:
            try:
                written = await self._writer.set_status(key, uid=wanted.uid, fields=fields)
            except Gone:
                self._wanted.pop(key, None)
                return
            status = with_fields(manifest.status, fields)
            self._store.wrote(key, wanted.uid, written.resource_version, status=status, seen=written.body)
        if self._wanted.get(key) is wanted:
            del self._wanted[key]
        since = self._dirty_since.pop(key, None)
        seconds = None if since is None else self._clock.monotonic() - since
        self._telemetry.reconciled(key.kind, wanted.result, seconds)
