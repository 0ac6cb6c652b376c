"""Writes the finalizer and the owner record before anything is made, and takes the finalizer away at the end.

Decides nothing about ownership; the record it is given goes out in one patch that is guarded by the resourceVersion.
"""

from collections.abc import Callable

from channel_operator.api.meta import FINALIZER, OWNED
from channel_operator.core.model import Key
from channel_operator.core.policy import OwnerRecord
from channel_operator.engine.clock import Clock
from channel_operator.engine.pipeline import Pipeline
from channel_operator.engine.ports import Conflict, Gone, KubeWriter
from channel_operator.engine.store import Store

__all__ = ["Claims"]


class Claims:
    """`done(key)` is called when the record of a key stands; `conflict(key)` when the object changed meanwhile."""

    def __init__(
        self,
        store: Store,
        writer: KubeWriter,
        clock: Clock,
        *,
        leads: Callable[[], bool],
        done: Callable[[Key], None],
        conflict: Callable[[Key], None],
    ) -> None:
        self._store = store
        self._writer = writer
        self._done = done
        self._conflict = conflict
        self._records: dict[Key, OwnerRecord | None] = {}
        self.pipeline = Pipeline("claim", self._write, clock, leads=leads)
        self.releases = Pipeline("release", self._release, clock, leads=leads)

    def claim(self, key: Key, record: OwnerRecord | None) -> None:
        """Have the finalizer set and, for what is owned on a broker, the record."""
        self._records[key] = record
        self.pipeline.add(key)

    def in_flight(self, key: Key) -> bool:
        """Whether a claim of this key is on its way."""
        return key in self.pipeline

    async def _write(self, key: Key) -> None:
        record = self._records.get(key)
        manifest = self._store.get(key)
        if manifest is None or manifest.deleted is not None:
            self._records.pop(key, None)
            self._done(key)
            return
        finalizers = manifest.finalizers if FINALIZER in manifest.finalizers else (*manifest.finalizers, FINALIZER)
        annotations = dict(manifest.annotations)
        if record is not None:
            annotations[OWNED] = str(record)
        try:
            written = await self._writer.patch_metadata(
                key,
                uid=manifest.uid,
                resource_version=manifest.resource_version,
                finalizers=finalizers,
                annotations={OWNED: str(record)} if record is not None else None,
            )
        except (Conflict, Gone):
            self._records.pop(key, None)
            self._conflict(key)
            return
        version = written.resource_version
        self._store.wrote(
            key, manifest.uid, version, finalizers=tuple(finalizers), annotations=annotations, guarded=True
        )
        self._records.pop(key, None)
        self._done(key)

    def release(self, key: Key) -> None:
        """Have our finalizer taken away: what the object had on the broker is settled."""
        self.releases.add(key)

    async def _release(self, key: Key) -> None:
        manifest = self._store.get(key)
        if manifest is None or FINALIZER not in manifest.finalizers:
            return
        rest = tuple(name for name in manifest.finalizers if name != FINALIZER)
        try:
            written = await self._writer.patch_metadata(
                key,
                uid=manifest.uid,
                resource_version=manifest.resource_version,
                finalizers=rest,
                annotations=None,
            )
        except Gone:
            return
        except Conflict:
            self._conflict(key)
            return
        self._store.wrote(key, manifest.uid, written.resource_version, finalizers=rest, guarded=True)
