"""What the brake lets through: counted over a window, all or nothing, and confirmed by exactly one token."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.broker import Brake
from channel_operator.api.status_access import MAX_RECENT
from channel_operator.core.brake import BrakeState, Toll, decide, mark_of

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
LIMITS = Brake(max_deletions=3, max_revocations=2, window="10m")
DELETION, REVOCATION = Toll(deletions=1), Toll(revocations=1)


def pending(*names: str, toll: Toll = DELETION) -> dict[str, Toll]:
    return {mark_of(name): toll for name in names}


def judge(
    due: dict[str, Toll],
    before: BrakeState | None = None,
    *,
    asked: str | None = None,
    after: float = 0,
    limits: Brake = LIMITS,
    nonce: str = "n1",
) -> BrakeState:
    return decide(due, before or BrakeState(), limits, asked=asked, now=NOW + timedelta(seconds=after), nonce=nonce)


def test_as_many_as_allowed_go_and_one_more_stops_all() -> None:
    fits, exceeds = pending("a", "b", "c"), pending("a", "b", "c", "d")
    assert judge(fits).passing == fits.keys()
    assert not judge(fits).engaged
    assert judge(exceeds).passing == frozenset()
    assert judge(exceeds).waiting == Toll(deletions=4)


def test_deletions_and_revocations_have_limits_of_their_own() -> None:
    both = pending("a", "b", "c") | pending("x", "y", toll=REVOCATION)
    assert judge(both).passing == both.keys()
    assert judge(both | pending("z", toll=REVOCATION)).engaged


def test_a_limit_of_none_at_all_stops_the_first_and_no_other_sort() -> None:
    none = Brake(max_deletions=0)
    assert judge(pending("a"), limits=none).engaged
    assert not judge(pending("x", toll=REVOCATION), limits=none).engaged


def test_what_was_let_through_counts_until_the_window_has_passed() -> None:
    first = judge(pending("a", "b"))
    assert judge(pending("c", "d"), first, after=599).engaged
    assert not judge(pending("c", "d"), first, after=600).engaged


def test_what_was_let_through_is_not_counted_again_while_it_goes_on() -> None:
    first = judge(pending("a", "b", "c"))
    assert judge(pending("a", "b", "c"), first, after=700) == BrakeState(None, first.passing, ())
    assert judge(pending("b"), first).passing == {mark_of("b")}


def test_an_engaged_brake_stays_so_however_few_are_left_until_none_is() -> None:
    engaged = judge(pending("a", "b", "c", "d"))
    assert judge(pending("a"), engaged, after=7000).engaged
    assert not judge({}, engaged).engaged


def test_a_token_stands_for_one_set_of_one_time() -> None:
    due = pending("a", "b", "c", "d")
    engaged = judge(due)
    grown = judge(due | pending("e"), engaged)
    again = judge(due, nonce="n2")
    assert len({engaged.token, grown.token, again.token}) == 3
    assert judge(due | pending("e"), engaged, asked=engaged.token).engaged
    assert judge(due, again, asked=engaged.token).engaged
    assert judge(due, asked=engaged.token).engaged
    assert judge(due, engaged, asked=engaged.token).passing == due.keys()


def test_what_a_person_released_uses_up_no_allowance() -> None:
    due = pending("a", "b", "c", "d")
    engaged = judge(due)
    released = judge(due, engaged, asked=engaged.token)
    assert released.recent == ()
    assert not judge(due | pending("x"), released, asked=engaged.token).engaged


@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 30), max_size=8), st.booleans(), st.integers(0, 900)), min_size=1, max_size=60
    )
)
def test_no_more_than_allowed_goes_within_a_window_unless_released(
    steps: list[tuple[set[int], bool, int]],
) -> None:
    state, now, counted = BrakeState(), 0.0, list[tuple[float, int]]()
    for number, (names, confirm, wait) in enumerate(steps):
        now += wait
        due = pending(*(f"{number}-{n}" for n in names))
        asked = state.token if confirm else None
        after = judge(due, state, asked=asked, after=now, nonce=f"n{number}")
        released = state.engaged and not after.engaged
        if after.passing and not released:
            counted.append((now, len(after.passing)))
        assert sum(n for at, n in counted if at > now - 600) <= LIMITS.max_deletions
        assert after.engaged == (after.passing != due.keys())
        assert len(after.recent) <= MAX_RECENT
        assert BrakeState.read(after.status()) == after
        state = after
