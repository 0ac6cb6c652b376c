"""A TCP proxy that misbehaves on command, for any two parties on this machine.

It moves bytes and breaks them off; it never looks into them, so it works for TLS too. Every setting works at once, on
open connections and on new ones, and stays until the next is chosen.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal, Self, TypeVar

from tests.lab.ports import free_port

Direction = Literal["request", "response"]

_CHUNK = 65536  # bytes moved at a time
_Result = TypeVar("_Result")


class _Mode(Enum):
    FORWARD = auto()
    REFUSE = auto()
    BLACK_HOLE = auto()


@dataclass(slots=True)
class _Cut:
    """After how many bytes in which direction a connection is cut."""

    after: int
    direction: Direction


class FaultProxy:
    """Listens on 127.0.0.1:`port` and forwards to the target, as long as no fault is chosen.

    All methods may be called from any thread and have taken effect when they return.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.port = free_port()
        self.accepted = 0
        """Connections accepted since the start."""
        self.request_bytes = 0
        """Bytes forwarded from clients to the target."""
        self.response_bytes = 0
        """Bytes forwarded from the target to clients."""
        self._mode = _Mode.FORWARD
        self._delay = 0.0
        self._cut: _Cut | None = None
        self._open: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def start(self) -> Self:
        """Begin to listen."""
        self._flowing.set()
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        """Cut all connections and stop listening for good."""
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

    @property
    def url_host(self) -> str:
        """Host and port as they stand in a URL."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def forward(self) -> None:
        """Behave: forward at once, bytes held back by a black hole included."""
        self._set(_Mode.FORWARD)

    def refuse(self) -> None:
        """Refuse new connections; open ones stay (call `cut` to end them too)."""
        self._set(_Mode.REFUSE)

    def black_hole(self) -> None:
        """Accept connections and move no byte, on open connections neither."""
        self._set(_Mode.BLACK_HOLE)

    def delay(self, seconds: float) -> None:
        """Forward, each piece of up to 64 KiB `seconds` late in each direction."""
        self._set(_Mode.FORWARD, delay=seconds)

    def cut_after(self, count: int, *, direction: Direction = "response") -> None:
        """Forward `count` more bytes of each connection in the direction, then reset the connection."""
        self._set(_Mode.FORWARD, cut=_Cut(count, direction))

    def half_close(self) -> None:
        """Tell the clients of the open connections that the target sends no more; keep taking what they send."""

        def act() -> None:
            for connection in self._open:
                connection.half_close()

        self._call(act)

    def cut(self) -> None:
        """Reset all open connections now; new ones are treated as before."""
        self._call(self._reset_all)

    def _set(self, mode: _Mode, *, delay: float = 0.0, cut: _Cut | None = None) -> None:
        async def act() -> None:
            self._mode, self._delay, self._cut = mode, delay, cut
            for connection in self._open:
                connection.count_from_here()
            if mode is _Mode.BLACK_HOLE:
                self._flowing.clear()
            else:
                self._flowing.set()
            if mode is _Mode.REFUSE:
                self._stop_listening()
            else:
                await self._listen()

        self._run(act())

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _call(self, act: Callable[[], None]) -> None:
        async def work() -> None:
            act()

        self._run(work())

    def _reset_all(self) -> None:
        for connection in list(self._open):
            connection.reset()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _finish(self) -> None:
        self._stop_listening()
        while self._open:
            tasks = [connection.task for connection in self._open]
            self._reset_all()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(self, reader, writer)
        self._open.add(connection)
        try:
            await connection.serve()
        except* (OSError, asyncio.CancelledError):
            pass  # either side left or the connection was cut: both are this proxy's daily work
        finally:
            connection.reset()
            self._open.discard(connection)


class _Connection:
    """One client connection and its way to the target."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._upstream: asyncio.StreamWriter | None = None
        self._moved: dict[Direction, int] = {"request": 0, "response": 0}
        self._deaf = False
        task = asyncio.current_task()
        assert task is not None
        self.task = task

    async def serve(self) -> None:
        """Forward both directions until both have ended."""
        proxy = self._proxy
        await proxy._flowing.wait()
        reader, self._upstream = await asyncio.open_connection(*proxy.target)
        async with asyncio.TaskGroup() as directions:
            directions.create_task(self._move("request", self._client[0], self._upstream))
            directions.create_task(self._move("response", reader, self._client[1]))

    def count_from_here(self) -> None:
        """Forget what was moved, so that a cut counts from its order on."""
        self._moved = {"request": 0, "response": 0}

    def half_close(self) -> None:
        """Send the client an end of stream and drop what the target still says."""
        self._deaf = True
        if self._client[1].can_write_eof():
            self._client[1].write_eof()

    def reset(self) -> None:
        """Break both sides off with a reset, as a failing network does."""
        for writer in (self._client[1], self._upstream):
            if writer is not None and not writer.transport.is_closing():
                raw = writer.get_extra_info("socket")
                # Linger of zero seconds: the kernel sends RST in place of an orderly end.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        if not self.task.done() and self.task is not asyncio.current_task():
            self.task.cancel()

    async def _move(self, direction: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(_CHUNK):
            if self._proxy._delay:
                await asyncio.sleep(self._proxy._delay)
            await self._proxy._flowing.wait()
            allowed = self._allowed(direction, len(piece))
            await self._send(direction, piece[:allowed], sink)
            if allowed < len(piece):
                raise ConnectionResetError
        await self._proxy._flowing.wait()
        if not self._deaf and sink.can_write_eof():
            sink.write_eof()

    def _allowed(self, direction: Direction, size: int) -> int:
        cut = self._proxy._cut
        if cut is None or cut.direction != direction:
            return size
        return max(0, min(size, cut.after - self._moved[direction]))

    async def _send(self, direction: Direction, piece: bytes, sink: asyncio.StreamWriter) -> None:
        self._moved[direction] += len(piece)
        if direction == "request":
            self._proxy.request_bytes += len(piece)
        else:
            self._proxy.response_bytes += len(piece)
        if self._deaf and sink is self._client[1]:
            return
        sink.write(piece)
        await sink.drain()
