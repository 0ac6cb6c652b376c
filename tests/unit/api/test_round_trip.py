"""Properties of reading manifests that hold for any input."""

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from channel_operator import api
from channel_operator.api.meta import Kind
from channel_operator.errors import InvalidManifest
from tests.unit.api.cases import MINIMAL, Spec, at
from tests.unit.api.rule_cases import RULE_CASES
from tests.unit.api.scalars import FIELDS, SCALAR_CASES

GOOD = [(case.kind, case.good) for case in (*RULE_CASES, *SCALAR_CASES)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def dumped(kind: Kind, parsed: api.Spec) -> Spec:
    adapter: TypeAdapter[Any] = TypeAdapter(api.SPECS[kind])
    text = adapter.dump_json(parsed, by_alias=True, exclude_none=True)
    spec: Spec = json.loads(text)
    return spec


def read_or_refused(kind: Kind, spec: Spec) -> bool:
    """Whether a spec is read, or refused as it should be; any other error is the test's failure."""
    try:
        api.parse(kind, spec)
    except InvalidManifest as refused:
        return refused.field.startswith("spec") and str(refused).startswith(f"{refused.field}: ")
    return True


@given(st.sampled_from(GOOD))
def test_what_was_read_is_read_again_as_the_same(good: tuple[Kind, Spec]) -> None:
    kind, spec = good
    parsed = api.parse(kind, spec)
    assert api.parse(kind, dumped(kind, parsed)) == parsed


@given(st.data())
def test_fields_with_a_form_are_read_whatever_else_is_stated(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(Kind)))
    spec = copy.deepcopy(MINIMAL[kind])
    forms = [(path, form) for k, path, form, base in FIELDS if k is kind and base == MINIMAL[kind]]
    chosen = data.draw(st.lists(st.sampled_from(forms), max_size=4, unique_by=lambda pair: pair[0])) if forms else []
    for path, form in chosen:
        spec = at(path, data.draw(st.sampled_from(form.good)), spec)
    parsed = api.parse(kind, spec)
    assert api.parse(kind, dumped(kind, parsed)) == parsed


@given(st.sampled_from(list(Kind)), st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_anything_at_all_is_read_or_refused_by_name(kind: Kind, spec: Spec) -> None:
    assert read_or_refused(kind, spec)


@given(st.sampled_from(GOOD), st.data())
def test_any_value_in_any_place_is_read_or_refused_by_name(good: tuple[Kind, Spec], data: st.DataObject) -> None:
    kind, spec = good
    broken = copy.deepcopy(spec)
    node: Any = broken
    while True:
        step = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node[step], dict | list) and node[step] and data.draw(st.booleans()):
            node = node[step]
            continue
        node[step] = data.draw(JSON)
        break
    assert read_or_refused(kind, broken)
