"""What the reporters write is what the CRDs keep: a field the schema does not know would vanish without a word."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from channel_operator.api.crd import status_schema
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core.accepted import Compiled, Enforcement, Role
from channel_operator.core.access import GrantReport, GrantState
from channel_operator.core.model import Key, Problem
from channel_operator.core.report import ObjectState, channel_status, user_status

Schema = dict[str, Any]

KINDS = {"string": str, "integer": int, "boolean": bool, "object": Mapping, "array": list}


def misfits(value: Any, schema: Schema, path: str = "status") -> Iterator[str]:
    """Yield what the API server would drop or refuse."""
    if "x-kubernetes-int-or-string" in schema:
        expected: Any = (int, str)
    else:
        expected = KINDS[schema["type"]]
    if not isinstance(value, expected):
        yield f"{path}: {value!r} is no {schema.get('type')}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        yield f"{path}: longer than {schema['maxLength']}"
    if isinstance(value, list):
        if len(value) > schema["maxItems"]:
            yield f"{path}: more than {schema['maxItems']} entries"
        for index, item in enumerate(value):
            yield from misfits(item, schema["items"], f"{path}[{index}]")
    if isinstance(value, Mapping):
        yield from _object(value, schema, path)


def _object(value: Mapping[str, Any], schema: Schema, path: str) -> Iterator[str]:
    known = schema["properties"]
    yield from (f"{path}.{name}: unknown, would be dropped" for name in value if name not in known)
    yield from (f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value)
    for name, inner in value.items():
        # A merge patch removes a field by null.
        if name in known and inner is not None:
            yield from misfits(inner, known[name], f"{path}.{name}")


def state(**more: Any) -> ObjectState:
    return ObjectState(
        generation=3, previous={}, broker=Key(Kind.BROKER, "messaging", "main"), now="2030-01-31T12:00:00Z", **more
    )


FULL = state(
    compiled=Compiled(
        parts=(),
        enforcement=(Enforcement("spec.retry.maxDeliveries", "Broker", "counts rejects"),),
        address={"name": "a.b", "rabbitmq": {"vhost": "/", "exchange": "a.b_in", "queues": ("a.b",)}},
        effective={
            "rabbitmq": {"type": "Quorum"},
            "retry": {"maxDeliveries": 5},
            "limits": {"maxMessages": 10, "maxBytes": "512Mi", "overflow": "DropOldest"},
            "replicas": 3,
        },
    ),
    grants=[GrantReport(Key(Kind.BROKER_USER, "shop", "checkout"), role, s) for role in Role for s in GrantState],
    origin="Adopted",
    plan=["~ queue a.b (x-max-length 100 → 50)"] * 30,
    drifted=True,
)


@pytest.mark.parametrize("kind", [Kind.QUEUE, Kind.TOPIC, Kind.SUBSCRIPTION])
def test_a_channels_report_fits_its_schema(kind: Kind) -> None:
    assert list(misfits(channel_status(FULL), status_schema(kind))) == []


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("condition", [ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.PROGRAMMED])
def test_every_problem_fits_too(reason: Reason, condition: ConditionType) -> None:
    report = channel_status(state(problems=(Problem(reason, "x" * 5000, condition=condition),)))
    assert list(misfits(report, status_schema(Kind.QUEUE))) == []


def test_a_users_report_fits_its_schema() -> None:
    extra = {
        "username": "shop.checkout",
        "binding": {"name": "checkout-binding"},
        "credentials": {"issuedAt": "2030-01-31T12:00:00Z", "secretVersion": "123"},
        "grants": [{"kind": "Queue", "namespace": "billing", "name": "invoices", "role": str(role)} for role in Role],
        "grantCount": 3,
        "permissionBytes": {"configure": 2, "write": 40, "read": 2},
    }
    report = user_status(state(origin="Created", plan=["+ user shop.checkout"], extra=extra))
    assert list(misfits(report, status_schema(Kind.BROKER_USER))) == []


def test_the_check_itself_finds_what_does_not_fit() -> None:
    wrong = {"observedGeneration": "3", "address": {"exchange": "x"}, "origin": "Found", "conditions": [{}] * 17}
    found = "\n".join(misfits(wrong, status_schema(Kind.QUEUE)))
    for text in (
        "is no integer",
        "exchange: unknown",
        "address.name: missing",
        "is none of",
        "more than 16",
        "missing",
    ):
        assert text in found
