"""The chart on a real API server: what it takes of it, admission, and what the rights amount to.

The life of an installation, with a broker behind it, is told in test_installed.py.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART, Manifest, Render, helm_on, pasted, pick
from tests.chart.switches import SWITCHES
from tests.lab.errors import LabError
from tests.lab.kubernetes import ControlPlane

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KINDS = ("brokers", "brokerusers", "queues", "topics", "subscriptions")
FOREIGN = "monitoring.coreos.com/"
"""Kinds that another project brings to a cluster."""
SUBJECT = "system:serviceaccount:{namespace}:demo-channel-operator"


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
    return cluster.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=text)


@pytest.fixture(scope="session")
def listed(cluster: ControlPlane, everywhere: str) -> str:
    """Return the namespace of a second release that works in `shop` only."""
    assert everywhere  # it brings the CRDs
    for namespace in ("shop", "elsewhere", "listed"):
        _namespace(cluster, namespace)
    values = ["--set=watch.namespaces={shop}", "--set=crds.install=false", "--set=rbac.aggregate=false"]
    helm_on(cluster, "install", "demo", CHART, "--namespace=listed", *values)
    return "listed"


@pytest.mark.parametrize("values", SWITCHES.values(), ids=SWITCHES)
def test_the_api_server_takes_every_manifest(
    cluster: ControlPlane, render: Render, everywhere: str, values: dict[str, Any]
) -> None:
    assert everywhere  # the kinds must exist, and so must the namespaces of the dry run
    for namespace in ("ops", "shop", "billing"):
        _namespace(cluster, namespace)
    manifests = [one for one in render(values) if not one["apiVersion"].startswith(FOREIGN)]
    applied = _dry_run(cluster, manifests)
    assert applied.count("serverside-applied") == len(manifests)


Change = Callable[[Manifest, Manifest], object]

UNRESTRICTED: dict[str, Change] = {
    "unrestricted capabilities": lambda _, container: container["securityContext"].pop("capabilities"),
    "allowPrivilegeEscalation != false": lambda _, container: container["securityContext"].pop(
        "allowPrivilegeEscalation"
    ),
    "runAsNonRoot != true": lambda pod, _: pod["securityContext"].update(runAsNonRoot=False),
    "runAsUser=0": lambda pod, _: pod["securityContext"].update(runAsUser=0),
    "seccompProfile": lambda pod, _: pod["securityContext"].pop("seccompProfile"),
    "restricted volume types": lambda pod, _: pod["volumes"].append({"name": "h", "hostPath": {"path": "/etc"}}),
    "host namespaces": lambda pod, _: pod.update(hostNetwork=True),
    "privileged": lambda _, container: container["securityContext"].update(privileged=True),
}


def _pod(manifests: list[Manifest], kind: str, namespace: str) -> Manifest:
    metadata = {"name": "p", "namespace": namespace}
    spec = pick(manifests, kind)["spec"]["template"]["spec"]
    # The account of the test is there only while it runs.
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "serviceAccountName": "default"}}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
@pytest.mark.parametrize("switches", ["pods", "test"])
def test_the_pods_are_admitted_under_the_restricted_standard(
    cluster: ControlPlane, render: Render, everywhere: str, switches: str, kind: str
) -> None:
    values = {**SWITCHES[switches], "test": SWITCHES["test"]["test"], "priorityClassName": ""}
    assert "pod/p serverside-applied" in _dry_run(cluster, [_pod(render(values), kind, everywhere)])


@pytest.mark.parametrize("complaint", UNRESTRICTED)
def test_a_pod_that_asked_for_more_would_be_refused(
    cluster: ControlPlane, render: Render, everywhere: str, complaint: str
) -> None:
    pod = _pod(render(), "Deployment", everywhere)
    UNRESTRICTED[complaint](pod["spec"], pod["spec"]["containers"][0])
    with pytest.raises(LabError, match=re.escape(complaint)):
        _dry_run(cluster, [pod])


def test_the_examples_are_accepted_once_the_chart_is_installed(cluster: ControlPlane, everywhere: str) -> None:
    assert everywhere
    for namespace in ("shop", "billing", "messaging"):
        _namespace(cluster, namespace)
    # Deeper folders hold programs, with configuration of their own.
    files = sorted([*EXAMPLES.glob("*.yaml"), *EXAMPLES.glob("*/*.yaml")])
    manifests = [document for path in files for document in yaml.safe_load_all(path.read_text())]
    assert _dry_run(cluster, manifests).count("serverside-applied") == len(manifests)


def test_the_manifests_of_the_local_cluster_are_accepted(cluster: ControlPlane, everywhere: str) -> None:
    assert everywhere
    _namespace(cluster, "messaging")
    files = sorted((EXAMPLES.parent / "hack" / "kind").glob("*.yaml"))
    manifests = [document for path in files for document in yaml.safe_load_all(path.read_text())]
    assert len(manifests) == 4
    assert _dry_run(cluster, manifests).count("serverside-applied") == len(manifests)


def test_the_notes_can_be_pasted(cluster: ControlPlane, everywhere: str) -> None:
    notes = helm_on(cluster, "get", "notes", "demo", f"--namespace={everywhere}")
    manifests = pasted(notes)
    kinds = [one["kind"] for one in manifests]
    assert kinds == ["Namespace", "Secret", "Broker", "Namespace", "Namespace", "BrokerUser", "BrokerUser", "Queue"]
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))
    for command in re.findall(r"^  kubectl (get .+)$", notes, re.MULTILINE):
        assert cluster.kubectl(*command.split()).strip()
    assert "invoices" in cluster.kubectl("get", "channels", "-n", "billing")


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
