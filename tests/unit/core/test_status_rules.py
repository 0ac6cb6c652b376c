"""The rules of kstatus and of writing hold for any history of states."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from channel_operator.core.accepted import Compiled
from channel_operator.core.report import (
    changed_fields,
    channel_status,
    user_status,
    with_fields,
)
from tests.engine.kubestub import check_status
from tests.unit.core.test_report import ABSENT, DENIED, INVALID, NOW, REFUSED, SLOW, present, state

PROBLEMS = st.lists(st.sampled_from([INVALID, ABSENT, DENIED, REFUSED, SLOW]), max_size=4).map(tuple)


STATES = st.fixed_dictionaries(
    {
        "problems": PROBLEMS,
        "pending": st.sampled_from([None, SLOW]),
        "observes": st.booleans(),
        "drifted": st.booleans(),
        "disabled": st.booleans(),
        "deleting": st.sampled_from([None, "waits for something"]),
        "generation": st.integers(1, 5),
        "compiled": st.sampled_from([None, Compiled((), address={"name": "n"}), Compiled((), problems=(INVALID,))]),
        "plan": st.lists(st.text(max_size=5), max_size=30),
        "origin": st.sampled_from([None, "Created", "Adopted"]),
    }
)


@given(st.lists(STATES, min_size=1, max_size=4))
def test_every_status_keeps_the_rules_of_kstatus_whatever_came_before(history: list[dict[str, Any]]) -> None:
    written: dict[str, Any] = {"observedGeneration": -1}
    for number, fields in enumerate(history):
        fields["generation"] = number + 1
        for report in (channel_status, user_status):
            status = with_fields(written, changed_fields(written, report(state(previous=written, **fields))))
            check_status(status, number + 1)
            assert status["observedGeneration"] == number + 1
        written = status


@given(STATES)
def test_reporting_the_same_again_changes_nothing_whatever_time_it_is(fields: dict[str, Any]) -> None:
    for report in (channel_status, user_status):
        first = with_fields({}, report(state(**fields)))
        later = report(state(**{**fields, "previous": first, "now": "2030-01-01T00:00:00Z"}))
        assert changed_fields(first, later) == {}


@given(STATES, STATES)
def test_a_condition_changes_its_time_exactly_with_its_status(one: dict[str, Any], two: dict[str, Any]) -> None:
    first = with_fields({}, channel_status(state(**one)))
    later = channel_status(state(**{**two, "previous": first, "now": "2030-01-01T00:00:00Z"}))
    before = {c["type"]: c for c in first["conditions"]}
    for condition in later["conditions"]:
        old = before.get(condition["type"])
        kept = old is not None and old["status"] == condition["status"]
        assert condition["lastTransitionTime"] == (NOW if kept else "2030-01-01T00:00:00Z")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


STATUSES = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


@given(STATUSES.map(present), STATUSES)
def test_setting_the_changed_fields_shows_what_was_wanted_and_keeps_the_rest(
    written: dict[str, Any], wanted: dict[str, Any]
) -> None:
    changed = changed_fields(written, wanted)
    assert with_fields(written, changed) == present({**written, **wanted})
    assert (changed == {}) == (present({**written, **wanted}) == written)
    assert changed_fields(with_fields(written, changed), wanted) == {}
