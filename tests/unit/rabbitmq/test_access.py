"""Rights as patterns: exact, readable again, within the broker's limit."""

import re

from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.access import (
    MAX_PATTERN_BYTES,
    Access,
    assemble_permission,
    parse,
    render,
)
from channel_operator.brokers.rabbitmq.resources import Permission, permission_id
from channel_operator.core.model import Key, Mode, Part
from tests.unit.rabbitmq.samples import subject

HOSTILE = st.text(alphabet=st.sampled_from("ab.|()?:\\^$*+[]{}-_ /%é€#\u2028"), min_size=1, max_size=12)
NAMES = st.frozensets(st.one_of(HOSTILE, st.from_regex(r"[a-z]{1,5}\.[a-z.-]{1,9}(_in)?", fullmatch=True)), max_size=8)
USER = subject("shop.checkout", Kind.BROKER_USER).key


def base(mode: Mode = Mode.ASSERT) -> Part:
    return Part(permission_id("shop.checkout"), USER, mode, Access(), ("2026", "u"))


def channel(name: str, *, write: str = "", read: str = "", since: str = "2026") -> Part:
    access = Access(frozenset({write} - {""}), frozenset({read} - {""}))
    return Part(permission_id("shop.checkout"), Key(Kind.QUEUE, "billing", name), Mode.ASSERT, access, (since, name))


def test_names_are_factored_by_what_they_start_with() -> None:
    assert render({"billing.b", "shop.c", "billing.a"}) == r"^(?:billing\.(?:a|b)|shop\.(?:c))$"


def test_no_names_match_nothing() -> None:
    assert render(()) == "^$"
    assert parse("^$") == parse("") == frozenset()


@given(NAMES)
def test_a_pattern_reads_back_as_the_names_it_was_made_of(names: frozenset[str]) -> None:
    assert parse(render(names)) == names


@given(NAMES, HOSTILE)
def test_a_pattern_matches_its_names_and_nothing_else(names: frozenset[str], other: str) -> None:
    pattern = re.compile(render(names))
    assert all(pattern.search(name) for name in names)
    assert bool(pattern.search(other)) == (other in names)


@given(st.text(alphabet="ab.|()?:\\^$*[]", max_size=20))
def test_a_pattern_of_somebody_else_is_never_misread(text: str) -> None:
    names = parse(text)
    if names:
        pattern = re.compile(text)
        assert all(pattern.search(name) for name in names)


def test_patterns_that_are_not_ours_are_known_as_such() -> None:
    for foreign in (".*", "^billing\\..*$", "orders", "^(?:a", "^(?:a|b+)$", r"^(?:a\d)$", "^(?:(?:a)b)$", "^(?:)$"):
        assert parse(foreign) is None, foreign


def test_a_permission_is_the_union_of_all_grants() -> None:
    parts = [base(), channel("q", write="billing.q_in"), channel("r", read="billing.r"), channel("s", read="shop.s")]
    assembled = assemble_permission("shop.checkout", parts, None, ())
    assert assembled.resource == Permission(
        "shop.checkout", "^$", r"^(?:billing\.(?:q_in))$", r"^(?:billing\.(?:r)|shop\.(?:s))$"
    )


def test_without_its_user_a_permission_is_left_alone() -> None:
    assert assemble_permission("shop.checkout", [channel("q", read="billing.q")], None, ()).held
    assert assemble_permission("shop.checkout", [base(Mode.HOLD), channel("q", read="billing.q")], None, ()).held


def test_a_withdrawn_user_loses_its_permission_whatever_channels_grant() -> None:
    assembled = assemble_permission("shop.checkout", [base(Mode.WITHDRAW), channel("q", read="billing.q")], None, ())
    assert assembled.resource is None
    assert not assembled.held


def test_names_of_held_channels_stay_as_the_broker_has_them() -> None:
    observed = Permission("shop.checkout", "^$", render({"billing.held_in"}), render({"billing.gone", "billing.held"}))
    assembled = assemble_permission(
        "shop.checkout", [base(), channel("q", read="billing.q")], observed, {"billing.held", "billing.held_in"}
    )
    assert isinstance(assembled.resource, Permission)
    assert parse(assembled.resource.read) == frozenset({"billing.held", "billing.q"})
    assert parse(assembled.resource.write) == frozenset({"billing.held_in"})


def test_the_newest_grant_that_does_not_fit_is_refused_and_no_other() -> None:
    parts = [channel(f"queue-{i:03}", read=f"billing.queue-{i:03}", since=f"{i:03}") for i in range(120)]
    assembled = assemble_permission("shop.checkout", [base(), *reversed(parts)], None, ())
    assert isinstance(assembled.resource, Permission)
    granted = parse(assembled.resource.read)
    assert granted is not None
    assert len(assembled.resource.read.encode()) <= MAX_PATTERN_BYTES == 1024
    assert granted == {f"billing.queue-{i:03}" for i in range(len(granted))}, "the oldest are granted"
    assert [refusal.owner.name for refusal in assembled.refused] == [f"queue-{i:03}" for i in range(len(granted), 120)]


@given(st.lists(HOSTILE, min_size=1, max_size=200, unique=True))
def test_the_limit_counts_the_bytes_that_are_really_sent(names: list[str]) -> None:
    parts = [channel(f"q{i}", read=name * 6, since=f"{i:04}") for i, name in enumerate(names)]
    assembled = assemble_permission("shop.checkout", [base(), *parts], None, ())
    assert isinstance(assembled.resource, Permission)
    granted = parse(assembled.resource.read)
    assert granted is not None
    assert len(assembled.resource.read.encode()) <= MAX_PATTERN_BYTES
    for refusal in assembled.refused[:1]:
        # What was refused first really did not fit beside what is older.
        older = [name * 6 for name in names[: int(refusal.owner.name[1:])]]
        assert len(render({*older, *refusal.content.read}).encode()) > MAX_PATTERN_BYTES
