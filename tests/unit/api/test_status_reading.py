"""What is read back of a status that anybody may have written: only what the schema allows, and never an error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.api.status_reading import read_status

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
NAMES = st.sampled_from(
    ["observedGeneration", "conditions", "address", "effective", "grants", "grantCount", "brake", "credentials"]
)
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Programmed",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@given(st.sampled_from(Kind), st.dictionaries(NAMES, JSON) | JSON)
def test_whatever_it_is_it_can_be_read_and_what_was_read_reads_the_same(kind: Kind, raw: Any) -> None:
    found = read_status(kind, raw)
    assert read_status(kind, found) == found


def test_what_is_well_formed_stays_as_it_is() -> None:
    raw = {"observedGeneration": 3, "conditions": [READY], "grants": [], "grantCount": 0, "later": {"field": 1}}
    assert read_status(Kind.QUEUE, raw) is raw


@pytest.mark.parametrize(
    "field",
    [
        {"conditions": [{**READY, "lastTransitionTime": "yesterday"}]},
        {"conditions": [{**READY, "lastTransitionTime": "2026-01-01T00:00:00"}]},
        {"conditions": [{"type": "Ready", "status": "True"}]},
        {"conditions": {"Ready": True}},
        {"grants": [{"user": "a/b", "role": "Producer"}]},
        {"grants": "all"},
        {"grantCount": "5"},
        {"effective": {"partitions": "many"}},
        {"address": "here"},
    ],
)
def test_a_field_with_anything_wrong_in_it_says_nothing_and_the_others_stay(field: dict[str, Any]) -> None:
    found = read_status(Kind.QUEUE, {"observedGeneration": 3, **field})
    assert found == {"observedGeneration": 3, **dict.fromkeys(field, "")}


def test_a_generation_that_is_no_number_was_never_observed() -> None:
    assert read_status(Kind.QUEUE, {"observedGeneration": "3", "grantCount": 1}) == {"grantCount": 1}
