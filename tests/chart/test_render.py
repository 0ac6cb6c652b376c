"""What Helm makes of the chart with each of its values, without a cluster."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART, HelmError, Manifest, Render, pick, run_helm

CRDS = Path(__file__).resolve().parents[2] / "crds"


def _pod(manifests: list[Manifest]) -> Manifest:
    spec: Manifest = pick(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def _container(manifests: list[Manifest]) -> Manifest:
    container: Manifest = _pod(manifests)["containers"][0]
    return container


def _environment(manifests: list[Manifest]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in _container(manifests)["env"]}


def _kinds(manifests: list[Manifest]) -> set[str]:
    return {one["kind"] for one in manifests}


def _subjects(manifests: list[Manifest], kind: str) -> set[tuple[str, str]]:
    return {
        (one["metadata"].get("namespace", ""), subject["name"])
        for one in manifests
        if one["kind"] == kind
        for subject in one["subjects"]
    }


def test_helm_finds_nothing_to_complain_about() -> None:
    assert "0 chart(s) failed" in run_helm("lint", "--strict", CHART)


def test_the_crds_in_the_chart_are_those_of_the_repository(render: Render) -> None:
    rendered = {
        one["metadata"]["name"]: one
        for one in render({"crds": {"keep": False}})
        if one["kind"] == "CustomResourceDefinition"
    }
    written = {}
    for path in CRDS.glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        written[crd["metadata"]["name"]] = crd
    assert len(written) == 5
    assert rendered == written


def test_crds_are_kept_on_uninstall_unless_told_otherwise(render: Render) -> None:
    crds = [one for one in render() if one["kind"] == "CustomResourceDefinition"]
    assert len(crds) == 5
    assert {one["metadata"]["annotations"]["helm.sh/resource-policy"] for one in crds} == {"keep"}


def test_no_crd_is_too_big_for_an_annotation_with_all_of_it(render: Render) -> None:
    # kubectl apply and Argo CD without server-side apply write the object into one, and annotations have 256 KiB.
    crds = [one for one in render() if one["kind"] == "CustomResourceDefinition"]
    assert max(len(json.dumps(one)) for one in crds) < 200 * 1024


def test_crds_can_be_left_out(render: Render) -> None:
    assert "CustomResourceDefinition" not in _kinds(render({"crds": {"install": False}}))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicacount": 2}, "replicacount"),
        ({"crds": {"instal": True}}, "instal"),
        ({"operator": {"logLevel": "loud"}}, "logLevel"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"watch": {"namespaces": "shop"}}, "namespaces"),
        ({"watch": {"namespaces": ["Shop"]}}, "namespaces"),
        ({"metrics": {"port": 0}}, "port"),
        ({"replicaCount": "two"}, "replicaCount"),
    ],
)
def test_a_mistaken_value_is_refused_by_name(render: Render, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(HelmError, match=complaint):
        render(values)


def test_it_works_in_all_namespaces_by_default(render: Render) -> None:
    manifests = render()
    assert _subjects(manifests, "ClusterRoleBinding") == {("", "demo-channel-operator")}
    assert _subjects(manifests, "RoleBinding") == {("ops", "demo-channel-operator")}
    assert "CHANNEL_OPERATOR_NAMESPACES" not in _environment(manifests)


def test_listed_namespaces_leave_it_no_cluster_wide_right(render: Render) -> None:
    manifests = render({"watch": {"namespaces": ["shop", "billing"]}})
    assert "ClusterRoleBinding" not in _kinds(manifests)
    assert {namespace for namespace, _ in _subjects(manifests, "RoleBinding")} == {"shop", "billing", "ops"}
    assert _environment(manifests)["CHANNEL_OPERATOR_NAMESPACES"] == "shop,billing"


def test_secrets_are_never_listed_or_watched(render: Render) -> None:
    rules = [rule for one in render() if one["kind"] in {"ClusterRole", "Role"} for rule in one["rules"]]
    verbs = {verb for rule in rules if {"secrets", "configmaps"} & set(rule["resources"]) for verb in rule["verbs"]}
    assert verbs == {"get", "create", "update", "delete"}
    assert not any("*" in rule["resources"] + rule["verbs"] + rule["apiGroups"] for rule in rules)


def test_edit_has_no_right_on_brokers(render: Render) -> None:
    manifests = render()
    edit = pick(manifests, "ClusterRole", "-edit")
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert not any("brokers" in rule["resources"] for rule in edit["rules"])
    admin = pick(manifests, "ClusterRole", "-admin")
    assert [rule["resources"] for rule in admin["rules"]] == [["brokers"]]


def test_roles_can_be_left_out(render: Render) -> None:
    names = {one["metadata"]["name"] for one in render({"rbac": {"aggregate": False}})}
    assert not {name for name in names if name.endswith(("-view", "-edit", "-admin", "-service-binding"))}
    assert not _kinds(render({"rbac": {"create": False}})) & {"ClusterRole", "Role", "RoleBinding"}


def test_a_service_account_can_be_brought_along(render: Render) -> None:
    manifests = render({"serviceAccount": {"create": False, "name": "mine"}})
    assert "ServiceAccount" not in _kinds(manifests)
    assert _pod(manifests)["serviceAccountName"] == "mine"
    assert _subjects(manifests, "ClusterRoleBinding") == {("", "mine")}


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "channel-operator:0.1.0"),
        ({"tag": "dev"}, "channel-operator:dev"),
        ({"registry": "registry.example.com:5000", "repository": "a/b"}, "registry.example.com:5000/a/b:0.1.0"),
        ({"tag": "1", "digest": "sha256:" + "0" * 64}, "channel-operator:1@sha256:" + "0" * 64),
    ],
)
def test_the_image_is_named_by_its_parts(render: Render, image: dict[str, str], reference: str) -> None:
    assert _container(render({"image": image}))["image"] == reference


def test_one_replica_has_no_disruption_budget(render: Render) -> None:
    assert pick(render(), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert "PodDisruptionBudget" not in _kinds(render({"replicaCount": 1}))
    assert "PodDisruptionBudget" not in _kinds(render({"podDisruptionBudget": {"create": False}}))


def test_settings_reach_the_operator(render: Render) -> None:
    settings = {
        "logFormat": "text",
        "logLevel": "debug",
        "operatorId": "blue",
        "allowedBrokerHosts": ["*", "127.0.0.1"],
        "maxPolicies": 7,
        "tracingEndpoint": "http://collector:4318/v1/traces",
    }
    environment = _environment(render({"operator": settings, "metrics": {"port": 1234}, "health": {"port": 1235}}))
    assert (
        environment.items()
        >= {
            "CHANNEL_OPERATOR_LOG_FORMAT": "text",
            "CHANNEL_OPERATOR_LOG_LEVEL": "debug",
            "CHANNEL_OPERATOR_OPERATOR_ID": "blue",
            "CHANNEL_OPERATOR_ALLOWED_BROKER_HOSTS": "*,127.0.0.1",
            "CHANNEL_OPERATOR_MAX_POLICIES": "7",
            "CHANNEL_OPERATOR_TRACING_ENDPOINT": "http://collector:4318/v1/traces",
            "CHANNEL_OPERATOR_METRICS_ADDRESS": "0.0.0.0:1234",
            "CHANNEL_OPERATOR_HEALTH_ADDRESS": "0.0.0.0:1235",
        }.items()
    )


def test_the_ports_of_probes_and_metrics_are_those_the_operator_listens_on(render: Render) -> None:
    manifests = render({"metrics": {"port": 1234}, "health": {"port": 1235}})
    ports = {port["name"]: port["containerPort"] for port in _container(manifests)["ports"]}
    assert ports == {"metrics": 1234, "health": 1235}
    probes = [_container(manifests)[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")]
    assert [probe["port"] for probe in probes] == ["health"] * 3
    assert pick(manifests, "Service")["spec"]["ports"] == [{"name": "metrics", "port": 1234, "targetPort": "metrics"}]
    assert "Service" not in _kinds(render({"metrics": {"service": {"create": False}}}))


def test_the_usual_values_land_in_the_pod(render: Render) -> None:
    values: dict[str, Any] = {
        "imagePullSecrets": [{"name": "pull"}],
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "dnsConfig": {"searches": ["example.com"]},
        "hostAliases": [{"ip": "10.0.0.7", "hostnames": ["rabbitmq.example.com"]}],
        "terminationGracePeriodSeconds": 45,
    }
    pod = _pod(render(values))
    assert {name: pod[name] for name in values} == values


def test_extras_are_added(render: Render) -> None:
    values: dict[str, Any] = {
        "extraArgs": ["--shard=1"],
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "v", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}},
            "apiVersion: v1\nkind: Secret\nmetadata: {name: y}",
        ],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "commonLabels": {"team": "messaging"},
        "serviceAccount": {"annotations": {"e": "f"}},
        "strategy": {"type": "Recreate"},
        "revisionHistoryLimit": 1,
    }
    manifests = render(values)
    container, deployment = _container(manifests), pick(manifests, "Deployment")
    assert container["args"] == ["--shard=1"]
    assert {"name": "A", "value": "b"} in container["env"]
    assert {"name": "v", "mountPath": "/v"} in container["volumeMounts"]
    assert {"name": "v", "emptyDir": {}} in _pod(manifests)["volumes"]
    assert pick(manifests, "ConfigMap")["metadata"]["name"] == "demo-x"
    assert pick(manifests, "Secret")["metadata"]["name"] == "y"
    assert deployment["spec"]["template"]["metadata"]["annotations"]["a"] == "b"
    assert deployment["spec"]["template"]["metadata"]["labels"]["c"] == "d"
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["spec"]["revisionHistoryLimit"] == 1
    assert pick(manifests, "ServiceAccount")["metadata"]["annotations"] == {"e": "f"}
    unlabelled = {"CustomResourceDefinition", "ConfigMap", "Secret"}
    assert all(one["metadata"]["labels"]["team"] == "messaging" for one in manifests if one["kind"] not in unlabelled)


def test_names_can_be_replaced(render: Render) -> None:
    assert pick(render({"nameOverride": "chan"}), "Deployment")["metadata"]["name"] == "demo-chan"
    long = "x" * 60
    manifests = render({"fullnameOverride": long})
    assert pick(manifests, "Deployment")["metadata"]["name"] == "x" * 52
    assert _environment(manifests)["CHANNEL_OPERATOR_LEASE_NAME"] == "x" * 52


def test_the_default_memory_budget_and_token_can_be_changed(render: Render) -> None:
    manifests = render(
        {"resources": {"limits": {"memory": "1Gi"}}, "tmpSizeLimit": "1Mi", "serviceAccount": {"automount": False}}
    )
    assert _container(manifests)["resources"]["limits"]["memory"] == "1Gi"
    assert _pod(manifests)["volumes"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Mi"}
    assert _pod(manifests)["automountServiceAccountToken"] is False


def _leaves(schema: dict[str, Any], path: str = "") -> set[str]:
    if path in {".resources", ".dnsConfig"} or not schema.get("properties"):
        return {path}
    return {leaf for name, part in schema["properties"].items() for leaf in _leaves(part, f"{path}.{name}")}


def test_every_value_is_used_by_a_template() -> None:
    used = "".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    # Within `with .Values.image` a part is written `.tag`.
    used += "".join(
        f".Values.image.{part}" for part in re.findall(r"\.(\w+)", used.split("with .Values.image ")[1][:500])
    )
    for leaf in _leaves(json.loads((CHART / "values.schema.json").read_text())) - {".global"}:
        assert re.search(rf"\.Values{re.escape(leaf)}\b", used), leaf
