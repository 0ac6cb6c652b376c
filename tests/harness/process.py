"""The operator as a process, with the chart's ServiceAccount and nothing more. Decides nothing about its behaviour."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.harness.install import ROOT, Installation
from tests.harness.waiting import TIMEOUT, wait_until
from tests.lab.errors import LabError
from tests.lab.ports import free_port
from tests.lab.processes import Server

__all__ = ["Metrics", "Operator"]

_SHOWN_LINES = 25
_PASSED_ON = ("PATH", "LANG")


class Metrics:
    """One reading of the metrics."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of a series whose labels have these values; 0 if there is none."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= dict(sample.labels).items()
        )

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Return the sums of a series for each value of a label."""
        values = {sample.labels[label] for sample in self._samples if sample.name == name and label in sample.labels}
        return {value: self.total(name, **{**labels, label: value}) for value in sorted(values)}


class Operator:
    """One replica. Ports, log and kubeconfig outlive a restart; it dies with the process that started it."""

    def __init__(
        self,
        state_dir: Path,
        installation: Installation,
        *,
        settings: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> None:
        """Prepare it. `settings`: names as in CHANNEL_OPERATOR_*, lower case; `url`: another way to the API server."""
        state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir = state_dir
        self.installation = installation
        self.log = state_dir / "operator.log"
        self.metrics_port, self.health_port = free_port(), free_port()
        self.kubeconfig = installation.kubeconfig(state_dir / "operator.kubeconfig", url=url)
        self._settings = {
            "kubeconfig": str(self.kubeconfig),
            "namespace": installation.namespace,
            "allowed_broker_hosts": "127.0.0.1,localhost",
            "metrics_address": f"127.0.0.1:{self.metrics_port}",
            "health_address": f"127.0.0.1:{self.health_port}",
            **(settings or {}),
        }
        self._server: Server | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the process: its settings, and nothing of ours that could help it."""
        chosen = {f"CHANNEL_OPERATOR_{name.upper()}": value for name, value in self._settings.items()}
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            **passed,
            **chosen,
            "HOME": str(self.state_dir),
            # A killed process cannot clear its temporary files away; here they go with the folder.
            "TMPDIR": str(self.state_dir),
            "PYTHONPATH": str(ROOT / "operator"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self._server is not None and self._server.running

    @property
    def pid(self) -> int:
        """Process id."""
        return self._own().pid

    def start(self, *, leading: bool = True) -> "Operator":
        """Start and wait until it is ready and, unless told otherwise, leads."""
        self.launch()
        wait_until(self.ready, "the operator becomes ready", describe=self.last_words)
        if leading:
            self.wait_leading()
        return self

    def launch(self) -> None:
        """Start and return at once."""
        if self.running:
            raise LabError("this operator runs already")
        command: list[str | Path] = [sys.executable, "-m", "channel_operator"]
        self._server = Server("the operator", command, log=self.log, env=self.environment)

    def wait_leading(self, *, timeout: float = TIMEOUT) -> None:
        """Wait until it leads."""
        wait_until(self.leads, "the operator leads", timeout=timeout, describe=self.last_words)

    def stop(self, timeout: float = 30.0) -> int:
        """Ask it to end and return its exit code; LabError if it does not end within `timeout` seconds."""
        server = self._own()
        server.signal(signal.SIGCONT)
        server.signal(signal.SIGTERM)
        try:
            return server.wait(timeout)
        except subprocess.TimeoutExpired:
            server.kill()
            raise LabError(f"the operator did not end within {timeout:.0f} s\n{self.last_words()}") from None

    def kill(self) -> None:
        """End it as a power cut would."""
        self._own().kill()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing happens."""
        self._own().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._own().signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop in order and start again."""
        self.stop()
        self.start()

    def ready(self) -> bool:
        """Whether the readiness probe is content. LabError if the process has ended."""
        if not self.running:
            raise LabError(f"the operator ended\n{self.last_words()}")
        return self.probe("readyz") == 200  # the status that probes look for

    def leads(self) -> bool:
        """Whether it says that it leads."""
        return self.running and self.metrics().total("channel_operator_leader") == 1

    def probe(self, path: str) -> int:
        """Return the HTTP status of a probe (`startupz`, `readyz`, `healthz`), 0 without an answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self) -> Metrics:
        """Read the metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            return Metrics(answer.read().decode())

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the log's JSON lines; a line that is none (a crash) comes as `{"msg": line, "level": "raw"}`."""
        return [_parsed(line) for line in self._lines()]

    def last_words(self) -> str:
        """Return the end of the log, for failure texts."""
        state = "runs" if self.running else "does not run"
        return "\n".join([f"the operator {state}; the end of its log:", *self._lines()[-_SHOWN_LINES:]])

    def _lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def _own(self) -> Server:
        if self._server is None:
            raise LabError("this operator was never started")
        return self._server


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"level": "raw", "msg": line}
