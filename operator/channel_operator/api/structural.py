"""Turns a model into the structural schema that a CRD accepts.

Decides how references are inlined, optionals flattened, and immutable fields guarded. Never decides a field.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from channel_operator.api.schema import MUTABLE, RULES, Fault, Model, Rule

__all__ = ["Step", "immutability", "schema_of", "unmarked"]

Schema = dict[str, Any]

_DROPPED: Final = frozenset({"title", "$defs"})
_NOT_CHANGED: Final = "cannot be changed, added or removed after creation"


def schema_of(model: type[Model]) -> Schema:
    """Return the schema of a model with everything inlined; the generator's marks are still in it."""
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    schema = adapter.json_schema(by_alias=True, mode="validation")
    return _inlined(schema, schema.get("$defs", {}))


def _inlined(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    own = {name: value for name, value in node.items() if name not in _DROPPED | {"$ref", "anyOf"}}
    if "$ref" in node:
        own = _merged(_inlined(definitions[node["$ref"].rsplit("/", 1)[1]], definitions), own)
    elif "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if len(choices) == 1:
            own = _merged(_inlined(choices[0], definitions), own)
        else:
            own["anyOf"] = choices
    return _tidied(own, definitions)


def _merged(base: Schema, own: Schema) -> Schema:
    """Lay what is said at the field over what its type says; rules add up."""
    rules = [*base.get(RULES, ()), *own.get(RULES, ())]
    return {**base, **own, **({RULES: rules} if rules else {})}


def _tidied(node: Schema, definitions: Mapping[str, Any]) -> Schema:
    if "properties" in node:
        node["properties"] = {name: _inlined(prop, definitions) for name, prop in node["properties"].items()}
    if "items" in node:
        node["items"] = _without_defaults(_inlined(node["items"], definitions))
    if node.get("type") == "integer":
        node.setdefault("format", "int64")
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    # Defaults of objects and lists, and None, say only that a field is optional.
    if "default" in node and not isinstance(node["default"], str | int | bool):
        del node["default"]
    return node


def _without_defaults(node: Schema) -> Schema:
    """Inside list items the API server's defaults make tools that compare manifests see a difference."""
    node.pop("default", None)
    for prop in node.get("properties", {}).values():
        _without_defaults(prop)
    return node


_ORDER: Final = ("description", "type", "format", "enum", "default", "minLength", "maxLength", "minimum", "maximum")


def unmarked(node: Schema) -> Schema:
    """Return a copy for the CRD: without the generator's marks, in the order in which people read it."""
    names = sorted(node, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    copy = {name: node[name] for name in names if name != MUTABLE}
    if "default" in copy and "Default" not in copy.get("description", "Default"):
        # kubectl explain shows no defaults by itself.
        copy["description"] += f" Default: {json.dumps(copy['default']).strip(chr(34))}."
    if "properties" in copy:
        copy["properties"] = {name: unmarked(prop) for name, prop in copy["properties"].items()}
    if "items" in copy:
        copy["items"] = unmarked(copy["items"])
    return copy


class Step(NamedTuple):
    """One property on the way to a field; `optional` when it may be absent from the stored object."""

    name: str
    optional: bool


def immutability(spec: Schema) -> Iterator[Rule]:
    """Yield one rule on the spec for each field marked immutable, however deep.

    They all stand on the spec: a rule further down is not asked when one of its parents is added or removed.
    """
    for path, node in _marked(spec, ()):
        yield Rule(
            _unchanged(path, node),
            _NOT_CHANGED,
            field="".join(f".{step.name}" for step in path),
            fault=Fault.FORBIDDEN,
        )


def _marked(node: Schema, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Schema]]:
    required = node.get("required", ())
    for name, prop in node.get("properties", {}).items():
        # A defaulted field is always there once its parent is.
        here = (*path, Step(name, optional=name not in required and "default" not in prop))
        if prop.get(MUTABLE) == "no":
            yield here, prop
        else:
            yield from _marked(prop, here)


def _unchanged(path: tuple[Step, ...], node: Schema) -> str:
    """Compare new and old, an absent value being its default or else different from every value."""
    new, old = _reference("self", path), _reference("oldSelf", path)
    new_there, old_there = _present("self", path), _present("oldSelf", path)
    if not new_there:
        return f"{new} == {old}"
    if "default" in node:
        default = _literal(node["default"])
        return f"({new_there} ? {new} : {default}) == ({old_there} ? {old} : {default})"
    return f"({new_there}) == ({old_there}) && (!({new_there}) || {new} == {old})"


def _reference(root: str, path: tuple[Step, ...]) -> str:
    return root + "".join(f".{step.name}" for step in path)


def _present(root: str, path: tuple[Step, ...]) -> str:
    return " && ".join(f"has({_reference(root, path[: i + 1])})" for i, step in enumerate(path) if step.optional)


def _literal(value: str | int | bool) -> str:  # noqa: FBT001 - the value is data, not a switch
    if isinstance(value, str):
        return "'" + re.sub(r"(['\\])", r"\\\1", value) + "'"
    return str(value).lower()
