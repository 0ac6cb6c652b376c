"""Installs from the chart's own templates what the operator needs in a cluster: CRDs, rights, ServiceAccount.

The Deployment is left out, because the lab runs no pods; the operator runs as a process with the same rights.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab.binaries import helm_path
from tests.lab.kubernetes import ControlPlane

__all__ = ["CHART", "ROOT", "Installation", "install"]

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "channel-operator"
RELEASE = "channel-operator"
_RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


@dataclass(frozen=True, slots=True)
class Installation:
    """What was installed: the operator's namespace and its ServiceAccount."""

    control_plane: ControlPlane
    namespace: str
    service_account: str

    def kubeconfig(self, path: Path, *, url: str | None = None) -> Path:
        """Write a kubeconfig with a token of the ServiceAccount; `url` leads through a proxy."""
        return self.control_plane.kubeconfig_for(self.namespace, self.service_account, path, url=url)


def install(
    control_plane: ControlPlane, *, namespace: str = "channel-operator", values: Sequence[str] = ()
) -> Installation:
    """Apply CRDs, rights and ServiceAccount and wait until the API server knows the kinds.

    `values` are Helm's `--set` arguments. Works again on a cluster that has them.
    """
    settings = [argument for value in values for argument in ("--set", value)]
    command: list[str | Path] = [helm_path(), "template", RELEASE, CHART, f"--namespace={namespace}", *settings]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    manifests = [one for one in yaml.safe_load_all(text) if one]
    crds = [one for one in manifests if one["kind"] == "CustomResourceDefinition"]
    rights = [one for one in manifests if one["kind"] in _RIGHTS]
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    # kubectl remembers for hours which kinds a server has; what it learns before they are there must be forgotten.
    cache = f"--cache-dir={control_plane.state_dir / 'kubectl-cache-before'}"
    control_plane.kubectl(
        cache,
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
        stdin=yaml.safe_dump_all([home, *crds, *rights]),
    )
    names = [f"crd/{one['metadata']['name']}" for one in crds]
    control_plane.kubectl(cache, "wait", "--for=condition=Established", "--timeout=60s", *names)
    account = next(one for one in rights if one["kind"] == "ServiceAccount")
    return Installation(control_plane, namespace, account["metadata"]["name"])
