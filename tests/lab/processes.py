"""Starting and ending servers so that none outlives the process that wanted it."""

import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from tests.lab.errors import LabError, MissingToolError

_LOG_TAIL = 30  # lines of a server's log shown when it fails
_POLL = 0.05  # seconds between two looks at a condition


class _Spawner:
    """One thread that starts all children.

    The kernel's parent-death signal comes when the *thread* that started a child ends, so a fixture thread must not be
    the one. This thread lives as long as the process.
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._requests = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def spawn(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="lab-spawner", daemon=True)
                self._thread.start()
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._requests.put((start, answer))
        return answer.result()

    def _work(self) -> None:
        while True:
            start, answer = self._requests.get()
            try:
                answer.set_result(start())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                answer.set_exception(error)


_spawner = _Spawner()


class Server:
    """One server process with its log; it gets SIGKILL when this process ends in any way."""

    def __init__(
        self, name: str, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Start the program; `log` collects its output (appended, so a restart keeps the history)."""
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise MissingToolError("setpriv is missing: install util-linux (Debian: apt-get install util-linux)")
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [setpriv, "--pdeathsig", "KILL", "--", *map(str, argv)]
        with log.open("ab") as output:
            self._process = _spawner.spawn(
                lambda: subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env) if env is not None else None,
                    # Own session: Ctrl-C in the terminal ends the test run, which then ends its servers in order.
                    start_new_session=True,
                )
            )

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process still exists."""
        if self.running:
            self._process.send_signal(number)

    def stop(self, timeout: float = 20.0) -> None:
        """End it by SIGTERM, by SIGKILL after `timeout` seconds; wait until it is gone."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait(self, timeout: float) -> int:
        """Wait until it has ended by itself and return its exit code; subprocess.TimeoutExpired after `timeout` s."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it by SIGKILL and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until `ready()`; raise LabError with the log's tail if the server ends or `timeout` seconds pass."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise LabError(f"{self.name} ended with {self._process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} was not ready after {timeout:.0f} s:\n{self.log_tail()}")
            time.sleep(_POLL)

    def log_tail(self) -> str:
        """Return the last lines the server wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL:])


def start_time(pid: int) -> int | None:
    """Return when a process began (clock ticks since boot), or None if there is no such process.

    Together with the id it names one process for good: ids are used again, this pair is not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    state, began = fields[0], int(fields[19])
    return None if state == "Z" else began


def alive(pid: int, began: int) -> bool:
    """Whether the process that had this id at that time still runs."""
    return start_time(pid) == began


def end(pid: int, began: int, timeout: float) -> None:
    """End a process that is not our child: SIGTERM, then SIGKILL after `timeout` seconds."""
    for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 10.0)):
        if not alive(pid, began):
            return
        os.kill(pid, number)
        deadline = time.monotonic() + patience
        while alive(pid, began) and time.monotonic() < deadline:
            time.sleep(_POLL)
