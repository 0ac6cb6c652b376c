"""Status: the conditions by tables, and what else an object shows."""

from collections.abc import Mapping
from typing import Any

import pytest

from channel_operator.api.common import AdoptionPolicy
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.api.status import GrantState
from channel_operator.core.accepted import Compiled, Enforcement, Role
from channel_operator.core.access import GrantReport
from channel_operator.core.model import Key, Problem
from channel_operator.core.report import (
    MAX_GRANTS,
    MAX_MESSAGE,
    MAX_PLAN,
    ObjectState,
    arrival,
    channel_status,
    conditions,
    is_ready,
)
from tests.unit.core.samples import MAIN

NOW = "2026-01-02T03:04:05Z"
WORKER = Key(Kind.BROKER_USER, "billing", "worker")


def state(**fields: Any) -> ObjectState:
    return ObjectState(**{"generation": 2, "previous": {}, "broker": MAIN, "now": NOW, **fields})


def short(found: ObjectState) -> dict[str, str]:
    """Return the conditions as `type: status reason`."""
    return {str(c.type): f"{c.status} {c.reason}" for c in conditions(found)}


INVALID = Problem(Reason.INVALID_SPEC, "spec.x: no", field="spec.x")
ABSENT = Problem(Reason.REF_NOT_FOUND, "there is none", ConditionType.RESOLVED_REFS, stalled=False)
DENIED = Problem(Reason.REF_NOT_PERMITTED, "not admitted", ConditionType.RESOLVED_REFS)
REFUSED = Problem(Reason.BROKER_REFUSED, "it said no", ConditionType.PROGRAMMED)
SLOW = Problem(Reason.PROGRESSING, "trying again", ConditionType.PROGRAMMED, stalled=False)
FINE = {"Accepted": "True Accepted", "ResolvedRefs": "True Accepted"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, {**FINE, "Programmed": "True Programmed", "Ready": "True Programmed"}),
        (
            {"problems": (INVALID,)},
            {
                "Accepted": "False InvalidSpec",
                "ResolvedRefs": "True Accepted",
                "Programmed": "Unknown InvalidSpec",
                "Ready": "False InvalidSpec",
                "Stalled": "True InvalidSpec",
            },
        ),
        (
            {"problems": (ABSENT,)},
            {
                "Accepted": "True Accepted",
                "ResolvedRefs": "Unknown RefNotFound",
                "Programmed": "Unknown RefNotFound",
                "Ready": "Unknown RefNotFound",
                "Reconciling": "True RefNotFound",
            },
        ),
        (
            {"problems": (DENIED, ABSENT)},
            {
                "Accepted": "True Accepted",
                "ResolvedRefs": "False RefNotPermitted",
                "Programmed": "Unknown RefNotPermitted",
                "Ready": "False RefNotPermitted",
                "Stalled": "True RefNotPermitted",
            },
        ),
        (
            {"problems": (ABSENT, INVALID)},
            {
                "Accepted": "False InvalidSpec",
                "ResolvedRefs": "Unknown RefNotFound",
                "Programmed": "Unknown InvalidSpec",
                "Ready": "False InvalidSpec",
                "Stalled": "True InvalidSpec",
            },
        ),
        (
            {"problems": (REFUSED,)},
            {
                **FINE,
                "Programmed": "False BrokerRefused",
                "Ready": "False BrokerRefused",
                "Stalled": "True BrokerRefused",
            },
        ),
        (
            {"problems": (SLOW,)},
            {
                **FINE,
                "Programmed": "Unknown Progressing",
                "Ready": "Unknown Progressing",
                "Reconciling": "True Progressing",
            },
        ),
        (
            {"problems": (SLOW, REFUSED)},
            {
                **FINE,
                "Programmed": "False BrokerRefused",
                "Ready": "False BrokerRefused",
                "Stalled": "True BrokerRefused",
            },
        ),
        (
            {"pending": Problem(Reason.PROGRESSING, "on its way", stalled=False)},
            {
                **FINE,
                "Programmed": "Unknown Progressing",
                "Ready": "Unknown Progressing",
                "Reconciling": "True Progressing",
            },
        ),
        ({"observes": True}, {**FINE, "Programmed": "True Observed", "Ready": "True Observed"}),
        (
            {"observes": True, "drifted": True},
            {
                **FINE,
                "Programmed": "False Observed",
                "Drifted": "True Observed",
                "Ready": "False Observed",
                "Stalled": "True Observed",
            },
        ),
        (
            {"problems": (REFUSED,), "drifted": True},
            {
                **FINE,
                "Programmed": "False BrokerRefused",
                "Drifted": "True BrokerRefused",
                "Ready": "False BrokerRefused",
                "Stalled": "True BrokerRefused",
            },
        ),
        (
            {"deleting": "waits for the broker"},
            {**FINE, "Programmed": "Unknown Deleting", "Ready": "Unknown Deleting", "Reconciling": "True Deleting"},
        ),
        (
            {"disabled": True},
            {
                "Accepted": "Unknown Disabled",
                "ResolvedRefs": "Unknown Disabled",
                "Programmed": "Unknown Disabled",
                "Ready": "Unknown Disabled",
            },
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_conditions(found: dict[str, Any], expected: dict[str, str]) -> None:
    assert short(state(**found)) == expected


def test_a_disabled_object_keeps_what_was_known_without_the_signs_of_work() -> None:
    for before in ({}, {"problems": (INVALID,)}, {"problems": (ABSENT,)}):
        previous = channel_status(state(generation=1, **before))
        ready = next(c for c in previous["conditions"] if c["type"] == "Ready")["status"]
        after = short(state(previous=previous, disabled=True))
        assert after["Ready"] == f"{ready} Disabled"
        assert not {"Reconciling", "Stalled"} & after.keys()
        assert {k: v for k, v in after.items() if k != "Ready"} == {
            c["type"]: f"{c['status']} {c['reason']}"
            for c in previous["conditions"]
            if c["type"] in after and c["type"] != "Ready"
        }


def test_messages_of_one_kind_are_joined_once_each() -> None:
    again = Problem(Reason.BROKER_REFUSED, "it said no again", ConditionType.PROGRAMMED)
    found = {str(c.type): c.message for c in conditions(state(problems=(REFUSED, again, REFUSED, SLOW)))}
    assert found["Ready"] == "it said no. it said no again."


def test_what_was_not_tried_says_why() -> None:
    found = {str(c.type): c.message for c in conditions(state(problems=(ABSENT,)))}
    assert found["Programmed"] == "Not attempted while ResolvedRefs is Unknown."


# -- contents --------------------------------------------------------------------------------------------------------


def present(status: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in status.items() if v is not None}


def compiled() -> Compiled:
    return Compiled(
        (),
        address={"name": "billing.invoices", "rabbitmq": {"queues": ("billing.invoices",), "stream": None}},
        enforcement=(Enforcement("spec.retry", "Broker", "so"),),
        effective={"replicas": 3},
    )


def test_a_channel_shows_address_enforcement_grants_and_defaults() -> None:
    grants = [GrantReport(WORKER, Role.CONSUMER, GrantState.GRANTED)]
    status = present(channel_status(state(compiled=compiled(), grants=grants, origin="Created")))
    del status["conditions"]
    assert status == {
        "observedGeneration": 2,
        "broker": "messaging/main",
        "address": {"name": "billing.invoices", "rabbitmq": {"queues": ["billing.invoices"]}},
        "enforcement": [{"field": "spec.retry", "by": "Broker", "note": "so"}],
        "effective": {"replicas": 3},
        "grants": [{"user": "billing/worker", "role": "Consumer", "state": "Granted"}],
        "grantCount": 1,
        "origin": "Created",
    }


@pytest.mark.parametrize(
    "now", [{"problems": (INVALID,)}, {"disabled": True}, {"deleting": "x"}, {"problems": (SLOW,)}]
)
def test_a_channel_on_hold_goes_on_showing_where_it_is(now: dict[str, Any]) -> None:
    grants = [GrantReport(WORKER, Role.CONSUMER, GrantState.GRANTED)]
    before = present(channel_status(state(compiled=compiled(), grants=grants, origin="Created")))
    after = present(channel_status(state(previous=before, **now)))
    for name in ("address", "enforcement", "effective", "grants", "grantCount", "origin"):
        assert after[name] == before[name]


def test_an_observed_channel_gives_and_takes_no_right() -> None:
    grants = [GrantReport(WORKER, Role.CONSUMER, GrantState.GRANTED)]
    fresh = present(channel_status(state(compiled=compiled(), grants=grants, observes=True)))
    assert "grants" not in fresh
    before = present(channel_status(state(compiled=compiled(), grants=grants)))
    after = present(channel_status(state(previous=before, compiled=compiled(), observes=True)))
    assert after["grants"] == before["grants"]


def test_lists_and_messages_are_bounded_and_counts_are_not() -> None:
    many = [GrantReport(WORKER._replace(name=f"u{n}"), Role.CONSUMER, GrantState.GRANTED) for n in range(120)]
    long = Problem(Reason.BROKER_REFUSED, "x" * 5000, ConditionType.PROGRAMMED)
    plan = [f"+ queue {n}" for n in range(40)]
    status = channel_status(state(compiled=compiled(), grants=many, problems=(long,), plan=plan))
    assert len(status["grants"]) == MAX_GRANTS
    assert status["grantCount"] == 120
    assert all(len(c["message"]) <= MAX_MESSAGE for c in status["conditions"])
    assert len(status["plan"]["changes"]) == MAX_PLAN
    assert status["plan"]["summary"] == "40 changes not made"


def test_one_change_is_one_change() -> None:
    assert channel_status(state(plan=["+ queue a"]))["plan"]["summary"] == "1 change not made"


@pytest.mark.parametrize(
    ("generation", "expected"),
    [(2, True), (3, False)],
)
def test_ready_counts_for_the_generation_that_was_observed(generation: int, *, expected: bool) -> None:
    assert is_ready(channel_status(state()), generation) is expected
    assert not is_ready(channel_status(state(problems=(SLOW,))), generation)
    assert not is_ready({"observedGeneration": -1}, generation)


@pytest.mark.parametrize(
    ("kind", "origin", "adoption", "said"),
    [
        (Kind.QUEUE, "Created", "IfCompatible", "Created on messaging/main as shop.one."),
        (Kind.QUEUE, "Adopted", "IfCompatible", "Taken over on messaging/main with its messages: shop.one."),
        (Kind.QUEUE, "Adopted", "AllowDataLoss", "Taken over on messaging/main: shop.one."),
        (Kind.TOPIC, "Adopted", "IfCompatible", "Taken over on messaging/main: shop.one."),
        (Kind.BROKER_USER, "Adopted", None, "Taken over on messaging/main: shop.one."),
    ],
)
def test_the_event_names_the_native_object_and_promises_messages_only_where_none_are_lost(
    kind: Kind, origin: str, adoption: str | None, said: str
) -> None:
    name = {"username": "shop.one"} if kind is Kind.BROKER_USER else {"address": {"name": "shop.one"}}
    policy = AdoptionPolicy(adoption) if adoption else None
    assert arrival(kind, {"origin": origin, **name}, "messaging/main", policy) == said
