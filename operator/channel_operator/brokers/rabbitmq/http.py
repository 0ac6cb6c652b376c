"""The management API of one broker over a small pool of connections.

Decides how long a call may take, which address is asked and what an answer means. Never follows a redirect, never
keeps or shows a response body that is not data we asked for.
"""

import asyncio
import base64
import json
import time
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from channel_operator.api.reasons import Reason
from channel_operator.brokers.base import WRITE_SECONDS, Connection, Recorder
from channel_operator.brokers.rabbitmq import failures
from channel_operator.brokers.rabbitmq.network import AddressRules, CheckingResolver, tls_context
from channel_operator.errors import Blocked, OperatorError, Unreachable

__all__ = ["READ_SECONDS", "Answer", "ManagementClient", "path"]

READ_SECONDS: Final = 30.0
"""For everything at once."""
SINGLE_SECONDS: Final = WRITE_SECONDS
"""For one object: such a read often comes right before a write, which must not be late either."""
_CONNECTIONS: Final = 16
_MAX_BODY: Final = 128 * 1024 * 1024
_MAX_ERROR_BODY: Final = 4096
_CHUNK: Final = 65536
_JUDGED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})
_UNSPEAKABLE: Final = frozenset({"", ".", ".."})
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}


def path(*segments: str) -> str:
    """Return `/api/...` with every segment percent-encoded, so that a vhost `/` or a name with `%` is just a name.

    Raises Blocked for the names `.` and `..`: encoded or not, RabbitMQ takes them for steps in the path, and the call
    would mean something else.
    """
    if not _UNSPEAKABLE.isdisjoint(segments):
        raise Blocked(
            "RabbitMQ's management API cannot be asked about objects or virtual hosts without a name or named . or ..",
            reason=Reason.NAME_NOT_ALLOWED,
        )
    return "/api/" + "/".join(quote(segment, safe="") for segment in segments)


class Answer(NamedTuple):
    """An answer that a caller can use. `data` is decoded JSON for 200, else None.

    `argument`: for a 400, the property in which an existing object differs from the declaration.
    """

    status: int
    data: Any = None
    argument: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES


class _Call(NamedTuple):
    method: str
    target: str
    body: bytes | None
    seconds: float
    accept: Collection[int]


class ManagementClient:
    """Calls the management API. Opens nothing before its first call, and nothing once it was closed."""

    def __init__(self, connection: Connection, recorder: Recorder) -> None:
        rabbitmq = connection.spec.rabbitmq
        if rabbitmq is None or connection.password is None:
            raise ValueError("the management API needs a Broker of type RabbitMQ and a password")
        self.vhost = rabbitmq.vhost
        self.username = connection.username
        self._connection = connection
        self._recorder = recorder
        self._urls = [url.rstrip("/") for url in rabbitmq.management_urls]
        self._rules = AddressRules(connection.allowed_hosts, only=connection.only_allowed_hosts)
        login = f"{connection.username}:{connection.password.reveal()}".encode()
        self._auth = "Basic " + base64.b64encode(login).decode()
        self._server_name = connection.spec.tls.server_name
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False
        self.certificate: str | None = None
        """What the broker showed last (PEM)."""
        # The connector's own limit is not fair: whoever has just given a connection back takes it again before those
        # that wait, so under load a call can wait for ever. A semaphore serves in order.
        self._turn = asyncio.Semaphore(_CONNECTIONS)

    @property
    def where(self) -> str:
        """The Broker and the address in use, for messages."""
        return self._where(self._urls[0])

    def _where(self, url: str) -> str:
        return f"RabbitMQ at {url} (Broker {self._connection.name})"

    def _open(self) -> aiohttp.ClientSession:
        if self._is_closed:
            # One of several calls at a time failed and ended this life; the others must not open what nobody closes.
            raise Unreachable(f"{self.where}: the connection was given up")
        if self._session is None:
            context = tls_context(self._connection, self._shown)
            connector = aiohttp.TCPConnector(
                limit=0,
                resolver=CheckingResolver(self._rules),
                use_dns_cache=False,
                ssl=context if context is not None else False,
                keepalive_timeout=45,  # RabbitMQ closes idle connections after 60 s
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={**_HEADERS, "Authorization": self._auth},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),  # each call has its own, over all addresses
                trust_env=False,
                auto_decompress=True,
            )
        return self._session

    def _shown(self, certificate: str) -> None:
        self.certificate = certificate

    async def close(self) -> None:
        """Close every connection, for good."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self, operation: str, target: str, *, accept: Collection[int] = (), seconds: float = SINGLE_SECONDS
    ) -> Answer:
        """Read; statuses of `accept` are answers too. Raises what `errors` lists."""
        return await self._call(operation, _Call("GET", target, None, seconds, accept))

    async def write(
        self, operation: str, method: str, target: str, body: Any = None, *, accept: Collection[int] = ()
    ) -> Answer:
        """Write; 400, 404, 409 and those of `accept` are answers for the caller to judge, anything else raises."""
        payload = None if body is None else _ENCODER.encode(body).encode()
        return await self._call(operation, _Call(method, target, payload, WRITE_SECONDS, _JUDGED.union(accept)))

    def refusal(self, answer: Answer) -> OperatorError:
        """Return the error that an answer means when the caller has no better word for it."""
        return failures.from_status(answer.status, b"", self.where, self.username)

    async def _call(self, operation: str, call: _Call) -> Answer:
        async with self._turn:
            return await self._counted(operation, call)

    async def _counted(self, operation: str, call: _Call) -> Answer:
        started = time.perf_counter()
        outcome = "error"
        try:
            answer = await self._any_address(call)
            outcome = "ok" if answer.ok or answer.status == HTTPStatus.NOT_FOUND else "refused"
        except Unreachable:
            outcome = "unreachable"
            raise
        except Blocked:
            outcome = "refused"
            raise
        else:
            return answer
        finally:
            self._recorder.request(operation, outcome, time.perf_counter() - started)

    async def _any_address(self, call: _Call) -> Answer:
        """Ask the addresses in order; the one that answers is asked first from then on.

        All calls are idempotent, so one that got no answer may be repeated elsewhere. The time is shared out among the
        addresses that are left.
        """
        deadline = time.monotonic() + call.seconds
        failure: Unreachable | None = None
        urls = self._urls
        for index, url in enumerate(urls):
            budget = (deadline - time.monotonic()) / (len(urls) - index)
            try:
                answer = await self._ask(url, call, budget)
            except Unreachable as error:
                failure = failure or error
                continue
            if index:
                self._urls = [url, *(other for other in urls if other != url)]
            return answer
        raise failure or Unreachable(f"Broker {self._connection.name} has no address")

    async def _ask(self, url: str, call: _Call, seconds: float) -> Answer:
        where = self._where(url)
        address = URL(url + call.target, encoded=True)
        try:
            self._rules.check_literal(address.host or "")
            async with asyncio.timeout(seconds):
                try:
                    status, raw = await self._exchange(address, call)
                except aiohttp.ServerDisconnectedError:
                    # The broker closed an idle connection just as it was taken up again; aiohttp itself repeats only
                    # methods it knows to be idempotent, and all our calls are.
                    status, raw = await self._exchange(address, call)
        except (aiohttp.ClientError, OSError) as error:
            raise failures.from_exception(error, where) from None
        if raw is None:
            raise Unreachable(f"{where}: the answer is larger than {_MAX_BODY} bytes, which is not read")
        if status == HTTPStatus.OK:
            return Answer(status, _decode(raw, where))
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return Answer(status)
        if status in call.accept:
            is_conflict = status == HTTPStatus.BAD_REQUEST
            return Answer(status, None, failures.inequivalent_argument(raw) if is_conflict else None)
        raise failures.from_status(status, raw, where, self.username)

    async def _exchange(self, address: URL, call: _Call) -> tuple[int, bytes | None]:
        async with self._open().request(
            call.method,
            address,
            data=call.body,
            allow_redirects=False,
            server_hostname=self._server_name if address.scheme == "https" else None,
        ) as response:
            return response.status, await _read(response)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Read the body up to a bound; None when it is larger. Of an error only the beginning is read."""
    succeeded = response.status < HTTPStatus.MULTIPLE_CHOICES
    limit = _MAX_BODY if succeeded else _MAX_ERROR_BODY
    pieces, size = [], 0
    async for piece in response.content.iter_chunked(_CHUNK):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            response.close()
            if succeeded:
                return None
            break
    return b"".join(pieces)


def _decode(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        raise Unreachable(f"{where}: the answer is not JSON; check that this is RabbitMQ's management API") from None
