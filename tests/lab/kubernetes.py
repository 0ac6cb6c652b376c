"""One Kubernetes control plane on loopback that can be stopped, paused and killed.

It has an API server, etcd and the controllers that work without nodes; it never runs pods.
"""

import base64
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.lab.binaries import ensure, kubectl_path
from tests.lab.errors import ExternalPartError, LabError
from tests.lab.ports import free_port
from tests.lab.processes import Server

_START_TIMEOUT = 180.0  # seconds; three are normal


class ControlPlane:
    """A control plane in its own folder; port, data and credentials outlive a restart."""

    def __init__(self, state_dir: Path, port: int | None = None, *, fsync: bool = True, audit: bool = False) -> None:
        """Prepare it without starting it.

        `fsync=False` spares etcd the disk: for tests, never for measurements. `audit=True` writes one JSON line per
        request to `audit_log`. With KUBECONFIG_LAB set, the cluster it names is used and none is started.
        """
        self.state_dir = state_dir
        self.port = port or free_port()
        self._fsync = fsync
        self._audit = audit
        self._server: Server | None = None
        self._external = os.environ.get("KUBECONFIG_LAB")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (there once it has started)."""
        return Path(self._external) if self._external else self.state_dir / "kubeconfig"

    @property
    def url(self) -> str:
        """The API server's address."""
        return str(self._cluster()["server"])

    @property
    def ca_pem(self) -> str:
        """The authority of the API server's certificate."""
        cluster = self._cluster()
        if path := cluster.get("certificate-authority"):
            return (self.kubeconfig.parent / str(path)).read_text()
        return base64.b64decode(cluster["certificate-authority-data"]).decode()

    @property
    def audit_log(self) -> Path:
        """Where requests are written with `audit=True`."""
        return self.state_dir / "audit.log"

    @property
    def log(self) -> Path:
        """What etcd, API server and controllers write."""
        return self.state_dir / "controlplane.log"

    @property
    def running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self._external is not None or (self._server is not None and self._server.running)

    @property
    def external(self) -> bool:
        """Whether it was given and is not the lab's."""
        return self._external is not None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._own().pid

    def start(self) -> None:
        """Start and wait until the API server and the controllers work."""
        if self._external:
            self.kubectl("version")
            return
        if self.running:
            raise LabError("this control plane runs already")
        self.state_dir.mkdir(parents=True, exist_ok=True)
        ready = self.state_dir / "ready"
        ready.unlink(missing_ok=True)
        command: list[str | Path] = [ensure().controlplane, "serve", f"--dir={self.state_dir}", f"--port={self.port}"]
        command += [f"--fsync={str(self._fsync).lower()}", f"--audit={str(self._audit).lower()}"]
        self._server = Server("the control plane", command, log=self.log)
        self._server.wait_until(ready.exists, _START_TIMEOUT)

    def stop(self) -> None:
        """End it; data and credentials stay. Does nothing if it does not run or is not the lab's."""
        if self._server:
            self._server.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._own().kill()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._own().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._own().signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start with the same data, port and credentials."""
        self._own()
        self.stop()
        self.start()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run the lab's kubectl as administrator; return its output, raise LabError with its complaint."""
        done = subprocess.run(
            # What kubectl remembers of a server goes with the server: the next one may have the same address.
            [
                kubectl_path(),
                f"--kubeconfig={self.kubeconfig}",
                f"--cache-dir={self.state_dir / 'kubectl-cache'}",
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def kubeconfig_for(self, namespace: str, service_account: str, path: Path, *, url: str | None = None) -> Path:
        """Write a kubeconfig with a fresh token of the service account, valid for a day, and return its path.

        `url` leads through another address, for example a proxy on 127.0.0.1.
        """
        token = self.kubectl("create", "token", service_account, "-n", namespace, "--duration=24h").strip()
        cluster = {"server": url or self.url, "certificate-authority-data": _encoded(self.ca_pem)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": service_account, "user": {"token": token}}],
            "contexts": [
                {"name": "lab", "context": {"cluster": "lab", "user": service_account, "namespace": namespace}}
            ],
            "current-context": "lab",
        }
        path.touch(0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    def _cluster(self) -> dict[str, Any]:
        config = yaml.safe_load(self.kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster: dict[str, Any] = _named(config["clusters"], context["cluster"])["cluster"]
        return cluster

    def _own(self) -> Server:
        if self._external:
            raise ExternalPartError("this cluster was given by KUBECONFIG_LAB and is not the lab's to disturb")
        if self._server is None:
            raise LabError("this control plane was never started")
        return self._server


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
