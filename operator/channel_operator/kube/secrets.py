"""Kubernetes Secrets and ConfigMaps, by name. Decides only whether a Secret may be written: if it is ours.

Nothing is listed or watched, so the operator needs no right to look around in other people's Secrets.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from channel_operator.api.meta import API_VERSION
from channel_operator.api.reasons import Reason
from channel_operator.core.model import Secret
from channel_operator.engine.ports import Conflict, Gone, Owner, SecretData
from channel_operator.errors import Blocked
from channel_operator.kube.client import KubeClient, path

__all__ = ["KubeSecrets"]


class _Entries(Mapping[str, Secret]):
    """The entries of a Secret, decoded. Only asking for an entry that is no text is an error: others are not ours."""

    __slots__ = ("_texts", "_unreadable", "_where")

    def __init__(self, where: str, encoded: Mapping[str, str]) -> None:
        self._where = where
        self._texts: dict[str, Secret] = {}
        self._unreadable: set[str] = set()
        for key, value in encoded.items():
            try:
                self._texts[key] = Secret(base64.b64decode(value, validate=True).decode())
            except (binascii.Error, UnicodeDecodeError):
                self._unreadable.add(key)

    def __getitem__(self, key: str) -> Secret:
        if key in self._unreadable:
            raise Blocked(
                f"entry {key!r} of Secret {self._where} is not UTF-8 text: store the plain value, without another "
                "encoding around it",
                reason=Reason.CREDENTIALS_INVALID,
            )
        return self._texts[key]

    def __iter__(self) -> Iterator[str]:
        yield from self._texts
        yield from self._unreadable

    def __len__(self) -> int:
        return len(self._texts) + len(self._unreadable)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return not self._unreadable and self._texts == dict(other)

    def __hash__(self) -> int:
        return hash((self._where, frozenset(self._texts.items()), frozenset(self._unreadable)))


class KubeSecrets:
    """Implements `SecretStore`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def read_secret(self, namespace: str, name: str) -> SecretData | None:
        """Read and decode; None = not there. An entry that is no text raises Blocked when it is asked for."""
        try:
            return _secret(await self._client.call("get", path("api/v1", namespace, "secrets", name)))
        except Gone:
            return None

    async def read_config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Read; None = not there. Binary entries are left out."""
        try:
            body = await self._client.call("get", path("api/v1", namespace, "configmaps", name))
        except Gone:
            return None
        data: dict[str, str] = body.get("data") or {}
        return data

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
        """Create or replace a Secret that belongs to `owner`; its type cannot change, so then it is made anew."""
        body = _body(namespace, name, owner, type_=type, data=data, labels=labels, annotations=annotations)
        if expected is not None:
            if owner.uid not in expected.owner_uids:
                raise _foreign(namespace, name, owner)
            written = await self._replace(namespace, name, body, expected)
            if written is not None:
                return written
        try:
            return _secret(await self._client.call("create", path("api/v1", namespace, "secrets"), body))
        except Conflict:
            found = await self.read_secret(namespace, name)
            if found is not None and owner.uid not in found.owner_uids:
                raise _foreign(namespace, name, owner) from None
            raise

    async def _replace(
        self, namespace: str, name: str, body: dict[str, Any], expected: SecretData
    ) -> SecretData | None:
        """Write it in place; None = it was deleted, because its type must change."""
        single = path("api/v1", namespace, "secrets", name)
        guard = {"uid": expected.uid, "resourceVersion": expected.resource_version}
        try:
            if expected.type == body["type"]:
                body["metadata"].update(guard)
                return _secret(await self._client.call("update", single, body))
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": guard}
            await self._client.call("delete", single, options)
        except Gone:
            raise Conflict(f"Secret {namespace}/{name} was deleted meanwhile") from None
        return None


def _foreign(namespace: str, name: str, owner: Owner) -> Blocked:
    return Blocked(
        f"Secret {namespace}/{name} exists and does not belong to {owner.kind} {owner.name}: delete it, or choose "
        "another name in spec.secret.name",
        reason=Reason.SECRET_CONFLICT,
    )


def _body(
    namespace: str,
    name: str,
    owner: Owner,
    *,
    type_: str,
    data: Mapping[str, str | Secret],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": type_,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "annotations": dict(annotations),
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": owner.kind,
                    "name": owner.name,
                    "uid": owner.uid,
                    "controller": True,
                }
            ],
        },
        "data": {key: _encoded(value) for key, value in data.items()},
    }


def _encoded(value: str | Secret) -> str:
    text = value.reveal() if isinstance(value, Secret) else value
    return base64.b64encode(text.encode()).decode()


def _secret(body: Mapping[str, Any]) -> SecretData:
    meta = body["metadata"]
    return SecretData(
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        type=body.get("type") or "",
        owner_uids=frozenset(reference["uid"] for reference in meta.get("ownerReferences") or ()),
        annotations=meta.get("annotations") or {},
        labels=meta.get("labels") or {},
        data=_Entries(f"{meta['namespace']}/{meta['name']}", body.get("data") or {}),
    )
