"""What the chart makes for Prometheus, Grafana, kube-state-metrics and Argo CD: nothing unless asked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART, HelmError, Manifest, Render, pick, run_helm
from tests.harness.install import ROOT
from tests.harness.metric_names import check_query
from tests.lab.promtool import promtool

MONITORING = "monitoring.coreos.com/v1"
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def _both(mode: str) -> dict[str, Any]:
    return {"metrics": {"renderMode": mode, "serviceMonitor": {"create": True}, "prometheusRule": {"create": True}}}


def _foreign(manifests: list[Manifest]) -> set[str]:
    return {one["kind"] for one in manifests if one["apiVersion"] == MONITORING}


def test_nothing_of_it_is_there_unless_asked_for(render: Render) -> None:
    manifests = render()
    assert _foreign(manifests) == set()
    assert "ConfigMap" not in {one["kind"] for one in manifests}


def test_without_the_api_of_the_prometheus_operator_the_mode_decides(render: Render) -> None:
    assert _foreign(render(_both("skip"))) == set()
    assert _foreign(render(_both("always"))) == {"ServiceMonitor", "PrometheusRule"}
    with pytest.raises(HelmError, match=r"metrics\.\w+\.create: the cluster has no API monitoring\.coreos\.com/v1"):
        render(_both("fail"))


@pytest.mark.parametrize("mode", ["skip", "fail", "always"])
def test_with_that_api_every_mode_makes_them(tmp_path: Path, mode: str) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps(_both(mode)))
    text = run_helm("template", "demo", CHART, f"--values={values}", f"--api-versions={MONITORING}")
    assert _foreign([one for one in yaml.safe_load_all(text) if one]) == {"ServiceMonitor", "PrometheusRule"}


def test_a_service_monitor_finds_the_service_by_its_labels_and_port(render: Render) -> None:
    chosen = {
        "labels": {"release": "prometheus"},
        "annotations": {"a": "b"},
        "interval": "15s",
        "scrapeTimeout": "5s",
        "relabelings": [{"action": "labeldrop", "regex": "endpoint"}],
        "metricRelabelings": [{"action": "keep", "regex": "channel_.*", "sourceLabels": ["__name__"]}],
    }
    manifests = render({"metrics": {"renderMode": "always", "serviceMonitor": {"create": True, **chosen}}})
    monitor, service = pick(manifests, "ServiceMonitor"), pick(manifests, "Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["metadata"]["annotations"] == {"a": "b"}
    selector = monitor["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint.pop("port") in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint.pop("path") == "/metrics"
    assert endpoint == {
        name: chosen[name] for name in ("interval", "scrapeTimeout", "relabelings", "metricRelabelings")
    }


def test_a_service_monitor_without_the_service_is_refused(render: Render) -> None:
    values = {"renderMode": "always", "serviceMonitor": {"create": True}, "service": {"create": False}}
    with pytest.raises(HelmError, match=r"metrics\.service\.create"):
        render({"metrics": values})


def _rules(render: Render, **chosen: Any) -> Manifest:
    manifests = render({"metrics": {"renderMode": "always", "prometheusRule": {"create": True, **chosen}}})
    return pick(manifests, "PrometheusRule")


def test_a_prometheus_rule_holds_the_alerts_as_they_are_tested(render: Render, tmp_path: Path) -> None:
    spec = _rules(render)["spec"]
    assert spec == ALERTS
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(spec))
    assert "SUCCESS" in promtool("check", "rules", file)


def test_alerts_can_be_left_out_labelled_and_linked(render: Render) -> None:
    rule = _rules(
        render,
        disabledAlerts=["ChannelOperatorCredentialsOld"],
        alertLabels={"team": "messaging", "severity": "page"},
        runbookUrl="https://runbooks.example.com/",
        labels={"release": "prometheus"},
        annotations={"a": "b"},
    )
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["metadata"]["annotations"] == {"a": "b"}
    alerts = {one["alert"]: one for one in rule["spec"]["groups"][0]["rules"]}
    everything = {one["alert"] for one in ALERTS["groups"][0]["rules"]}
    assert set(alerts) == everything - {"ChannelOperatorCredentialsOld"}
    for name, alert in alerts.items():
        assert alert["labels"] == {"team": "messaging", "severity": "page"}
        assert alert["annotations"]["runbook_url"] == f"https://runbooks.example.com/{name}.md"


def test_a_misspelt_alert_to_leave_out_is_refused(render: Render) -> None:
    with pytest.raises(HelmError, match="there is no alert ChannelOperatorAbsnt; there are ChannelOperatorAbsent, "):
        _rules(render, disabledAlerts=["ChannelOperatorAbsnt"])


def test_the_dashboard_is_found_by_grafanas_sidecar(render: Render) -> None:
    manifests = render({"metrics": {"dashboard": {"create": True, "namespace": "grafana", "annotations": {"f": "g"}}}})
    found = pick(manifests, "ConfigMap", "-dashboard")
    assert found["metadata"]["namespace"] == "grafana"
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"f": "g"}
    assert json.loads(found["data"]["channel-operator.json"]) == DASHBOARD


def _targets() -> list[tuple[str, str, str]]:
    return [(panel["title"], one["expr"], one["legendFormat"]) for panel in PANELS for one in panel["targets"]]


@pytest.mark.parametrize(("title", "query", "legend"), _targets())
def test_the_dashboard_uses_metrics_and_labels_that_there_are(title: str, query: str, legend: str) -> None:
    labels = check_query(query)
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels, title
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$\{?(\w+)", query)) <= variables
    plain = query.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$broker", ".*")
    promtool("check", "rules", "/dev/stdin", text=json.dumps({"groups": [_group(plain)]}))


def _group(query: str) -> dict[str, Any]:
    return {"name": "panel", "rules": [{"record": "panel", "expr": query}]}


def test_prometheus_understands_the_queries_of_the_page_on_metrics() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    queries = re.findall(r"^```promql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(queries) >= 3
    rules = {"groups": [_group(query) for query in queries]}
    for number, group in enumerate(rules["groups"]):
        group["name"] = f"query {number}"
    promtool("check", "rules", "--lint=none", "/dev/stdin", text=json.dumps(rules))


def test_the_dashboards_variables_ask_for_what_there_is_and_its_panels_do_not_overlap() -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.findall(r"label_values\((.+), (\w+)\)", variable["definition"])[0]
            assert label in check_query(metric)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_configuration_for_kube_state_metrics_is_the_file(render: Render) -> None:
    manifests = render({"metrics": {"kubeStateMetrics": {"create": True, "namespace": "monitoring"}}})
    found = pick(manifests, "ConfigMap", "-kube-state-metrics")
    assert found["metadata"]["namespace"] == "monitoring"
    assert yaml.safe_load(found["data"]["config.yaml"]) == yaml.safe_load(
        (CHART / "files" / "kube-state-metrics.yaml").read_text()
    )


def test_argo_cd_gets_the_same_check_for_all_five_kinds(render: Render) -> None:
    manifests = render({"argocd": {"health": {"create": True, "namespace": "argocd"}}})
    found = pick(manifests, "ConfigMap", "-argocd-health")
    assert found["metadata"]["namespace"] == "argocd"
    check = (CHART / "files" / "argocd-health.lua").read_text()
    assert found["data"] == {
        f"resource.customizations.health.channel-operator.dev_{kind}": check
        for kind in ("Broker", "BrokerUser", "Queue", "Topic", "Subscription")
    }
