"""The demo is interrupted, at once or again and again: it ends soon, in order, and leaves neither process nor file."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.install import ROOT
from tests.harness.waiting import wait_until
from tests.lab import golang


def processes(text: str) -> list[str]:
    """Return the command lines of this machine's processes that speak of a text."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if text in line:
            found.append(line)
    return found


MOMENTS: dict[str, Callable[[Path, str], object]] = {
    "while RabbitMQ starts": lambda folder, _printed: list(folder.rglob("rabbitmq.log")),
    "while the operator starts": lambda folder, _printed: list(folder.rglob("operator.log")),
    "while it shows something": lambda _folder, printed: "started" in printed,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_demo_is_ended_at_any_moment(tmp_path: Path, moment: str) -> None:
    folder, output = tmp_path / "temporary", tmp_path / "output"
    folder.mkdir()
    with output.open("wb") as file:
        demo = subprocess.Popen(
            [sys.executable, "-m", "hack.demo"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: MOMENTS[moment](folder, output.read_text()), moment)
        os.killpg(demo.pid, signal.SIGINT)
        os.killpg(demo.pid, signal.SIGINT)
        code = demo.wait(timeout=30)
    finally:
        demo.kill()
        demo.wait()
    printed = output.read_text()
    assert code == 130, printed
    assert "Traceback" not in printed
    assert list(folder.iterdir()) == []
    assert processes(str(folder)) == []


def test_a_build_that_is_interrupted_leaves_no_process(tmp_path: Path) -> None:
    mark = str(tmp_path / "child")
    command = ["sh", "-c", f"sh -c 'echo $0 >&2; sleep 600' {mark} & wait"]

    def begin_and_stop() -> None:
        with golang.group(command, tmp_path, os.environ) as process:
            assert process.stderr is not None
            assert process.stderr.readline().strip() == mark
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin_and_stop()
    wait_until(lambda: not processes(mark), "its children are gone", describe=lambda: "\n".join(processes(mark)))
