"""A rotation in trouble: crashes, a broker that dies, a status that lags, somebody else at the slots."""

import pytest

from channel_operator.brokers.rabbitmq.resources import Permission, User, user_id
from channel_operator.core.model import Secret
from tests.engine.rotating import EVERY, OVERLAP, ROTATION, login, opens, reads, settled
from tests.engine.world import world


@pytest.mark.parametrize("after", range(1, 9))
async def test_a_rotation_survives_a_crash_at_any_write(after: int) -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        w.kube.answers_left = after
        w.kube.annotate(user, rotate="1")
        await w.advance(5)
        await w.restart()
        await w.advance(60)
        assert opens(w, login(w))
        assert opens(w, first)
        assert login(w)[0] == w.kube.status(user)["username"] == "billing.worker_b"
        await w.advance(2 * OVERLAP + 60, step=60)
        assert w.names("User") == reads(w) == {"billing.worker_b"}
        assert opens(w, login(w))
        assert w.ready(user)


@pytest.mark.parametrize("after", range(4))
async def test_a_rotation_survives_a_broker_that_dies_at_any_write(after: int) -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        w.broker.writes_left = after
        w.kube.annotate(user, rotate="1")
        await w.advance(30)
        assert opens(w, login(w))
        assert opens(w, first)
        await w.restart()
        await w.advance(60)
        assert login(w)[0] == "billing.worker_b"
        assert opens(w, login(w))
        assert opens(w, first)


async def test_a_restart_in_the_overlap_takes_no_right_and_removes_the_former_in_time() -> None:
    async with world(secrets_sweep=1e9) as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        await w.advance(EVERY, step=60)
        w.broker.writes.clear()
        await w.restart()
        await w.advance(10)
        assert w.broker.writes == []
        assert opens(w, first)
        await w.advance(OVERLAP + 60, step=60)
        assert w.names("User") == {"billing.worker_b"}
        assert w.ready(user)


async def test_a_status_that_lags_behind_the_secret_never_costs_the_slot_in_use() -> None:
    """The Secret was written and the operator ended before the status was."""
    async with world(secrets_sweep=1e9) as w:
        user = await settled(w, rotation=ROTATION)
        before = {"username": "billing.worker_a", "credentials": dict(w.kube.status(user)["credentials"])}
        await w.advance(EVERY, step=60)
        used = login(w)
        await w.crash()
        w.kube.status(user).update(before)
        await w.start()
        await w.advance(600)
        assert login(w) == used
        assert opens(w, used)
        assert w.kube.status(user)["username"] == "billing.worker_b"


async def test_between_rotations_nothing_is_read_or_written_by_a_restart() -> None:
    async with world(secrets_sweep=1e9) as w:
        await settled(w, rotation=ROTATION)
        await w.restart()
        reads, writes = w.kube.secret_reads, len(w.kube.writes)
        w.broker.writes.clear()
        await w.advance(1000)
        # The Broker's own Secret is read once a minute.
        assert w.kube.secret_reads - reads <= 17
        assert len(w.kube.writes) == writes
        assert w.broker.writes == []


async def test_a_user_of_somebody_else_on_the_next_slot_is_not_touched_and_named() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        w.put(User("billing.worker_b", ("administrator",), Secret("theirs")))
        await w.advance(400)  # the operator has seen it
        w.kube.annotate(user, rotate="1")
        await w.advance(400)
        assert w.user("billing.worker_b") == User("billing.worker_b", ("administrator",), Secret("theirs"))
        assert w.kube.condition(user) == ("False", "AdoptionRefused")
        assert login(w) == first
        assert opens(w, first)
        assert reads(w) == {"billing.worker_a"}


async def test_a_slot_deleted_by_hand_comes_back_and_a_former_one_does_not() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        w.take(user_id(first[0]))
        await w.advance(400)
        assert opens(w, first)
        await w.advance(EVERY, step=60)
        w.take(user_id(first[0]))
        w.broker.resources = {
            rid: one
            for rid, one in w.broker.resources.items()
            if not (isinstance(one, Permission) and one.user == first[0])
        }
        await w.advance(700)
        assert w.names("User") == {"billing.worker_b"}
        assert reads(w) == {"billing.worker_b"}
        assert w.ready(user)
