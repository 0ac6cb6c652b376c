"""The chart on a real API server: admission, install, upgrade, uninstall, and what the rights amount to."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.chart.conftest import CHART, Manifest, Render, pick, run_helm
from tests.lab.errors import LabError
from tests.lab.kubernetes import ControlPlane

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KINDS = ("brokers", "brokerusers", "queues", "topics", "subscriptions")
SUBJECT = "system:serviceaccount:{namespace}:demo-channel-operator"


def _helm(cluster: ControlPlane, *arguments: str | Path) -> str:
    return run_helm(*arguments, f"--kubeconfig={cluster.kubeconfig}")


def _may(cluster: ControlPlane, verb: str, resource: str, *, release: str, namespace: str = "") -> bool:
    """Ask the API server whether the release's ServiceAccount may."""
    scope = ["-n", namespace] if namespace else ["--all-namespaces"]
    who = SUBJECT.format(namespace=release)
    try:
        return cluster.kubectl("auth", "can-i", verb, resource, f"--as={who}", *scope).strip() == "yes"
    except LabError:
        return False


def _namespace(cluster: ControlPlane, name: str) -> None:
    """Make a namespace unless it is there."""
    cluster.kubectl("apply", "-f", "-", stdin=f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}")


def _dry_run(cluster: ControlPlane, manifests: list[Manifest]) -> str:
    text = yaml.safe_dump_all(manifests)
    return cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=text)


@pytest.fixture(scope="session")
def restricted(cluster: ControlPlane) -> str:
    """Return a namespace that admits only pods of the restricted Pod Security Standard."""
    cluster.kubectl("create", "namespace", "restricted")
    cluster.kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
    return "restricted"


@pytest.fixture(scope="session")
def everywhere(cluster: ControlPlane, restricted: str) -> Iterator[str]:
    """Return the namespace of a release that works in all namespaces, CRDs included."""
    _helm(cluster, "install", "demo", CHART, f"--namespace={restricted}")
    yield restricted
    _helm(cluster, "uninstall", "demo", f"--namespace={restricted}")


@pytest.fixture(scope="session")
def listed(cluster: ControlPlane, everywhere: str) -> str:
    """Return the namespace of a second release that works in `shop` only."""
    assert everywhere  # it brings the CRDs
    for namespace in ("shop", "elsewhere", "listed"):
        _namespace(cluster, namespace)
    values = ["--set=watch.namespaces={shop}", "--set=crds.install=false", "--set=rbac.aggregate=false"]
    _helm(cluster, "install", "demo", CHART, "--namespace=listed", *values)
    return "listed"


def test_the_api_server_takes_every_manifest(cluster: ControlPlane, render: Render, everywhere: str) -> None:
    assert everywhere  # the namespace of the dry run must exist, and so must the kinds
    _namespace(cluster, "ops")
    manifests = render({"extraEnv": [{"name": "A", "value": "b"}]})
    applied = _dry_run(cluster, manifests)
    assert applied.count("serverside-applied") == len(manifests)


def test_the_operators_pod_is_admitted_under_the_restricted_standard(
    cluster: ControlPlane, render: Render, everywhere: str
) -> None:
    template = pick(render(), "Deployment")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": everywhere}} | {
        "spec": template["spec"]
    }
    assert "pod/p serverside-applied" in _dry_run(cluster, [pod])
    del template["spec"]["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(LabError, match="unrestricted capabilities"):
        _dry_run(cluster, [pod])


def test_the_examples_are_accepted_once_the_chart_is_installed(cluster: ControlPlane, everywhere: str) -> None:
    assert everywhere
    for namespace in ("shop", "billing", "messaging"):
        _namespace(cluster, namespace)
    # Deeper folders hold programs, with configuration of their own.
    files = sorted([*EXAMPLES.glob("*.yaml"), *EXAMPLES.glob("*/*.yaml")])
    manifests = [document for path in files for document in yaml.safe_load_all(path.read_text())]
    assert _dry_run(cluster, manifests).count("serverside-applied") == len(manifests)


def test_the_notes_can_be_pasted(cluster: ControlPlane, everywhere: str) -> None:
    notes = _helm(cluster, "get", "notes", "demo", f"--namespace={everywhere}")
    lines = [line[2:] for line in notes.splitlines() if line.startswith("  ") and "kubectl" not in line]
    blocks = "\n".join(lines).replace("\napiVersion", "\n---\napiVersion")
    _namespace(cluster, "messaging")
    manifests = [one for one in yaml.safe_load_all(blocks) if one]
    assert [one["kind"] for one in manifests][-4:] == ["Broker", "BrokerUser", "BrokerUser", "Queue"]
    assert _dry_run(cluster, manifests).count("serverside-applied") == len(manifests)


@pytest.mark.parametrize("kind", KINDS)
def test_everywhere_means_all_namespaces(cluster: ControlPlane, everywhere: str, kind: str) -> None:
    resource = f"{kind}.channel-operator.dev"
    for verb in ("list", "watch", "patch"):
        assert _may(cluster, verb, resource, release=everywhere)
    assert _may(cluster, "patch", f"{resource}/status", release=everywhere)
    for verb in ("create", "update", "delete", "deletecollection"):
        assert not _may(cluster, verb, resource, release=everywhere)


def test_the_operator_cannot_list_secrets_nor_write_anything_else(cluster: ControlPlane, everywhere: str) -> None:
    for verb, resource in (
        ("list", "secrets"),
        ("watch", "secrets"),
        ("list", "configmaps"),
        ("create", "configmaps"),
        ("create", "pods"),
        ("patch", "namespaces"),
        ("get", "leases.coordination.k8s.io"),
        ("list", "customresourcedefinitions.apiextensions.k8s.io"),
    ):
        assert not _may(cluster, verb, resource, release=everywhere), f"{verb} {resource}"
    assert _may(cluster, "update", "leases.coordination.k8s.io", release=everywhere, namespace=everywhere)


def test_a_listed_namespace_is_all_it_sees(cluster: ControlPlane, listed: str) -> None:
    for verb, resource in (
        ("list", "queues.channel-operator.dev"),
        ("watch", "queues.channel-operator.dev"),
        ("patch", "queues.channel-operator.dev/status"),
        ("get", "secrets"),
        ("get", "namespaces/shop"),
        ("create", "events"),
    ):
        assert _may(cluster, verb, resource, release=listed, namespace="shop"), f"{verb} {resource}"
        assert not _may(cluster, verb, resource, release=listed, namespace="elsewhere"), f"{verb} {resource}"
    assert not _may(cluster, "list", "namespaces", release=listed)
    assert _may(cluster, "update", "leases.coordination.k8s.io", release=listed, namespace=listed)
    assert _may(cluster, "get", f"namespaces/{listed}", release=listed, namespace=listed)


def test_a_tenant_with_edit_writes_channels_and_no_brokers(cluster: ControlPlane, everywhere: str) -> None:
    assert everywhere
    cluster.kubectl("create", "clusterrolebinding", "tenant", "--clusterrole=edit", "--user=tenant")
    rules = json.loads(cluster.kubectl("get", "clusterrole", "edit", "-o", "json"))["rules"]
    ours = [rule for rule in rules if "channel-operator.dev" in rule["apiGroups"]]
    written = {resource for rule in ours if "create" in rule["verbs"] for resource in rule["resources"]}
    assert written == {"brokerusers", "queues", "topics", "subscriptions"}


def test_uninstalling_keeps_crds_and_what_users_wrote(tmp_path: Path) -> None:
    """In a cluster of its own, because it takes the chart away."""
    own = ControlPlane(tmp_path / "own", fsync=False)
    own.start()
    try:
        _helm(own, "install", "demo", CHART, "--namespace=ops", "--create-namespace")
        own.kubectl("wait", "--for=condition=Established", "crd/queues.channel-operator.dev", "--timeout=30s")
        own.kubectl("create", "namespace", "shop")
        own.kubectl("create", "namespace", "billing")
        own.kubectl("apply", "-f", str(EXAMPLES / "single-receiver" / "channels.yaml"))
        _helm(own, "upgrade", "demo", CHART, "--namespace=ops", "--set=replicaCount=1")
        assert own.kubectl("get", "deploy", "-n", "ops", "-o", "jsonpath={.items[*].spec.replicas}") == "1"
        _helm(own, "uninstall", "demo", "--namespace=ops")
        assert own.kubectl("get", "deploy,sa,role,rolebinding", "-n", "ops", "-o", "name").split() == [
            "serviceaccount/default"
        ]
        assert own.kubectl("get", "queues.channel-operator.dev", "-A", "-o", "name").split() == [
            "queue.channel-operator.dev/invoices"
        ]
        _helm(own, "install", "demo", CHART, "--namespace=ops")
        assert own.kubectl("get", "queues.channel-operator.dev", "-n", "billing", "-o", "name").strip()
    finally:
        own.stop()
