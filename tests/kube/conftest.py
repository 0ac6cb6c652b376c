"""A real API server with the CRDs, shared by all tests of this folder."""

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.binaries import kubectl_path
from tests.lab.kubernetes import ControlPlane

CRDS = Path(__file__).parents[2] / "crds"

Done = subprocess.CompletedProcess[str]


class Kube:
    """kubectl as administrator of one API server. Nothing here raises on a refusal: the tests read it."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane
        self.kubeconfig = control_plane.kubeconfig

    def kubectl(self, *arguments: str, stdin: str | None = None) -> Done:
        """Run kubectl."""
        command = [str(kubectl_path()), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def apply(self, manifest: str | Mapping[str, Any], *arguments: str) -> Done:
        """Apply YAML or one object server-side."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", "--server-side", "--field-manager=tests", *arguments, "-f", "-", stdin=text)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Read an object (or a list) as it is stored."""
        done = self.kubectl("get", *arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def namespace(self) -> str:
        """Make a namespace that no other test uses."""
        name = f"test-{secrets.token_hex(4)}"
        done = self.kubectl("create", "namespace", name)
        assert done.returncode == 0, done.stderr
        return name


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """One API server for the whole run, with the CRDs established."""
    control_plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), fsync=False)
    control_plane.start()
    try:
        server = Kube(control_plane)
        for arguments in (
            ("apply", "--server-side", "-f", str(CRDS)),
            ("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS)),
        ):
            done = server.kubectl(*arguments)
            assert done.returncode == 0, done.stderr
        yield server
    finally:
        control_plane.stop()


@pytest.fixture
def namespace(kube: Kube) -> str:
    """Give one test a namespace of its own."""
    return kube.namespace()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with tests/kube/golden/<name>; UPDATE_GOLDEN=1 writes it, for a person to read."""
    folder = Path(__file__).parent / "golden"

    def compare(name: str, text: str) -> None:
        path = folder / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{request.node.name}: {path} differs (UPDATE_GOLDEN=1 writes it)"

    return compare
