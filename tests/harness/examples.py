"""The examples as a user meets them: the Broker's addresses filled in, every folder's manifests, its client run.

Nothing in `examples/` is changed for a test: what a user has to edit is edited here in memory.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness.cluster import documents
from tests.harness.install import ROOT
from tests.harness.kubeapi import Object
from tests.harness.site import Site, platform_objects
from tests.harness.world import World
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.tls import CertificateAuthority

__all__ = ["CLIENTS", "EXAMPLES", "FOLDERS", "broker", "certificates", "channels", "moved", "platform", "run_client"]

EXAMPLES = ROOT / "examples"
CLIENTS = EXAMPLES / "clients"
"""The programs of docs/clients, one folder for each framework."""
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/channels.yaml"))
_SECONDS = 120.0
"""After which a client that should have ended is given up."""


def broker(rabbitmq: RabbitMQ) -> list[Object]:
    """Return `examples/broker.yaml` with this RabbitMQ's addresses, password and authority."""
    found = documents(EXAMPLES / "broker.yaml")
    one = next(item for item in found if item["kind"] == "Broker")
    one["spec"]["rabbitmq"]["managementUrls"] = [f"https://localhost:{rabbitmq.management_port}"]
    one["spec"]["rabbitmq"]["clients"] = {"addresses": [f"localhost:{rabbitmq.amqps_port}"]}
    one["spec"]["tls"] = {"caRef": {"kind": "ConfigMap", "name": "rabbitmq-ca", "key": "ca.crt"}}
    namespaces = [item for item in found if item["kind"] == "Namespace"]
    return [*namespaces, *platform_objects(rabbitmq, one["metadata"]["namespace"]), one]


def platform(world: World) -> Site:
    """Apply the platform team's part, with the namespaces of the teams, and wait for the Broker: the vhost is `/`."""
    world.cluster.apply(*broker(world.rabbitmq), EXAMPLES / "namespaces.yaml")
    world.cluster.wait_ready("Broker", "messaging", "main")
    found = Site(world.cluster, world.rabbitmq, vhost="/")
    found.home = "messaging"
    return found


def channels(site: Site, name: str) -> None:
    """Apply an example's manifests and wait until every object is Ready."""
    for one in site.cluster.apply(EXAMPLES / name / "channels.yaml"):
        site.cluster.wait_ready(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"])


def certificates(manifests: Sequence[Object], authority: CertificateAuthority) -> list[Object]:
    """Return the Secrets that users by certificate refer to, as cert-manager would make them."""
    made: list[Object] = []
    for one in manifests:
        reference = one["spec"].get("authentication", {}).get("certificateSecretRef")
        if reference is None:
            continue
        metadata = {"name": reference["name"], "namespace": one["metadata"]["namespace"]}
        pair = authority.issue(f"{metadata['namespace']}.{one['metadata']['name']}")
        entries = {"tls.crt": pair.cert_pem, "tls.key": pair.key_pem}
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": metadata,
                "stringData": entries,
            }
        )
    return made


def moved(folder: Path, namespaces: Mapping[str, str]) -> list[Object]:
    """Return an example's manifests in other namespaces, so that tests can have it several times."""

    def rewritten(value: Any) -> Any:
        if isinstance(value, list):
            return [rewritten(item) for item in value]
        if isinstance(value, dict):
            renamed = {"namespace": namespaces[value["namespace"]]} if "namespace" in value else {}
            return {name: rewritten(item) for name, item in value.items()} | renamed
        return value

    return [rewritten(one) for one in documents(folder / "channels.yaml")]


def run_client(
    folder: Path, binding: Path, arguments: Sequence[str], *, timeout: float = _SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run an example's client with a binding folder, as its README says, and return what it printed."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "client.py", "--binding", binding, *arguments],
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
