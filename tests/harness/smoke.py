"""`helm test` without pods: the test hook's account and rights from the release, and its Job's command as a process.

Decides nothing about the result.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.harness.install import ROOT
from tests.lab.binaries import helm_path
from tests.lab.kubernetes import ControlPlane

__all__ = ["SmokeTest", "hooked"]

_SECONDS = 240.0


class SmokeTest:
    """The hook of one release, with its rights in the cluster."""

    def __init__(self, control_plane: ControlPlane, job: dict[str, Any], folder: Path) -> None:
        spec = job["spec"]["template"]["spec"]
        self.arguments: list[str] = spec["containers"][0]["args"]
        self._command = spec["containers"][0]["command"]
        namespace = job["metadata"]["namespace"]
        self._folder = folder
        self._kubeconfig = control_plane.kubeconfig_for(namespace, spec["serviceAccountName"], folder / "kubeconfig")

    def run(self, arguments: Sequence[str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the Job's command, with its own arguments unless others are given."""
        assert self._command[0] == "python"
        command = [sys.executable, *self._command[1:], *(self.arguments if arguments is None else arguments)]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "KUBECONFIG": str(self._kubeconfig),
            "PYTHONPATH": str(ROOT / "operator"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS, cwd=self._folder
        )


@contextmanager
def hooked(control_plane: ControlPlane, release: str, namespace: str, folder: Path) -> Iterator[SmokeTest]:
    """Make what the test hook of a release makes before its Job, and take it away after, as Helm does."""
    where = [f"--namespace={namespace}", f"--kubeconfig={control_plane.kubeconfig}"]
    command: list[str | Path] = [helm_path(), "get", "hooks", release, *where]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    hooks = [one for one in yaml.safe_load_all(text) if one]
    job = next(one for one in hooks if one["kind"] == "Job")
    rights = yaml.safe_dump_all([one for one in hooks if one is not job])
    folder.mkdir(parents=True, exist_ok=True)
    control_plane.kubectl("apply", "-f", "-", stdin=rights)
    try:
        yield SmokeTest(control_plane, job, folder)
    finally:
        control_plane.kubectl("delete", "-f", "-", stdin=rights)
