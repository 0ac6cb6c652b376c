"""What is generated is complete, bounded and tested, before any API server sees it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from channel_operator.api import crd, fields
from channel_operator.api.meta import Kind
from channel_operator.api.schema import RULES
from channel_operator.api.structural import immutability
from hack import generate
from tests.unit.api.changes import CHANGES, FIXED
from tests.unit.api.rule_cases import RULE_CASES
from tests.unit.api.scalars import SCALAR_CASES

Schema = dict[str, Any]


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, prop in schema.get("properties", {}).items():
        yield from nodes(prop, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[0]")


def root(kind: Kind) -> Schema:
    schema: Schema = crd.crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def test_generated_files_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("kind", list(Kind))
def test_every_string_list_and_map_is_bounded(kind: Kind) -> None:
    for path, node in nodes(root(kind)):
        if path in {"apiVersion", "kind", "metadata"} or "enum" in node or node.get("format") == "date-time":
            continue
        if node.get("type") == "string" or ("x-kubernetes-int-or-string" in node and path.startswith("spec")):
            assert "maxLength" in node, path
        if node.get("type") == "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
            assert "maxLength" in node["additionalProperties"], path


@pytest.mark.parametrize("kind", list(Kind))
def test_sets_hold_scalars_only_because_sets_of_objects_break_server_side_apply(kind: Kind) -> None:
    for path, node in nodes(root(kind)):
        if node.get("x-kubernetes-list-type") == "set":
            assert node["items"]["type"] == "string", path


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_has_a_description(kind: Kind) -> None:
    bare = [path for path, node in nodes(root(kind)) if not node.get("description") and not path.endswith("[0]")]
    assert bare == ["metadata", "metadata.name"]


@pytest.mark.parametrize("kind", list(Kind))
def test_defaults_are_scalars_and_never_in_lists(kind: Kind) -> None:
    for path, node in nodes(root(kind)["properties"]["spec"]):
        if "default" in node:
            assert isinstance(node["default"], str | int | bool), path
            assert "[0]" not in path, path


@pytest.mark.parametrize("kind", list(Kind))
def test_no_generators_mark_reaches_the_crd_and_the_size_is_modest(kind: Kind) -> None:
    text = json.dumps(crd.crd(kind))
    assert "x-mutable" not in text
    assert "$ref" not in text
    assert len(text) < 64 * 1024


@pytest.mark.parametrize("kind", list(Kind))
def test_every_rule_on_an_object_or_text_has_a_case(kind: Kind) -> None:
    cases = [*RULE_CASES, *SCALAR_CASES]
    tested = {(case.path, case.message) for case in cases if case.kind is kind}
    tested |= {(change.path, change.message) for change in CHANGES if change.kind is kind and change.message}
    for path, node in nodes(root(kind)["properties"]["spec"]):
        for rule in node.get(RULES, ()):
            blamed = (path + rule.get("fieldPath", "")).removeprefix(".")
            assert (blamed, rule["message"]) in tested, f"{kind} {blamed}: {rule['message']}"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_immutable_field_is_tried_to_be_changed(kind: Kind) -> None:
    marked = {rule.field.removeprefix(".") for rule in immutability(crd.spec_schema(kind))}
    special = {"secret.name"} if kind is Kind.BROKER_USER else set()
    assert marked | special == {fixed.path for fixed in FIXED if fixed.kind is kind}


def test_a_reference_is_one_field_and_an_object_its_fields() -> None:
    found = fields.leaves(Kind.QUEUE)
    assert {"brokerRef", "producers", "retry.maxDeliveries", "deadLetter.queueRef", "kafka.config"} <= set(found)
    assert not {"brokerRef.name", "retry", "producers[].name", "deadLetter.queueRef.name"} & set(found)
    assert len(found) == len(set(found))
