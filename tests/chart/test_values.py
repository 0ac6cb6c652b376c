"""The chart's values, their schema, their table, and the sets of them that are tried agree with each other."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from hack.chart_values import Row, UndescribedError, rows
from tests.chart.conftest import CHART, HelmError, Manifest, Render, pick
from tests.chart.switches import SWITCHES

Values = dict[str, Any]

VALUES: Values = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Values = json.loads((CHART / "values.schema.json").read_text())


def _leaves(values: Values, schema: Values, prefix: str = "") -> Iterator[str]:
    """Yield the values that stand for themselves: entries of maps whose names the schema fixes are gone into."""
    for name, value in values.items():
        inner = schema["properties"][name]
        if isinstance(value, dict) and inner.get("properties") and name not in {"resources", "dnsConfig"}:
            yield from _leaves(value, inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _value(values: Values, path: str) -> Any:
    for name in path.split("."):
        if name not in values:
            return None
        values = values[name]
    return values


def _objects(schema: Values, path: str = "") -> Iterator[tuple[str, Values]]:
    if schema.get("properties"):
        yield path, schema
        for name, inner in schema["properties"].items():
            yield from _objects(inner, f"{path}.{name}")


def test_the_schema_has_exactly_the_values_there_are() -> None:
    def names(schema: Values, values: Any) -> None:
        known = set(schema["properties"]) - {"global"}
        assert known == set(values), sorted(known ^ set(values))
        for name, inner in schema["properties"].items():
            if inner.get("properties") and values.get(name):
                names(inner, values[name]) if name != "resources" else None

    names(SCHEMA, VALUES)


def test_the_schema_lets_no_unknown_name_through_and_states_every_type() -> None:
    for path, schema in _objects(SCHEMA):
        assert schema["additionalProperties"] is False, path
        for name, inner in schema["properties"].items():
            assert {"type", "enum"} & set(inner), f"{path}.{name}"


def test_every_value_is_tried_with_something_else_than_its_default() -> None:
    untried = [
        leaf
        for leaf in _leaves(VALUES, SCHEMA)
        if all(_value(one, leaf) in (None, _value(VALUES, leaf)) for one in SWITCHES.values())
    ]
    assert untried == [], "add them to tests/chart/switches.py"


def test_the_table_of_values_has_every_value_with_its_default() -> None:
    found = {row.name: json.loads(row.default) for row in rows((CHART / "values.yaml").read_text())}
    assert found == {leaf: _value(VALUES, leaf) for leaf in _leaves(VALUES, SCHEMA)}


def test_a_value_without_a_description_would_be_found() -> None:
    assert list(rows("# -- What a is\n# for.\na:\n  b: 1\n")) == [Row("a", '{"b": 1}', "What a is for.")]
    with pytest.raises(UndescribedError, match=r"a\.c"):
        list(rows("# A part.\na:\n  # -- This.\n  b: 1\n  c: 2\n"))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"imagePullSecrets": [{}]}, "name"),
        ({"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}}, "cidrs"),
        ({"networkPolicy": {"brokers": [{}]}}, "brokers"),
        ({"admissionPolicies": {"validationActions": ["Deny", "Warn"]}}, "validationActions"),
        ({"admissionPolicies": {"brokers": {"groups": ["a'b"]}}}, "groups"),
        ({"admissionPolicies": {"physicalName": {"namespaces": ["a'b"]}}}, "namespaces"),
        ({"test": {"timeout": "soon"}}, "timeout"),
        ({"test": {"broker": {"name": "main"}}}, "test.broker.namespace is needed"),
        ({"hostAliases": [{"ip": "10.0.0.7"}]}, "hostnames"),
    ],
)
def test_what_cannot_work_is_refused_by_name(render: Render, values: Values, complaint: str) -> None:
    with pytest.raises(HelmError, match=complaint):
        render(values)


def test_the_network_policy_lets_through_what_is_listed_and_nothing_else(render: Render) -> None:
    assert not [one for one in render() if one["kind"] == "NetworkPolicy"]
    manifests = render(SWITCHES["guards"])
    policy = pick(manifests, "NetworkPolicy")["spec"]
    assert policy["podSelector"] == pick(manifests, "Deployment")["spec"]["selector"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    dns, api_server, broker = policy["egress"]
    assert ({one["port"] for one in dns["ports"]}, dns["to"]) == ({53, 5353}, [{"namespaceSelector": {}}])
    assert api_server == {"ports": [{"port": 6443}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
    assert broker == SWITCHES["guards"]["networkPolicy"]["brokers"][0]
    (metrics,) = policy["ingress"]
    assert metrics["ports"] == [{"port": 9090}]
    assert metrics["from"] == SWITCHES["guards"]["networkPolicy"]["metricsFrom"]


def _test_parts(manifests: list[Manifest]) -> list[Manifest]:
    return [one for one in manifests if "helm.sh/hook" in (one["metadata"].get("annotations") or {})]


def test_the_test_has_rights_of_its_own_on_its_own_objects_only_and_only_while_it_runs(render: Render) -> None:
    assert _test_parts(render()) == []
    parts = _test_parts(render(SWITCHES["test"]))
    assert [one["kind"] for one in parts] == ["ServiceAccount", "Role", "RoleBinding", "Job"]
    for one in parts[:3]:
        policy = one["metadata"]["annotations"]["helm.sh/hook-delete-policy"].split(",")
        assert {"hook-succeeded", "hook-failed"} <= set(policy)
    created, read, secret = pick(parts, "Role")["rules"]
    assert created["verbs"] == ["create"]
    assert (read["resourceNames"], secret["resourceNames"]) == (
        ["demo-channel-operator-test"],
        ["demo-channel-operator-test-binding"],
    )
    assert secret["verbs"] == ["get"]


def test_the_test_runs_the_operators_image_and_is_none_of_its_pods(render: Render) -> None:
    manifests = render(SWITCHES["test"])
    deployment, job = pick(manifests, "Deployment")["spec"], pick(manifests, "Job")["spec"]
    assert job["template"]["spec"]["containers"][0]["image"] == deployment["template"]["spec"]["containers"][0]["image"]
    selector = deployment["selector"]["matchLabels"]
    assert not selector.items() <= job["template"]["metadata"]["labels"].items()


def test_replicas_spread_as_the_operators_own_pods_unless_told_otherwise(render: Render) -> None:
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    told = {**constraint, "labelSelector": {"matchLabels": {"a": "b"}}}
    deployment = pick(render({"topologySpreadConstraints": [constraint, told]}), "Deployment")["spec"]
    found = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert found == [{**constraint, "labelSelector": deployment["selector"]}, told]
