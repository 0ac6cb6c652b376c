"""The bounded scalars of the API: names, durations, quantities, labels.

Decides what such a string may look like and what it means as a number. Never knows which field uses it.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from channel_operator.api.schema import RULES, Rule, Text

__all__ = [
    "DURATION_PATTERN",
    "Annotations",
    "BrokerName",
    "Count",
    "Duration",
    "Flag",
    "HostPort",
    "HttpUrl",
    "KafkaConfig",
    "Labels",
    "MatchLabels",
    "Namespace",
    "ObjectName",
    "Partitions",
    "Quantity",
    "Replicas",
    "Timestamp",
    "bytes_of",
    "matches",
    "ordered",
    "seconds",
]

DURATION_PATTERN: Final = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"
"""Durations as in the Gateway API: at most four parts, whole numbers."""
_DURATION_PART: Final = re.compile(r"([0-9]{1,5})(ms|h|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_QUANTITY_PATTERN: Final = "^([1-9][0-9]{0,14}|[1-9][0-9]{0,5}(k|M|G|T|Ki|Mi|Gi|Ti))$"
_BYTES: Final = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def seconds(duration: str) -> float:
    """Return a duration in seconds: `1h30m` → 5400.0, `250ms` → 0.25.

    Raises ValueError when the text is no duration.
    """
    if not re.fullmatch(DURATION_PATTERN, duration):
        raise ValueError(f'"{duration}" is not a duration such as 30s, 5m or 1h30m')
    return sum(int(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(duration))


def bytes_of(quantity: str) -> int:
    """Return a quantity in bytes: `512Mi` → 536870912, `2k` → 2000.

    Raises ValueError when the text is no quantity.
    """
    if not re.fullmatch(_QUANTITY_PATTERN, quantity):
        raise ValueError(f'"{quantity}" is not a size such as 512Mi, 20Gi or 1000000')
    number = quantity.rstrip("kKMGTi")
    return int(number) * _BYTES[quantity[len(number) :]]


def matches(pattern: str, message: str) -> Rule:
    """Make a rule of a pattern that both RE2 and Python read alike (`$` only at a real end: fullmatch)."""
    compiled = re.compile(pattern.removesuffix("$"))
    return Rule(f"self.matches({_cel_string(pattern)})", message, holds=lambda value: bool(compiled.fullmatch(value)))


def _cel_string(text: str) -> str:
    return "r'" + text + "'"


def ordered(shorter: str, comparison: str, longer: str) -> str:
    """Compare two durations in CEL, by paths; unreadable ones pass, since they have been told already."""
    readable = [
        f"{path}.matches({_cel_string(DURATION_PATTERN)}) && {path}.matches('[1-9]')" for path in (shorter, longer)
    ]
    return f"!({' && '.join(readable)}) || duration({shorter}) {comparison} duration({longer})"


Duration = Annotated[
    str,
    Text(
        max_length=32,
        rules=(
            Rule(
                f"self.matches({_cel_string(DURATION_PATTERN)}) && self.matches('[1-9]')",
                "must be a duration longer than zero, such as 30s, 5m or 1h30m",
                holds=lambda value: bool(re.fullmatch(DURATION_PATTERN, value)) and seconds(value) > 0,
            ),
        ),
    ),
]
"""A duration longer than zero; `seconds` reads it."""

Quantity = Annotated[
    str,
    Text(
        max_length=20,
        number_too=True,
        rules=(
            Rule(
                f"string(self).matches({_cel_string(_QUANTITY_PATTERN)})",
                "must be a size in bytes above zero, such as 512Mi, 20Gi or 1000000",
                holds=lambda value: bool(re.fullmatch(_QUANTITY_PATTERN, value)),
            ),
        ),
    ),
]
"""A size; `bytes_of` reads it. Whole numbers arrive as their digits."""

ObjectName = Annotated[str, Text(max_length=253)]
"""`metadata.name` of another object."""
Namespace = Annotated[str, Text(max_length=63)]

BrokerName = Annotated[
    str,
    Text(
        max_length=200,
        rules=(
            matches(
                "^[A-Za-z0-9][A-Za-z0-9._-]*$",
                "must start with a letter or digit and consist of letters, digits, dots, underscores and dashes",
            ),
            Rule(
                "!self.startsWith('amq.')",
                "must not start with amq., which RabbitMQ keeps for itself",
                holds=lambda value: not value.startswith("amq."),
            ),
            Rule(
                "!self.matches('_(in|dlx|dead|a|b|[0-9]{1,3})$')",
                "must not end in _in, _dlx, _dead, _a, _b or _<number>: the operator derives names with these endings",
                holds=lambda value: not re.search(r"_(in|dlx|dead|a|b|[0-9]{1,3})\Z", value),
            ),
        ),
    ),
]
"""A name on the broker that a manifest chooses itself."""

HttpUrl = Annotated[
    str,
    Text(
        max_length=1024,
        rules=(
            matches(
                r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?$",
                "must be a URL such as https://rabbitmq.messaging.svc:15671, without user, password or query",
            ),
        ),
    ),
]
HostPort = Annotated[
    str,
    Text(
        max_length=261,
        rules=(
            matches(
                r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*):[0-9]{1,5}$",
                "must be host:port, such as rabbitmq.messaging.svc:5671",
            ),
        ),
    ),
]

Timestamp = Annotated[
    str,
    Text(
        max_length=40,
        rules=(
            matches(
                "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
                r"(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$",
                "must be a time with its zone, such as 2030-01-31T12:00:00Z",
            ),
        ),
    ),
]

Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict()]
"""A whole number; each field adds its bounds."""


_QUALIFIED = "([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_VALUE = "([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"


@dataclasses.dataclass(frozen=True, slots=True)
class StringMap:
    """A map of at most `entries` strings of at most `value` characters. One of the rules must bound the keys."""

    value: int
    entries: int
    rules: tuple[Rule, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check bounds and rules after the types."""
        text = core_schema.str_schema(strict=True, max_length=self.value)
        schema = core_schema.dict_schema(text, text, max_length=self.entries)
        schema["keys_schema"] = core_schema.str_schema(strict=True)
        return core_schema.no_info_after_validator_function(self._check, schema)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe it to the API server, which has no schema for keys."""
        return {
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": self.value},
            "maxProperties": self.entries,
            RULES: [rule.schema() for rule in self.rules],
        }

    def _check(self, found: dict[str, str]) -> dict[str, str]:
        for rule in self.rules:
            if rule.holds is not None and not rule.holds(found):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message})
        return found


_NOT_OURS = Rule(
    "self.all(k, !k.startsWith('channel-operator.dev/'))",
    "must not have keys that start with channel-operator.dev/: they belong to the operator",
    holds=lambda found: not any(k.startswith("channel-operator.dev/") for k in found),
)
_KEYS = Rule(
    f"self.all(k, k.matches('^{_QUALIFIED}$'))",
    "must have keys such as team or example.com/team",
    holds=lambda found: all(re.fullmatch(_QUALIFIED, k) for k in found),
)
_KAFKA_KEYS = Rule(
    "self.all(k, size(k) > 0 && size(k) <= 200)",
    "must have keys of 1 to 200 characters",
    holds=lambda found: all(0 < len(k) <= 200 for k in found),  # noqa: PLR2004 - the same number as in the sentence
)
_VALUES = Rule(
    f"self.all(k, self[k].matches('^{_LABEL_VALUE}$'))",
    "must have label values: up to 63 letters, digits, dots, underscores and dashes",
    holds=lambda found: all(re.fullmatch(_LABEL_VALUE, v) for v in found.values()),
)

Labels = Annotated[Mapping[str, str], StringMap(value=63, entries=32, rules=(_NOT_OURS, _KEYS, _VALUES))]
Annotations = Annotated[Mapping[str, str], StringMap(value=1024, entries=32, rules=(_NOT_OURS, _KEYS))]
MatchLabels = Annotated[Mapping[str, str], StringMap(value=63, entries=16, rules=(_KEYS, _VALUES))]
KafkaConfig = Annotated[Mapping[str, str], StringMap(value=1024, entries=64, rules=(_KAFKA_KEYS,))]
"""Kafka configuration, by Kafka's own keys; values are strings as in the broker's files."""

Partitions = Annotated[Count, Field(ge=1, le=10000)]
Replicas = Annotated[Count, Field(ge=1, le=99)]
