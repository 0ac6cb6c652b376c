"""An HTTP proxy that reads along: it counts, holds back or breaks off requests, and ends TLS on both sides.

It decides nothing about what is right; what happens at a request is told to it by hooks.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar
from weakref import WeakSet

import aiohttp
from aiohttp import web
from yarl import URL

from tests.lab.ports import free_port
from tests.lab.tls import Certificate

__all__ = ["CountingProxy", "Request", "is_write"]

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length", "te", "trailer"}
_ROUNDS = 10
"""Rounds of the event loop in which aborted connections close their sockets."""
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the proxy saw it; `path` is as it was sent, with its query."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def is_write(request: Request) -> bool:
    """Whether it changes something that counts: Events and Leases are told and renewed all the time."""
    if request.method in {"GET", "HEAD"}:
        return False
    return "/events" not in request.path and "/leases" not in request.path


class CountingProxy:
    """Listens on 127.0.0.1:`port` and forwards HTTP(S) requests to `target`, one by one.

    `before` and `after` are called with every request, on the proxy's thread, before it is forwarded and when its
    answer is there; False breaks the client's connection off instead. `delay` says how many seconds a request waits.
    """

    def __init__(
        self,
        target: str,
        *,
        trust: str,
        certificate: Certificate | None,
        before: Callable[[Request], bool] = lambda _: True,
        after: Callable[[Request], bool] = lambda _: True,
        delay: Callable[[Request], float] = lambda _: 0.0,
    ) -> None:
        """Prepare it. `target`: a URL without path; `trust`: its authority, PEM; without `certificate` it is http."""
        self.target = target.rstrip("/")
        self.port = free_port()
        self.before, self.after, self.delay = before, after, delay
        self.requests: list[Request] = []
        """Every request that was forwarded, in order."""
        self._trust = trust
        self._certificate = certificate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="counting-proxy", daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None
        self._transports: WeakSet[asyncio.Transport] = WeakSet()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._certificate else 'http'}://localhost:{self.port}"

    @property
    def writes(self) -> list[Request]:
        """The forwarded requests that change something."""
        return [one for one in self.requests if is_write(one)]

    def start(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        self._run(self._start())
        return self

    def stop(self) -> None:
        """Break everything off and stop listening for good."""
        if self._loop.is_closed():
            return
        self._run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cadata=self._trust))
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._server_context()).start()

    def _server_context(self) -> ssl.SSLContext | None:
        if self._certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with TemporaryDirectory() as folder:
            paths = self._certificate.write(Path(folder))
            context.load_cert_chain(paths.certificate, paths.key)
        return context

    async def _finish(self) -> None:
        # An orderly end of TLS would wait for the clients' part.
        for transport in list(self._transports):
            transport.abort()
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()
        rest = [task for task in asyncio.all_tasks(self._loop) if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        request = Request(incoming.method, incoming.raw_path)
        if incoming.transport is not None:
            self._transports.add(incoming.transport)
        body = await incoming.read()
        if not self.before(request):
            return _broken(incoming)
        await asyncio.sleep(self.delay(request))
        self.requests.append(request)
        try:
            return await self._forward(incoming, request, body)
        except (aiohttp.ClientError, OSError):
            return _broken(incoming)

    async def _forward(self, incoming: web.BaseRequest, request: Request, body: bytes) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in incoming.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = URL(self.target + request.path, encoded=True)
        async with self._session.request(
            request.method, url, data=body or None, headers=headers, allow_redirects=False
        ) as answer:
            outgoing = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    outgoing.headers.add(name, value)
            if not self.after(request):
                return _broken(incoming)
            if answer.status != 204:  # it has no body, so not even chunks
                outgoing.enable_chunked_encoding()
            await outgoing.prepare(incoming)
            async for piece in answer.content.iter_any():
                await outgoing.write(piece)
            await outgoing.write_eof()
            return outgoing


def _broken(incoming: web.BaseRequest) -> web.StreamResponse:
    if incoming.transport is not None:
        incoming.transport.abort()
    return web.Response(status=502)
