"""Finalizers, annotations and statuses of our own objects, and the lists that fill the store. Decides nothing.

One request per write, guarded by the object's uid, so that what was decided about one object never lands on another
that took its name.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from channel_operator.api.meta import API_VERSION, Kind
from channel_operator.api.reasons import EventReason
from channel_operator.core.model import Key
from channel_operator.engine.ports import Body, Forbidden, Gone, Written
from channel_operator.errors import Retry
from channel_operator.kube.client import (
    JSON_PATCH,
    MERGE_PATCH,
    METADATA_LIST,
    METADATA_ONLY,
    Expired,
    KubeClient,
    Rejected,
    custom_path,
    path,
)
from channel_operator.kube.events import EventPoster

__all__ = ["Writer"]

_PAGE = "500"
_ATTEMPTS = 3
"""How often a list whose continuation expired is begun again before the caller hears of it."""


class Writer:
    """Implements `KubeWriter` for the whole cluster, or for the listed namespaces only."""

    def __init__(self, client: KubeClient, events: EventPoster, namespaces: Sequence[str] = ()) -> None:
        self._client = client
        self._events = events
        self._namespaces = tuple(namespaces)

    async def patch_metadata(
        self,
        key: Key,
        *,
        uid: str,
        resource_version: str,
        finalizers: Sequence[str] | None,
        annotations: Mapping[str, str | None] | None,
    ) -> Written:
        """Set all finalizers and some annotations of exactly this version of the object.

        A merge patch that names the resourceVersion is refused when the object has another one; unlike a JSON patch it
        can add to annotations that may not exist yet.
        """
        # A version belongs to one incarnation only; the uid is named so that a mix-up of ours is refused as well.
        metadata: dict[str, Any] = {"uid": uid, "resourceVersion": resource_version}
        if finalizers is not None:
            metadata["finalizers"] = list(finalizers)
        if annotations:
            metadata["annotations"] = dict(annotations)
        url_path = custom_path(key.kind, key.namespace, key.name)
        # Only the metadata comes back: the rest would be parsed for nothing.
        answer = await self._client.call(
            "patch", url_path, {"metadata": metadata}, content_type=MERGE_PATCH, accept=METADATA_ONLY
        )
        return Written(answer["metadata"]["resourceVersion"])

    async def set_status(self, key: Key, *, uid: str, fields: Mapping[str, Any]) -> Written:
        """Set fields of the status to whole values; None, at any depth, means absent.

        A JSON patch, because only its test guards a status against landing on another incarnation. It adds null where
        a field shall go, which the API server prunes: removing a field that is not there would be an error.
        """
        operations: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": uid}]
        operations += [{"op": "add", "path": f"/status/{name}", "value": value} for name, value in fields.items()]
        try:
            url_path = custom_path(key.kind, key.namespace, key.name, "status")
            # All of it comes back: only so is it known that nobody else's change came between, and its echo spared.
            body = await self._client.call("patch", url_path, operations, content_type=JSON_PATCH)
        except Rejected as error:
            if error.fields:
                raise
            raise Gone(f"{key} was made anew") from None
        return Written(body["metadata"]["resourceVersion"], body)

    async def event(self, key: Key, uid: str, *, reason: EventReason, message: str, warning: bool) -> None:
        """Tell of a transition; returns at once."""
        self._events.post(key, uid, reason=reason, message=message, warning=warning)

    async def list_all(self) -> list[Body]:
        """Read every object of the five kinds and every Namespace in scope, whole."""
        return await self._list(metadata=False)

    async def list_metadata(self) -> list[Body]:
        """Read the same, metadata only; `kind` and `apiVersion` are the objects' own."""
        return await self._list(metadata=True)

    async def _list(self, *, metadata: bool) -> list[Body]:
        """Read all lists side by side; the Namespaces come first in the result."""
        lists = [self._read_namespaces(metadata=metadata)]
        for kind in Kind:
            for namespace in self._namespaces or (None,):
                url_path = custom_path(kind, namespace)
                lists.append(self._read_list(url_path, kind, API_VERSION, metadata=metadata))
        tasks = [asyncio.ensure_future(one) for one in lists]
        try:
            return [body for part in await asyncio.gather(*tasks) for body in part]
        finally:
            for task in tasks:
                task.cancel()

    async def _read_namespaces(self, *, metadata: bool) -> list[Body]:
        if not self._namespaces:
            return await self._read_list(path("api/v1", None, "namespaces"), "Namespace", "v1", metadata=metadata)
        found: list[Body] = []
        for name in self._namespaces:
            try:
                found.append(await self._client.call("get", path("api/v1", None, "namespaces", name)))
            except Gone:
                continue
            except Forbidden:
                raise Forbidden(
                    f"namespace {name} cannot be read: it does not exist, or the operator has no RoleBinding in it; "
                    "create it, or take it off --namespaces",
                    after=10.0,
                ) from None
        return found

    async def _read_list(self, url_path: str, kind: str, api_version: str, *, metadata: bool) -> list[Body]:
        for attempt in range(_ATTEMPTS):
            try:
                return await self._read_pages(url_path, kind, api_version, metadata=metadata)
            except Gone:
                raise Retry(
                    f"the API server does not know {url_path}: install the CustomResourceDefinitions", after=5.0
                ) from None
            except Expired:
                # The API server forgot the list's version between two pages.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError(url_path)  # not reached: the last attempt returns or raises

    async def _read_pages(self, url_path: str, kind: str, api_version: str, *, metadata: bool) -> list[Body]:
        bodies: list[Body] = []
        query = {"limit": _PAGE}
        accept = METADATA_LIST if metadata else "application/json"
        while True:
            page = await self._client.call("list", url_path, query=query, accept=accept)
            for item in page.get("items") or ():
                # Items of a list do not all say what they are.
                item["kind"], item["apiVersion"] = kind, api_version
                # Larger than all the rest once parsed, and nobody here reads it.
                item["metadata"].pop("managedFields", None)
                bodies.append(item)
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return bodies
            query["continue"] = following
