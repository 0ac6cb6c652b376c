"""The harness's operator, with what can be measured from outside: metrics, log, what the kernel counts."""

import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.harness.install import Installation
from tests.harness.process import Metrics, Operator
from tests.lab.processes import Server

__all__ = ["MeasuredOperator", "Metrics", "cpu_seconds", "machine_seconds"]

PREFIX = "channel_operator_"
_LIST_LEADS = "leading"
"""The operator logs this when its store is full, it leads, and a fresh list agrees."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_seconds() -> tuple[float, float]:
    """Return the CPU time of all cores together so far: at work, and idle (waiting for the disk included)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    tick = os.sysconf("SC_CLK_TCK")
    return (sum(fields) - idle) / tick, idle / tick


class MeasuredOperator(Operator):
    """Run it with `profile=True` to have cProfile write `operator.prof` beside its log when it stops."""

    def __init__(
        self, state_dir: Path, installation: Installation, *, settings: dict[str, str], profile: bool = False
    ) -> None:
        super().__init__(state_dir, installation, settings={"allowed_broker_hosts": "*,127.0.0.1", **settings})
        self._profile = profile
        self.launched_at = 0.0

    def launch(self) -> None:
        """Start and return at once."""
        self.launched_at = time.time()
        if not self._profile:
            super().launch()
            return
        command: list[str | Path] = [sys.executable, "-m", "cProfile", "-o", self.state_dir / "operator.prof"]
        self._server = Server("the operator", [*command, "-m", "channel_operator"], log=self.log, env=self.environment)

    def leading_since(self) -> float:
        """Return when (seconds since the epoch) it had its lists and began to lead. Raises LookupError."""
        for entry in reversed(self.log_lines()):
            if entry.get("msg") == _LIST_LEADS:
                return datetime.fromisoformat(entry["ts"]).timestamp()
        raise LookupError(f"the operator does not lead yet\n{self.last_words()}")

    def complaints(self) -> list[dict[str, Any]]:
        """Return what it logged as warning or worse."""
        return [e for e in self.log_lines() if e.get("level") not in {"debug", "info"}]

    @property
    def cpu_seconds(self) -> float:
        """CPU time used so far, user and system."""
        return cpu_seconds(self.pid)

    def memory(self) -> dict[str, float]:
        """Return the resident set in MB (1e6 bytes): now and at its highest."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return {name: int(lines[key].split()[0]) * 1024 / 1e6 for name, key in (("now", "VmRSS"), ("peak", "VmHWM"))}
