"""The fault proxy does to a connection what each of its settings says."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.lab.proxy import FaultProxy

PATIENCE = 10.0  # seconds before a read that should have been answered counts as a failure
SILENCE = 0.3  # seconds of waiting for a byte that must not come


class Echo:
    """Sends back what it gets, and an end of stream for an end of stream."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(4096):
                    connection.sendall(piece)
            except OSError:
                return


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    echo = Echo()
    with FaultProxy("127.0.0.1", echo.port) as started:
        yield started
    echo.close()


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)


def exchange(client: socket.socket, message: bytes = b"hello") -> bytes:
    client.sendall(message)
    return receive(client, len(message))


def receive(client: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count and (piece := client.recv(count - len(received))):
        received += piece
    return received


def receive_into(received: bytearray, client: socket.socket) -> None:
    while piece := client.recv(1):
        received += piece


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def assert_silent(client: socket.socket) -> None:
    client.settimeout(SILENCE)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(PATIENCE)


def test_forwards_both_ways_and_counts_bytes(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        assert exchange(client) == b"hello"
        assert (proxy.connections, proxy.accepted) == (1, 1)
    assert (proxy.request_bytes, proxy.response_bytes) == (5, 5)


def test_passes_on_an_orderly_end(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 10) == b"last words"
        assert client.recv(1) == b""


def test_refuses_new_connections_keeps_open_ones_and_accepts_again(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        exchange(client)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        assert exchange(client) == b"hello"
    proxy.forward()
    with connect(proxy) as client:
        assert exchange(client) == b"hello"


def test_a_black_hole_holds_bytes_until_it_forwards_again(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        exchange(client)
        proxy.black_hole()
        client.sendall(b"held")
        assert_silent(client)
        with connect(proxy) as late:
            late.sendall(b"late")
            assert_silent(late)
            proxy.forward()
            assert receive(late, 4) == b"late"
        assert receive(client, 4) == b"held"


def test_delays_each_piece(proxy: FaultProxy) -> None:
    proxy.delay(SILENCE)
    with connect(proxy) as client:
        client.sendall(b"slow")
        assert_silent(client)  # a delay in each direction, so nothing can be back yet
        assert receive(client, 4) == b"slow"


@pytest.mark.parametrize("direction", ["request", "response"])
def test_cuts_a_connection_in_the_middle_of_a_message(proxy: FaultProxy, direction: str) -> None:
    with connect(proxy) as client:
        exchange(client)
        proxy.cut_after(3, direction="request" if direction == "request" else "response")
        client.sendall(b"message")
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            receive_into(received, client)
    assert b"mes".startswith(received)
    proxy.forward()
    with connect(proxy) as client:
        assert exchange(client) == b"hello"


def test_half_close_ends_what_the_target_says_and_still_takes_bytes(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        exchange(client)
        proxy.half_close()
        assert client.recv(1) == b""
        before = proxy.request_bytes
        client.sendall(b"into the void")
        wait_until(lambda: proxy.request_bytes == before + len(b"into the void"))
    with connect(proxy) as client:
        assert exchange(client) == b"hello"


def test_cut_resets_open_connections_and_lets_new_ones_in(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        exchange(client)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(proxy) as client:
        assert exchange(client) == b"hello"


def test_a_dead_target_breaks_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with FaultProxy("127.0.0.1", port) as proxy, connect(proxy) as client:
        with pytest.raises(ConnectionResetError):
            assert client.recv(1) == b"nothing to read"
