"""Lists the fields of a spec and of a status, as the reference pages and the field table need them.

Decides what counts as one field: a list, a map and a reference are one, an object is its fields.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from channel_operator.api.crd import spec_schema, status_schema
from channel_operator.api.meta import Kind
from channel_operator.api.schema import MUTABLE

__all__ = ["Field", "fields", "leaves", "status_fields"]


class Field(NamedTuple):
    """One field. `path` starts below the spec or status: `retry.maxDeliveries`, `producers[].name`."""

    path: str
    type: str
    required: bool
    default: str | None
    mutable: str
    description: str
    is_object: bool
    in_list: bool


def fields(kind: Kind) -> Iterator[Field]:
    """Yield every field of a kind's spec, an object before its fields, first what a first-time user meets."""
    yield from _fields(spec_schema(kind), "", in_list=False)


def status_fields(kind: Kind) -> Iterator[Field]:
    """Yield every field of a kind's status, an object before its fields."""
    yield from _fields(status_schema(kind), "", in_list=False)


def leaves(kind: Kind) -> tuple[str, ...]:
    """Return the paths of the fields that mean something by themselves: `brokerRef`, `retry.backoff.initial`."""
    found = [field for field in fields(kind) if not field.in_list]
    references = {field.path for field in found if _is_reference(field, found)}
    return tuple(
        field.path
        for field in found
        if (not field.is_object or field.path in references) and field.path.rpartition(".")[0] not in references
    )


def _is_reference(field: Field, found: list[Field]) -> bool:
    below = {other.path.removeprefix(field.path + ".") for other in found if other.path.startswith(field.path + ".")}
    return field.is_object and field.path.endswith("Ref") and "name" in below


def _fields(node: dict[str, Any], path: str, *, in_list: bool) -> Iterator[Field]:
    for name, prop in _ordered(node):
        here = f"{path}.{name}" if path else name
        yield Field(
            path=here,
            type=_type(prop),
            required=name in node.get("required", ()),
            default=_text(prop["default"]) if "default" in prop else None,
            mutable=prop.get(MUTABLE, "yes"),
            description=prop.get("description", ""),
            is_object="properties" in prop,
            in_list=in_list,
        )
        if "properties" in prop:
            yield from _fields(prop, here, in_list=in_list)
        elif "properties" in prop.get("items", {}):
            yield from _fields(prop["items"], here + "[]", in_list=True)


_FIRST = (
    "rabbitmq",
    "kafka",
    "credentials",
    "tls",
    "brokerRef",
    "topicRef",
    "producers",
    "consumers",
    "retry",
    "deadLetter",
)


def _ordered(node: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Order the top level by importance, so that the pages start with what every manifest has."""
    properties = list(node["properties"].items())
    if not {"brokerRef", "topicRef", "credentials"} & set(node["properties"]):
        return properties
    rank = {name: i for i, name in enumerate(_FIRST)}
    if "credentials" not in node["properties"]:
        rank["rabbitmq"] = rank["kafka"] = len(_FIRST) + 1
    return sorted(properties, key=lambda item: rank.get(item[0], len(_FIRST)))


def _type(prop: dict[str, Any]) -> str:
    if "enum" in prop:
        return " / ".join(prop["enum"])
    if prop.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "items" in prop:
        return f"list of {_type(prop['items'])}"
    if "additionalProperties" in prop:
        return "map of strings"
    return str(prop["type"])


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
