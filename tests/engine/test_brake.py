"""The brake on one broker: a mass deletion waits for a person, whatever happens."""

import pytest

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.resources import queue_id
from tests.engine.braked import FEW, queues, reads, release, token
from tests.engine.world import MAIN, world


async def test_few_deletions_just_go() -> None:
    async with world() as w:
        made = await queues(w, 2)
        for key in made:
            w.kube.delete(key)
        await w.advance(10)
        assert w.names("Queue") == set()
        assert token(w) is None
        assert "BrakeEngaged" not in w.kube.told()


async def test_too_many_deletions_wait_in_whole_and_nothing_of_them_is_taken_away() -> None:
    async with world() as w:
        made = await queues(w, 3)
        on_broker = dict(w.broker.resources)
        for key in made:
            w.kube.delete(key)
        await w.advance(400)
        assert w.broker.resources == on_broker
        for key in made:
            assert w.kube.condition(key) == ("False", "BrakeEngaged")
            assert w.kube.condition(key, "Stalled") == ("True", "BrakeEngaged")
            assert "force-release" in w.kube.message(key)
        assert w.kube.condition(MAIN) == ("False", "BrakeEngaged")
        assert f"channel-operator.dev/release-brake={token(w)}" in w.kube.message(MAIN)
        assert w.kube.status(MAIN)["brake"]["deletions"] == 3
        assert w.kube.told(MAIN).count("BrakeEngaged") == 1


async def test_the_right_token_releases_and_no_other_does() -> None:
    async with world() as w:
        made = await queues(w, 4)
        for key in made[:3]:
            w.kube.delete(key)
        await w.advance(10)
        old = token(w)
        w.kube.delete(made[3])
        await w.advance(10)
        assert token(w) != old
        for wrong in (old, "x", "", str(token(w)).upper() + "0"):
            release(w, wrong)
            await w.advance(10)
            assert len(w.names("Queue")) == 4
        assert "another token" in w.kube.message(MAIN)
        release(w, token(w))
        await w.advance(10)
        assert w.names("Queue") == set()
        assert not any(key in w.kube.objects for key in made)
        assert w.ready(MAIN)
        assert w.kube.told(MAIN)[-1] == "BrakeReleased"


async def test_what_comes_after_a_release_is_counted_anew_and_an_old_token_never_fits_again() -> None:
    async with world() as w:
        made = await queues(w, 8)
        for key in made[:3]:
            w.kube.delete(key)
        await w.advance(10)
        release(w, token(w))
        await w.advance(10)
        assert len(w.names("Queue")) == 5
        for key in made[3:6]:
            w.kube.delete(key)
        await w.advance(10)
        assert len(w.names("Queue")) == 5
        assert token(w) is not None
        w.kube.delete(made[6])
        await w.advance(10)
        assert len(w.names("Queue")) == 5


async def test_deletions_are_counted_over_the_window_and_across_a_restart() -> None:
    async with world() as w:
        made = await queues(w, 6)
        for key in made[:2]:
            w.kube.delete(key)
            await w.advance(60)
        assert len(w.names("Queue")) == 4
        await w.restart()
        w.kube.delete(made[2])
        await w.advance(60)
        assert len(w.names("Queue")) == 4
        assert w.kube.condition(made[2]) == ("False", "BrakeEngaged")
        release(w, token(w))
        await w.advance(700)
        assert len(w.names("Queue")) == 3
        for key in made[3:5]:
            w.kube.delete(key)
        await w.advance(60)
        assert len(w.names("Queue")) == 1


async def test_an_engaged_brake_survives_a_restart_with_its_token() -> None:
    async with world() as w:
        made = await queues(w, 3)
        for key in made:
            w.kube.delete(key)
        await w.advance(10)
        before, on_broker = token(w), dict(w.broker.resources)
        await w.restart()
        await w.advance(400)
        assert (token(w), w.broker.resources) == (before, on_broker)
        release(w, before)
        await w.advance(10)
        assert w.names("Queue") == set()


async def test_a_release_goes_on_after_a_crash_in_the_middle_of_it() -> None:
    async with world() as w:
        made = await queues(w, 5)
        for key in made[:4]:
            w.kube.delete(key)
        await w.advance(10)
        release(w, token(w))
        w.broker.writes_left = 2
        await w.settle()
        await w.restart()
        await w.advance(10)
        assert w.names("Queue") == {"billing.q4"}
        assert token(w) is None


async def test_other_policies_are_not_braked_and_go_on_while_it_is_engaged() -> None:
    async with world() as w:
        made = await queues(w, 3)
        kept = w.make_queue("kept", deletionPolicy="Retain")
        empty = w.make_queue("empty", deletionPolicy="DeleteIfEmpty")
        await w.settle()
        for key in (*made, kept, empty):
            w.kube.delete(key)
        await w.advance(60)
        assert kept not in w.kube.objects
        assert empty not in w.kube.objects
        assert w.names("Queue") == {"billing.q0", "billing.q1", "billing.q2", "billing.kept"}


async def test_new_things_are_made_and_edits_are_served_while_it_is_engaged() -> None:
    async with world() as w:
        made = await queues(w, 4)
        for key in made[:3]:
            w.kube.delete(key)
        await w.advance(10)
        w.kube.edit(made[3], consumers=[])
        fresh = w.make_queue("fresh", consumers=[{"name": "worker", "namespace": "shop"}])
        await w.advance(10)
        assert w.ready(fresh)
        assert reads(w) == {"billing.q0", "billing.q1", "billing.q2", "billing.fresh"}


@pytest.mark.parametrize("annotation", ["force_release", "reconcile"])
async def test_a_held_back_object_can_be_let_go_by_its_owner(annotation: str) -> None:
    async with world() as w:
        made = await queues(w, 3)
        for key in made:
            w.kube.delete(key)
        await w.advance(10)
        w.kube.annotate(made[0], **{annotation: "true" if annotation == "force_release" else "Disabled"})
        await w.advance(10)
        assert made[0] not in w.kube.objects
        assert "billing.q0" in w.names("Queue")
        assert "billing.q0" not in reads(w)
        assert token(w) is not None


async def test_an_outage_lets_nothing_go_that_the_brake_holds_back() -> None:
    async with world() as w:
        made = await queues(w, 3)
        for key in made:
            w.kube.delete(key)
        await w.advance(10)
        w.broker.unreachable = True
        user = next(key for key in w.kube.objects if key.kind is Kind.BROKER_USER)
        w.kube.delete(user)
        await w.advance(2000, step=5)
        await w.crash()
        await w.start()
        await w.advance(2000, step=5)
        assert all(key in w.kube.objects for key in made)
        assert user not in w.kube.objects  # the brake holds no deletion of a user
        w.broker.unreachable = False
        await w.advance(60)
        release(w, token(w))
        await w.advance(60)
        assert w.names("Queue") == set()


async def test_nothing_is_let_through_that_could_not_be_written_down() -> None:
    async with world() as w:
        made = await queues(w, 1)
        w.kube.refuses_status = {MAIN}
        w.kube.delete(made[0])
        await w.advance(10)
        assert "billing.q0" in w.names("Queue")
        w.kube.refuses_status = set()
        await w.advance(60)
        assert "billing.q0" not in w.names("Queue")


async def test_dead_letters_that_edits_give_up_need_no_brake_since_none_is_deleted_with_messages() -> None:
    async with world() as w:
        w.make_broker(brake=FEW)
        made = [w.make_queue(f"q{n}", deletionPolicy="Delete", deadLetter={}) for n in range(3)]
        await w.start()
        await w.advance(10)
        dead = [queue_id(f"billing.q{n}_dead") for n in range(3)]
        w.broker.messages.update(dict.fromkeys(dead, 1))
        for key in made:
            w.kube.edit(key, deadLetter=None)
        await w.advance(10)
        assert set(dead) <= w.broker.resources.keys()
        assert w.ready(*made)


async def test_a_broker_that_is_only_observed_has_nothing_to_brake() -> None:
    async with world() as w:
        made = await queues(w, 3)
        w.kube.edit(MAIN, managementPolicy="Observe")
        await w.advance(10)
        for key in made:
            w.kube.delete(key)
        await w.advance(10)
        assert token(w) is None
        assert len(w.names("Queue")) == 3
