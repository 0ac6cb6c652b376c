"""Thin clients of the API server and of RabbitMQ's management API, over one aiohttp session each.

They send what they are told and raise on a refusal. Never retries, never decides what is sent.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from channel_operator.kube.client import JSON_PATCH, MERGE_PATCH, METADATA_ONLY, custom_path, path
from channel_operator.kube.login import Credentials
from tests.lab.rabbitmq import RabbitMQ

__all__ = ["JSON_PATCH", "MERGE_PATCH", "METADATA_ONLY", "Broker", "Kube", "RefusedError", "custom_path", "path"]


class RefusedError(Exception):
    """A server answered with an error status."""

    def __init__(self, what: str, status: int, text: str) -> None:
        super().__init__(f"{what}: {status} {text[:500]}")
        self.status = status


class Kube:
    """The API server, as administrator."""

    def __init__(self, credentials: Credentials) -> None:
        self.server = credentials.server
        self.session = credentials.session(connections=0)

    @classmethod
    async def open(cls, kubeconfig: Path) -> "Kube":
        """Read the credentials and open the session."""
        return cls(await Credentials.load(kubeconfig=kubeconfig))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def call(
        self,
        method: str,
        url_path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> dict[str, Any]:
        """Send one request; return the decoded object. Raises RefusedError."""
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        async with self.session.request(
            method,
            URL(self.server + url_path, encoded=True),
            data=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
            headers=headers,
        ) as response:
            content = await response.read()
        if response.status >= 400:
            raise RefusedError(f"{method} {url_path}", response.status, content.decode(errors="replace"))
        answer: dict[str, Any] = json.loads(content)
        return answer

    async def list(self, url_path: str) -> list[dict[str, Any]]:
        """Return all objects of a collection."""
        items: list[dict[str, Any]] = (await self.call("GET", url_path))["items"]
        return items


class Broker:
    """RabbitMQ's management API, as its administrator; connections stay open, as many as 16."""

    def __init__(self, rabbitmq: RabbitMQ) -> None:
        self._url = rabbitmq.management_url
        auth = aiohttp.encode_basic_auth(rabbitmq.admin_user, rabbitmq.admin_password)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=16, ssl=rabbitmq.client_context()),
            headers={"Authorization": auth, "Content-Type": "application/json"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, *segments: str, body: Any = None, missing_ok: bool = False) -> Any:
        """Send one request to /api/segments; return the decoded answer, None if empty. Raises RefusedError."""
        url = URL(self._url + "/api/" + "/".join(quote(s, safe="") for s in segments), encoded=True)
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        try:
            status, content = await self._exchange(method, url, data)
        except aiohttp.ServerDisconnectedError:
            # Closed by the broker just as it was taken up again; every call here may be repeated.
            status, content = await self._exchange(method, url, data)
        if status == 404 and missing_ok:
            return None
        if status >= 400:
            raise RefusedError(f"{method} {url.raw_path}", status, content.decode(errors="replace"))
        return json.loads(content) if content else None

    async def _exchange(self, method: str, url: URL, data: bytes | None) -> tuple[int, bytes]:
        async with self._session.request(method, url, data=data) as response:
            return response.status, await response.read()

    async def definitions(self, vhost: str) -> Mapping[str, list[dict[str, Any]]]:
        """Return everything durable that a virtual host has."""
        found: Mapping[str, list[dict[str, Any]]] = await self.call("GET", "definitions", vhost)
        return found

    async def permissions(self, vhost: str) -> list[dict[str, Any]]:
        """Return every user's rights on a virtual host."""
        found: list[dict[str, Any]] = await self.call("GET", "vhosts", vhost, "permissions")
        return found
