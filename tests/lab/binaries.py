"""The lab's own programs: the control plane, kubectl, kstatus and Helm, compiled once into the cache.

kubectl is always the lab's, because its output is compared with golden files. Helm 3.14 or newer on PATH is used if
there is one.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache as memoize
from pathlib import Path
from typing import Any

from tests.lab import cache, golang

KUBERNETES_VERSION = "v1.36.3"
HELM_VERSION = "v4.3.1"

_HERE = Path(__file__).parent
_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
_MAJOR, _MINOR = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
_OLDEST_HELM = (3, 14)

_CONTROL_PLANE = golang.Build(
    title=f"the Kubernetes {KUBERNETES_VERSION} control plane and kubectl",
    module=_HERE / "controlplane",
    package=".",
    variables=tuple(
        (f"{package}.{name}", value)
        for package in _VERSION_PACKAGES
        for name, value in (("gitVersion", KUBERNETES_VERSION), ("gitMajor", _MAJOR), ("gitMinor", _MINOR))
    ),
    packages=2700,
)
_HELM = golang.Build(
    title=f"Helm {HELM_VERSION}",
    module=_HERE / "helm",
    package="helm.sh/helm/v4/cmd/helm",
    variables=(("helm.sh/helm/v4/internal/version.version", HELM_VERSION),),
    packages=800,
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """Paths of the lab's programs."""

    controlplane: Path
    kubectl: Path
    kstatus: Path
    helm: Path


@memoize
def ensure() -> Binaries:
    """Return the programs, compiled first if the cache lacks them (minutes, once)."""
    with cache.locked("programs"):
        folder = cache.materialize("controlplane", _CONTROL_PLANE.inputs(), _make_control_plane)
        helm = _installed_helm() or cache.materialize("helm", _HELM.inputs(), _make_helm) / "helm"
        golang.drop_caches()
    return Binaries(folder / "controlplane", folder / "kubectl", folder / "kstatus", helm)


def _make_control_plane(folder: Path) -> None:
    golang.build(_CONTROL_PLANE, folder / "controlplane")
    for name in ("kubectl", "kstatus"):
        (folder / name).symlink_to("controlplane")


def _make_helm(folder: Path) -> None:
    golang.build(_HELM, folder / "helm")


def kubectl_path() -> Path:
    """Return the lab's kubectl."""
    return ensure().kubectl


def helm_path() -> Path:
    """Return Helm: this machine's if it is new enough, else the lab's."""
    return ensure().helm


def kstatus(objects: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Return {"status", "message"} per object, computed by the library that GitOps tools use."""
    lines = "".join(f"{json.dumps(one)}\n" for one in objects)
    done = subprocess.run([ensure().kstatus], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _installed_helm() -> Path | None:
    found = shutil.which("helm")
    if found is None:
        return None
    told = subprocess.run([found, "version", "--short"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.(\d+)", told)
    return Path(found) if match and (int(match[1]), int(match[2])) >= _OLDEST_HELM else None
