"""A lab that goes on after its command has returned, and how it is found and ended again.

One background process owns the servers, so they die with it. What others need to know stands in one file, which is
there exactly while everything runs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab.binaries import KUBERNETES_VERSION, ensure
from tests.lab.errors import LabError
from tests.lab.processes import alive, end, start_time
from tests.lab.rabbitmq_install import Version
from tests.lab.setup import Lab

_STOP_TIMEOUT = 40.0  # seconds for the servers to end in order


@dataclass(frozen=True, slots=True)
class Description:
    """How to reach a running lab. Holds a throw-away password, so its file is private."""

    pid: int
    began: int
    kubernetes_version: str
    kubernetes_url: str
    kubeconfig: str
    rabbitmq_version: str
    rabbitmq_url: str
    rabbitmq_host: str
    rabbitmq_amqps_port: int
    rabbitmq_stream_tls_port: int
    rabbitmq_user: str
    rabbitmq_password: str
    rabbitmq_ca: str


def folder(name: str) -> Path:
    """Return the folder of the lab with this name."""
    return cache.root() / "run" / name


def find(name: str) -> Description | None:
    """Return the running lab of this name, or None."""
    try:
        found = Description(**json.loads((folder(name) / "lab.json").read_text()))
    except OSError:
        return None
    return found if alive(found.pid, found.began) else None


def up(name: str, rabbitmq: Version) -> Description:
    """Start the lab in the background and wait until it works; return the one that runs already if there is one."""
    with cache.locked(f"run-{name}"):
        if found := find(name):
            return found
        place = folder(name)
        shutil.rmtree(place, ignore_errors=True)  # what a killed lab left
        place.mkdir(parents=True, mode=0o700)
        read, write = os.pipe()
        with (place / "lab.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.lab", "serve", name, rabbitmq, str(write)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write],
                start_new_session=True,
                cwd=Path(__file__).parents[2],
            )
        os.close(write)
        try:
            with os.fdopen(read) as pipe:
                pipe.read()  # ends when the lab works or has died
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if found := find(name):
            return found
        raise LabError(f"the lab did not start:\n{(place / 'lab.log').read_text().strip()}")


def down(name: str) -> bool:
    """End the lab and remove its folder; return whether one ran."""
    with cache.locked(f"run-{name}"):
        found = find(name)
        if found:
            end(found.pid, found.began, _STOP_TIMEOUT)
        shutil.rmtree(folder(name), ignore_errors=True)
        return found is not None


def serve(name: str, rabbitmq: Version, ready: int) -> None:
    """Be the background process: run the lab until SIGTERM; close the descriptor `ready` when it works."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    with Lab(folder(name), rabbitmq=rabbitmq) as lab:
        description = folder(name) / "lab.json"
        description.touch(0o600)
        description.write_text(json.dumps(asdict(_describe(lab)), indent=1))
        os.close(ready)
        asked.wait()
        description.unlink(missing_ok=True)


def _describe(lab: Lab) -> Description:
    authority = lab.state_dir / "rabbitmq-ca.crt"
    authority.write_text(lab.rabbitmq.ca_pem)
    pid = os.getpid()
    return Description(
        pid=pid,
        began=start_time(pid) or 0,
        kubernetes_version=KUBERNETES_VERSION,
        kubernetes_url=lab.control_plane.url,
        kubeconfig=str(lab.control_plane.kubeconfig),
        rabbitmq_version=lab.rabbitmq.version,
        rabbitmq_url=lab.rabbitmq.management_url,
        rabbitmq_host=lab.rabbitmq.host,
        rabbitmq_amqps_port=lab.rabbitmq.amqps_port,
        rabbitmq_stream_tls_port=lab.rabbitmq.stream_tls_port,
        rabbitmq_user=lab.rabbitmq.admin_user,
        rabbitmq_password=lab.rabbitmq.admin_password,
        rabbitmq_ca=str(authority),
    )


def environment(found: Description) -> dict[str, str]:
    """Return the variables with which kubectl, the operator and a client reach the lab."""
    programs = ensure()
    folders = dict.fromkeys(str(path.parent) for path in (programs.kubectl, programs.helm))
    return {
        "KUBECONFIG": found.kubeconfig,
        "PATH": ":".join([*folders, "$PATH"]),
        "RABBITMQ_LAB_MANAGEMENT": found.rabbitmq_url,
        "RABBITMQ_LAB_AMQPS": f"{found.rabbitmq_host}:{found.rabbitmq_amqps_port}",
        "RABBITMQ_LAB_USER": found.rabbitmq_user,
        "RABBITMQ_LAB_PASSWORD": found.rabbitmq_password,
        "RABBITMQ_LAB_CA": found.rabbitmq_ca,
        # The operator refuses loopback addresses unless they are named.
        "CHANNEL_OPERATOR_ALLOWED_BROKER_HOSTS": "127.0.0.1,localhost",
    }
