"""Reads the spec of a manifest into its typed value, or says in a user's words what is wrong with it.

Decides which of several errors is told: the first. Never looks at metadata, status or other objects.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.api.meta import Kind
from channel_operator.api.queue import QueueSpec
from channel_operator.api.schema import Model, Rule, alias
from channel_operator.api.subscription import SubscriptionSpec
from channel_operator.api.topic import TopicSpec
from channel_operator.errors import InvalidManifest

__all__ = ["SPECS", "Spec", "parse"]

Spec = BrokerSpec | BrokerUserSpec | QueueSpec | TopicSpec | SubscriptionSpec

SPECS: Final[dict[Kind, type[Model]]] = {
    Kind.BROKER: BrokerSpec,
    Kind.BROKER_USER: BrokerUserSpec,
    Kind.QUEUE: QueueSpec,
    Kind.TOPIC: TopicSpec,
    Kind.SUBSCRIPTION: SubscriptionSpec,
}


def parse(kind: Kind, spec: Mapping[str, Any]) -> Spec:
    """Read the `spec` of a manifest of this kind. Unknown fields are ignored, as the API server prunes them.

    Raises InvalidManifest with the first error: which field, what is wrong, what is wanted.
    """
    try:
        parsed = _adapter(kind).validate_python(spec, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False)[0]) from None
    for field, rule in _broken(parsed, "spec"):
        raise InvalidManifest(f"{field}: {rule.message}", field=field)
    return parsed


@cache
def _adapter(kind: Kind) -> TypeAdapter[Spec]:
    adapter: TypeAdapter[Any] = TypeAdapter(SPECS[kind])
    return adapter


@cache
def _plan(model: type[Model]) -> tuple[tuple[Rule, ...], tuple[tuple[str, str], ...]]:
    """Return the rules that Python can check, and the fields with their names in manifests."""
    rules = tuple(rule for rule in model.rules() if rule.holds is not None)
    return rules, tuple((field.name, alias(field.name)) for field in dataclasses.fields(cast(Any, model)))


def _broken(value: Model, path: str) -> Iterator[tuple[str, Rule]]:
    """Yield the rules that do not hold, outermost first, each with the field it blames."""
    model: Any = type(value)
    rules, fields = _plan(model)
    for rule in rules:
        if rule.holds is not None and not rule.holds(value):
            yield path + rule.field, rule
    for attribute, name in fields:
        inner = getattr(value, attribute)
        if isinstance(inner, Model):
            yield from _broken(inner, f"{path}.{name}")
        elif isinstance(inner, tuple):
            for index, item in enumerate(inner):
                if isinstance(item, Model):
                    yield from _broken(item, f"{path}.{name}[{index}]")


def _invalid(error: ErrorDetails) -> InvalidManifest:
    field = _path(error["loc"])
    return InvalidManifest(f"{field}: {_words(error)}", field=field)


def _path(location: tuple[int | str, ...]) -> str:
    path = "spec"
    for step in location:
        # Pydantic appends "[key]" when the key of a map is at fault; the map is then what the user knows.
        if step != "[key]":
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path


_TYPES: Final = {
    "string_type": "must be a text; put quotes around numbers, true and false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "dataclass_type": "must be an object with fields",
    "dataclass_exact_type": "must be an object with fields",
    "mapping_type": "must be an object with fields",
    "dict_type": "must be an object with fields",
    "tuple_type": "must be a list",
    "missing": "is required",
}

_BOUNDS: Final = {
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
    "enum": "must be one of {expected}",
}


def _words(error: ErrorDetails) -> str:
    """Say a pydantic error as the rest of the operator speaks; pydantic's own text is the last resort."""
    context = error.get("ctx", {})
    if (known := _TYPES.get(error["type"])) is not None:
        return known
    if (bound := _BOUNDS.get(error["type"])) is not None:
        words = bound.format_map(context)
        return words.replace("'", "") if error["type"] == "enum" else words
    return error["msg"]
