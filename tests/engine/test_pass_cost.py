"""What one change costs does not grow with what is in place: counted in calls of functions, since times say little."""

import sys
from types import FrameType

from channel_operator.core.model import Key
from tests.engine.world import World, world

SHARED = 5
"""Queues that share a user, so that a user's rights and Secret are of one size everywhere."""
HEADROOM = 1.05
"""Times the calls among few: sorting and hashing tables take a step more now and then."""


def add(made: World, number: int) -> Key:
    """Make a Queue, and with every fifth its user."""
    if number % SHARED == 0:
        made.make_user(f"user-{number // SHARED}")
    return made.make_queue(f"queue-{number}", consumers=[{"name": f"user-{number // SHARED}"}])


async def with_in_place(made: World, size: int) -> None:
    made.kube.namespace("billing")
    made.make_broker()
    for number in range(size):
        add(made, number)
    await made.start()
    await made.advance(10.0)  # the Broker's own status, which counts its channels, is written


async def calls(made: World) -> int:
    """Return how many functions of the operator and of Python are called until everything is quiet again."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        await made.settle()
    finally:
        sys.setprofile(None)
    return count


async def cost_of_each(size: int) -> dict[str, int]:
    """Return the calls for a new Queue, an edit, a change at its user, and a deletion, with `size` in place."""
    async with world() as made:
        await with_in_place(made, size)
        found = {}
        first = add(made, size)
        await made.settle()
        second = add(made, size + 1)
        found["create"] = await calls(made)
        assert made.ready(first, second)
        made.kube.edit(second, deliveryLimit=7)
        found["edit"] = await calls(made)
        made.kube.edit(second, consumers=[])
        found["revoke"] = await calls(made)
        made.kube.annotate(Key(second.kind, "billing", "queue-0"), reconcile_at="now")
        found["look again"] = await calls(made)
        made.kube.delete(second)
        found["delete"] = await calls(made)
        assert second not in made.kube.objects
        return found


async def test_a_change_costs_the_same_however_much_is_in_place() -> None:
    few, many = await cost_of_each(10), await cost_of_each(200)
    assert {what for what in few if many[what] > HEADROOM * few[what]} == set(), (few, many)
