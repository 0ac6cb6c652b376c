"""How the API's models are written down: one decorator, one rule type, the marks that only the generator reads.

Decides how attributes are named in manifests and how a rule is said once for the API server (CEL) and once for
Python. Never holds a field of a kind.
"""

import dataclasses
from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeVar, cast, dataclass_transform

import pydantic.dataclasses
from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

__all__ = ["IMMUTABLE", "MUTABLE", "RULES", "Fault", "Model", "Rule", "Text", "alias", "elements", "model", "mutable"]

RULES: Final = "x-kubernetes-validations"
"""Where a CRD schema keeps CEL rules."""
MUTABLE: Final = "x-mutable"
"""Generator's mark: when a field may change. Becomes rules and a column of the docs, never part of a CRD."""

T = TypeVar("T")

_ACRONYMS: Final = {"ttl": "TTL"}


def alias(attribute: str) -> str:
    """Return the manifest's name of an attribute: `message_ttl` → `messageTTL`, `from_` → `from`."""
    first, *rest = attribute.rstrip("_").split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


class Fault(StrEnum):
    """What the API server calls a broken rule; only INVALID makes it print the refused value."""

    INVALID = "FieldValueInvalid"
    FORBIDDEN = "FieldValueForbidden"
    REQUIRED = "FieldValueRequired"


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One condition on a value: `cel` for the API server, `holds` for manifests read from files.

    `field` is the path of the field to blame, from the value that carries the rule (`.deadLetter.strategy`, or empty
    for the value itself). A rule without `holds` compares with the old object, or sees more than the spec.
    """

    cel: str
    message: str
    field: str = ""
    fault: Fault = Fault.INVALID
    holds: Callable[[Any], bool] | None = None

    def schema(self) -> dict[str, str]:
        """Return the rule as an entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message, "reason": self.fault.value}
        return entry | {"fieldPath": self.field} if self.field else entry


class Model:
    """Base of every object in a manifest."""

    __slots__ = ()

    RULES: ClassVar[tuple[Rule, ...]] = ()
    """Conditions on the object itself; those of the classes it extends hold as well."""
    ROOT_RULES: ClassVar[tuple[Rule, ...]] = ()
    """On a spec: conditions on the whole manifest, where the name is visible."""

    @classmethod
    def rules(cls) -> tuple[Rule, ...]:
        """Return the rules of the class and of its bases, base first."""
        return tuple(rule for base in reversed(cls.__mro__) for rule in base.__dict__.get("RULES", ()))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rules, and the descriptions that pydantic does not inherit."""
        schema = handler.resolve_ref_schema(handler(core))
        for base in cls.__mro__:
            own: dict[str, FieldInfo] = getattr(base, "__pydantic_fields__", {})
            for name, info in own.items():
                if info.description and alias(name) in schema["properties"]:
                    schema["properties"][alias(name)].setdefault("description", info.description)
        if rules := [rule.schema() for rule in cls.rules()]:
            schema[RULES] = rules
        return schema


_CONFIG: Final = ConfigDict(
    alias_generator=alias,
    populate_by_name=True,
    extra="ignore",  # the API server prunes; an older operator may meet newer fields
    use_attribute_docstrings=True,
)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
def model(cls: type[T]) -> type[T]:
    """Make a class one of the API's values: frozen, slotted, keyword-only, camelCase in manifests."""
    made = pydantic.dataclasses.dataclass(cls, frozen=True, slots=True, kw_only=True, config=_CONFIG)
    return cast(type[T], made)


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A bounded string, with rules that answer in a sentence (a `pattern` answers with a regular expression).

    `number_too`: a whole number is accepted and read as its digits (quantities).
    """

    max_length: int
    min_length: int = 1
    rules: tuple[Rule, ...] = ()
    number_too: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check length and rules after the type."""
        schema: CoreSchema = core_schema.str_schema(
            strict=True, min_length=None if self.number_too else self.min_length, max_length=self.max_length
        )
        if self.number_too:
            schema = core_schema.no_info_before_validator_function(self._digits, schema)
        return core_schema.no_info_after_validator_function(self._check, schema)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe it to the API server."""
        rules: JsonSchemaValue = {RULES: [rule.schema() for rule in self.rules]} if self.rules else {}
        if self.number_too:
            kinds = [{"type": "integer"}, {"type": "string"}]
            return {"x-kubernetes-int-or-string": True, "anyOf": kinds, "maxLength": self.max_length} | rules
        return {"type": "string", "minLength": self.min_length, "maxLength": self.max_length} | rules

    @staticmethod
    def _digits(value: Any) -> Any:
        return str(value) if type(value) is int else value

    def _check(self, value: str) -> str:
        for rule in self.rules:
            if rule.holds is not None and not rule.holds(value):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message})
        return value


def mutable(when: str) -> FieldInfo:
    """Mark a field whose changes are limited, in the words of the docs: `grows only`."""
    info: FieldInfo = Field(json_schema_extra={MUTABLE: when})
    return info


IMMUTABLE: Final = mutable("no")
"""The field cannot be changed, added or removed after creation; a stated default equals an absent one."""


def elements(list_type: str, *, at_most: int, at_least: int = 0) -> FieldInfo:
    """Bound a list and say who merges it: `atomic` (one manifest owns it all) or `set`."""
    extra = {"x-kubernetes-list-type": list_type}
    info: FieldInfo = Field(min_length=at_least or None, max_length=at_most, json_schema_extra=dict(extra))
    return info
