"""Independent counts of what the operator sends: a proxy before RabbitMQ, and the API server's own audit log."""

import asyncio
import json
import ssl
from collections import Counter
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

from tests.lab.ports import free_port
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.tls import CertificateAuthority

__all__ = ["READING", "AuditLog", "Books", "CountingProxy"]

READING = {"GET", "HEAD"}
_WRITING = {"create", "update", "patch", "delete", "deletecollection"}
_LARGEST = 64 * 1024 * 1024
_HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive", "content-length", "content-encoding", "date", "server"}


class CountingProxy:
    """The management API behind another port, with a certificate of the same authority. Counts by method."""

    def __init__(self, rabbitmq: RabbitMQ, authority: CertificateAuthority, folder: Path) -> None:
        self.requests: Counter[str] = Counter()
        self.bytes = 0
        """Of the bodies, both ways."""
        self.port = free_port()
        self._target = rabbitmq.management_url
        self._trust = rabbitmq.client_context()
        paths = authority.issue("counting-proxy").write(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(paths.certificate, paths.key)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def writes(self) -> int:
        """Requests that could have changed something."""
        return sum(count for method, count in self.requests.items() if method not in READING)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._trust), auto_decompress=False)
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._context).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _forward(self, request: web.Request) -> web.Response:
        if self._session is None:
            raise web.HTTPServiceUnavailable
        body = await request.read()
        self.requests[request.method] += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            content = await answer.read()
        self.bytes += len(body) + len(content)
        passed = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
        encoding = answer.headers.get("Content-Encoding")
        if encoding is not None:
            passed["Content-Encoding"] = encoding
        return web.Response(status=answer.status, body=content, headers=passed)


class AuditLog:
    """What one user asked of the API server since a moment, by verb and resource."""

    def __init__(self, log: Path, user: str) -> None:
        self._log = log
        self._user = user
        self._offset = 0

    def begin(self) -> None:
        """Count from here on."""
        self._offset = self._log.stat().st_size

    async def counts(self) -> Counter[tuple[str, str]]:
        """Return (verb, resource) → number of requests answered since `begin`."""
        return await asyncio.to_thread(self._counts)

    def _counts(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        with self._log.open("rb") as log:
            if self._offset:
                log.seek(self._offset - 1)
                log.readline()  # the rest of the line that was being written then
            for line in log:
                if not line.endswith(b"\n"):
                    break
                event = json.loads(line)
                if event["user"]["username"] == self._user and event["stage"] == "ResponseComplete":
                    found[event["verb"], event.get("objectRef", {}).get("resource", "")] += 1
        return found

    @staticmethod
    def writes(counts: Counter[tuple[str, str]]) -> int:
        """Return the number of writes, those to the Lease left out."""
        return sum(n for (verb, resource), n in counts.items() if verb in _WRITING and resource != "leases")

    @staticmethod
    def written(counts: Counter[tuple[str, str]]) -> dict[str, int]:
        """Return the writes by verb and resource; Leases are left out, and Events, which come when there is time."""
        return {
            f"{verb} {resource}": n
            for (verb, resource), n in sorted(counts.items())
            if verb in _WRITING and resource not in {"leases", "events"}
        }


class Books:
    """All counts of one operator, taken from outside; without a proxy nothing is known of the broker."""

    def __init__(self, audit: AuditLog, proxy: CountingProxy | None = None) -> None:
        self._proxy = proxy
        self._audit = audit

    def begin(self) -> None:
        """Count from here on."""
        if self._proxy is not None:
            self._proxy.requests.clear()
            self._proxy.bytes = 0
        self._audit.begin()

    @property
    def broker_requests(self) -> Counter[str]:
        """Requests to the broker by method."""
        return self._proxy.requests if self._proxy is not None else Counter()

    @property
    def broker_writes(self) -> int:
        """Requests that could have changed something at the broker."""
        return self._proxy.writes if self._proxy is not None else 0

    @property
    def broker_bytes(self) -> int:
        """Of the bodies, both ways."""
        return self._proxy.bytes if self._proxy is not None else 0

    async def kube(self) -> Counter[tuple[str, str]]:
        """Return (verb, resource) → number of requests to the API server."""
        return await self._audit.counts()
