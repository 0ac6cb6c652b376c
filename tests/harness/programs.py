"""An application's program with a binding Secret in its file system: started, listened to, ended.

It runs in an environment of its own, with nothing of the test's but PATH. It asserts nothing.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.bindings import BindingFolder
from tests.harness.install import ROOT
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.lab.processes import Server
from tests.lab.progress import step
from tests.lab.tls import CertificateAuthority

__all__ = ["Application", "Program", "python_of"]

_SECONDS = 120.0
"""After which a program that should have ended is given up."""
_START_SECONDS = 60.0
"""For a program's first words: frameworks take their time, on a busy machine more."""


class Application:
    """One BrokerUser's application: its folder, with the binding Secret where the Service Binding convention says."""

    def __init__(self, site: Site, namespace: str, user: str, folder: Path, *, channels: int = 1) -> None:
        """Write the binding Secret as soon as it is there and names so many channels."""
        self.site = site
        self.namespace = namespace
        self.user = user
        self.folder = folder
        self.renew(channels=channels)

    def renew(self, *, channels: int = 1) -> BindingFolder:
        """Write the binding Secret as it is now, as Kubernetes does some time after a change."""
        place = self.folder / "bindings" / "rabbitmq"
        return BindingFolder.of(self.site.cluster, self.namespace, self.user, place, channels=channels)

    def change_password(self, password: str) -> None:
        """Have the team choose another password, and the folder renewed once the binding Secret has it."""
        name = f"{self.user}-password"
        metadata = {"name": name, "namespace": self.namespace}
        chosen = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": password}}
        cluster = self.site.cluster
        cluster.apply(chosen)
        cluster.patch("BrokerUser", self.namespace, self.user, {"spec": {"passwordSecretRef": {"name": name}}})
        cluster.look_now(self.namespace, self.user, kind="BrokerUser")

        def written() -> bool:
            return self.site.binding(self.namespace, self.user)["password"] == password

        wait_until(written, "the binding Secret has the new password", describe=cluster.evidence)
        cluster.wait_ready("BrokerUser", self.namespace, self.user)
        self.renew()

    def distrust(self) -> None:
        """Put another authority in the folder than the one that vouches for the broker."""
        (self.folder / "bindings" / "rabbitmq" / "certificates").write_text(CertificateAuthority.create("other").pem)

    def misname(self, other: str = "127.1") -> None:
        """Put another name of the same machine in the folder, one that the broker's certificate does not have."""
        folder = self.folder / "bindings" / "rabbitmq"
        for name in ("host", "uri"):
            entry = folder / name
            entry.write_text(entry.read_text().replace("localhost", other))

    def close_connections(self) -> None:
        """Have the broker end the user's connections, once it lists one."""
        path = f"/api/connections/username/{self.site.binding(self.namespace, self.user)['username']}"
        wait_until(lambda: self.site.rabbit("GET", path), "the connection is listed")
        self.site.rabbit("DELETE", path)

    @property
    def environment(self) -> dict[str, str]:
        """Everything the programs get."""
        passed = {name: os.environ[name] for name in ("PATH", "LANG", "JAVA_HOME") if name in os.environ}
        own = {"HOME": str(self.folder), "TMPDIR": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**passed, **own, "SERVICE_BINDING_ROOT": str(self.folder / "bindings"), "PYTHONUNBUFFERED": "1"}

    def run(self, command: Sequence[str | Path], where: Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; standard error joins its output."""
        return subprocess.run(
            command,
            cwd=where,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_SECONDS,
        )

    def start(self, command: Sequence[str | Path], where: Path) -> "Program":
        """Start a program that goes on until it is ended."""
        return Program(command, self.folder / f"{self.user}.log", {**self.environment, "PYTHONPATH": str(where)})


class Program:
    """A running program; it ends with the with-block, and with the test's process at the latest."""

    def __init__(self, command: Sequence[str | Path], log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self._server = Server(str(command[0]), command, log=log, env=environment)

    def wait_line(self, text: str, *, count: int = 1) -> str:
        """Wait until so many lines of what it printed hold the text; return the last of them."""

        def look() -> str | None:
            lines = [line for line in self.log.read_text().splitlines() if text in line]
            return lines[-1] if len(lines) >= count else None

        return wait_until(
            look, f"{text!r} is printed {count} times", timeout=_START_SECONDS, describe=self.log.read_text
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.stop()


def python_of(requirements: str) -> Path:
    """Return the Python of an environment that holds exactly `requirements/<name>.txt`, made first if needed."""
    with step(f"The Python environment of requirements/{requirements}.txt"):
        found = subprocess.run([ROOT / "hack" / "venv", requirements], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()) / "bin" / "python"
