"""What all owners together want: nothing is lost, nothing is counted twice, and a hold keeps what is there."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.core.accepted import Compiled
from channel_operator.core.desired import Desired
from channel_operator.core.model import (
    Assembled,
    Key,
    Mode,
    Part,
    Resource,
    ResourceId,
)


class Thing(NamedTuple):
    """A native object that says who wants it and what was held back for it."""

    name: str
    wanted_by: tuple[str, ...]
    held_names: tuple[str, ...]

    @property
    def id(self) -> ResourceId:
        return ResourceId("Thing", (self.name,))

    @property
    def holds_data(self) -> bool:
        return False


class Union:
    """Assembles the union of all owners, oldest first."""

    def assemble(
        self,
        rid: ResourceId,
        parts: Sequence[Part],
        picture: Mapping[ResourceId, Resource],
        held_names: Collection[str],
    ) -> Assembled:
        observed = picture.get(rid)
        assert observed is None or observed.id == rid
        owners = tuple(part.owner.name for part in parts if part.mode is Mode.ASSERT)
        return Assembled(Thing(rid.path[0], owners, tuple(sorted(held_names))))


def key(name: str) -> Key:
    return Key(Kind.QUEUE, "billing", name)


def rid(name: str) -> ResourceId:
    return ResourceId("Thing", (name,))


def says(owner: str, *names: str, since: str = "") -> Compiled:
    parts = [Part(rid(n), key(owner), Mode.ASSERT, n, (since, owner)) for n in names]
    return Compiled(tuple(parts), names=frozenset({owner}))


def test_a_shared_object_is_assembled_from_all_its_owners_oldest_first() -> None:
    desired = Desired(Union())
    touched = desired.put(key("young"), says("young", "x", since="2"), held=False)
    touched |= desired.put(key("old"), says("old", "x", "y", since="1"), held=False)
    desired.assemble(touched, {})
    assert desired.get(rid("x")) == Assembled(Thing("x", ("old", "young"), ()))
    assert set(desired.owners(rid("x"))) == {key("old"), key("young")}


def test_saying_the_same_again_touches_nothing() -> None:
    desired = Desired(Union())
    assert desired.put(key("a"), says("a", "x"), held=False) == {rid("x")}
    assert desired.put(key("a"), says("a", "x"), held=False) == set()


def test_what_an_owner_says_no_more_is_touched_and_the_others_stay() -> None:
    desired = Desired(Union())
    desired.put(key("a"), says("a", "x", "y"), held=False)
    desired.put(key("b"), says("b", "x"), held=False)
    assert desired.put(key("a"), says("a", "y"), held=False) == {rid("x")}
    desired.assemble([rid("x")], {})
    assert desired.get(rid("x")) == Assembled(Thing("x", ("b",), ()))
    assert desired.drop(key("b")) == {rid("x")}
    desired.assemble([rid("x")], {})
    assert desired.get(rid("x")) is None
    assert set(desired.ids()) == {rid("y")}


def test_going_on_hold_and_off_touches_everything_that_is_shared() -> None:
    desired = Desired(Union())
    desired.put(key("a"), says("a", "x"), held=False)
    assert desired.put(key("b"), says("b", "y"), held=True) == {rid("x"), rid("y")}
    desired.assemble([rid("x")], {})
    assert desired.get(rid("x")) == Assembled(Thing("x", ("a",), ("b",)))
    assert desired.put(key("b"), says("b", "y"), held=True) == set()
    assert desired.drop(key("b")) == {rid("x"), rid("y")}


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["put", "hold", "drop"]),
        st.lists(st.sampled_from("wxyz"), unique=True, max_size=3),
    ),
    max_size=20,
)


@given(STEPS)
def test_any_history_ends_in_what_its_last_words_say(steps: list[tuple[str, str, list[str]]]) -> None:
    by_steps = Desired(Union())
    last: dict[str, tuple[list[str], bool]] = {}
    for owner, what, names in steps:
        if what == "drop":
            touched = by_steps.drop(key(owner))
            last.pop(owner, None)
        else:
            touched = by_steps.put(key(owner), says(owner, *names), held=what == "hold")
            last[owner] = (names, what == "hold")
        by_steps.assemble(touched, {})
    fresh = Desired(Union())
    for owner, (names, held) in sorted(last.items(), reverse=True):
        fresh.put(key(owner), says(owner, *names), held=held)
    fresh.assemble(fresh.ids(), {})
    assert {r: by_steps.get(r) for r in by_steps.ids()} == {r: fresh.get(r) for r in fresh.ids()}
