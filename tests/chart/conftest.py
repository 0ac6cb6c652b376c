"""Helm on the chart, and one API server for all tests of this folder. Decides nothing about the chart."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.binaries import helm_path
from tests.lab.kubernetes import ControlPlane

CHART = Path(__file__).resolve().parents[2] / "charts" / "channel-operator"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


class HelmError(Exception):
    """Helm refused; the text is what it said."""


def run_helm(*arguments: str | Path) -> str:
    """Run Helm and return what it printed; HelmError with its complaint."""
    done = subprocess.run([helm_path(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


def helm_on(cluster: ControlPlane, *arguments: str | Path) -> str:
    """Run Helm as administrator of a cluster."""
    return run_helm(*arguments, f"--kubeconfig={cluster.kubeconfig}")


def pick(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    """Return the one manifest of the kind whose name ends so."""
    found = [one for one in manifests if one["kind"] == kind and one["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, [one["metadata"]["name"] for one in found]
    return found[0]


def pasted(notes: str) -> list[Manifest]:
    """Return the manifests that the chart's notes print, as somebody would paste them."""
    lines = "\n".join(line[2:] if line.startswith("  ") else "---" for line in notes.splitlines())
    return [one for one in yaml.safe_load_all(re.sub(r"(?m)^kubectl .*$", "", lines)) if one]


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Return a function that renders the chart as release `demo` in namespace `ops` with the given values."""

    def rendered(values: dict[str, Any] | None = None) -> list[Manifest]:
        file = tmp_path / "values.yaml"
        file.write_text(json.dumps(values or {}))
        text = run_helm("template", "demo", CHART, "--namespace=ops", f"--values={file}")
        return [one for one in yaml.safe_load_all(text) if one]

    return rendered


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a running API server."""
    control_plane = ControlPlane(tmp_path_factory.mktemp("cluster"), fsync=False)
    control_plane.start()
    yield control_plane
    control_plane.stop()


@pytest.fixture(scope="session")
def restricted(cluster: ControlPlane) -> str:
    """Return a namespace that admits only pods of the restricted Pod Security Standard."""
    cluster.kubectl("create", "namespace", "restricted")
    cluster.kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
    return "restricted"


@pytest.fixture(scope="session")
def everywhere(cluster: ControlPlane, restricted: str) -> Iterator[str]:
    """Return the namespace of a release that works in all namespaces, CRDs included."""
    helm_on(cluster, "install", "demo", CHART, f"--namespace={restricted}")
    yield restricted
    helm_on(cluster, "uninstall", "demo", f"--namespace={restricted}")
