"""Passwords that are replaced: by schedule in two slots, by annotation, and on the way from one to the other."""

from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.resources import Permission, User, user_id
from channel_operator.core.model import Key, Secret
from tests.engine.kubestub import Write
from tests.engine.world import TAG, World, world

EVERY, OVERLAP = 7200, 1200
ROTATION = {"every": "2h", "overlap": "20m"}
"""Seconds, and the same in a manifest; short, since every look at the broker in between is played through."""
READS = "^(?:billing\\.(?:invoices))$"


def login(w: World) -> tuple[str, str]:
    """Return user name and password of the binding Secret."""
    entries = w.kube.entries("billing", "worker-binding")
    return entries["username"], entries["password"]


def opens(w: World, login: tuple[str, str]) -> bool:
    """Whether the broker lets a client in that has read these from a Secret."""
    found = w.user(login[0])
    return found is not None and found.password == Secret(login[1])


def reads(w: World) -> set[str]:
    """Return the native users that may read the queue."""
    return {r.user for r in w.broker.resources.values() if isinstance(r, Permission) and r.read == READS}


async def settled(w: World, **user: Any) -> Key:
    w.make_broker()
    key = w.make_user("worker", **user)
    w.make_queue("invoices", consumers=[{"name": "worker"}])
    await w.start()
    await w.advance(10)
    assert w.ready(key)
    return key


async def test_two_slots_take_turns_and_the_former_goes_when_the_overlap_is_over() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        assert first[0] == w.kube.status(user)["username"] == "billing.worker_a"
        assert reads(w) == w.names("User") == {"billing.worker_a"}
        await w.advance(EVERY, step=60)
        second = login(w)
        assert second[0] == w.kube.status(user)["username"] == "billing.worker_b"
        assert opens(w, first)
        assert opens(w, second)
        assert reads(w) == {"billing.worker_a", "billing.worker_b"}
        assert w.kube.told(user).count("CredentialsRotated") == 1
        assert w.kube.status(user)["credentials"]["issuedAt"] == "2026-01-01T02:00:00Z"
        await w.advance(OVERLAP - 300, step=60)
        assert opens(w, first)
        await w.advance(600, step=10)
        assert w.names("User") == {"billing.worker_b"}
        assert opens(w, second)
        assert w.ready(user)
        await w.advance(EVERY - OVERLAP, step=60)
        assert login(w)[0] == "billing.worker_a"
        assert login(w)[1] != first[1]


async def test_a_former_user_with_connections_stays_until_twice_the_overlap() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        await w.advance(EVERY, step=60)
        w.broker.messages[user_id(first[0])] = 1  # a connection
        await w.advance(2 * OVERLAP - 120, step=60)
        assert opens(w, first)
        assert first[0] in reads(w)
        assert w.ready(user)
        await w.advance(600, step=10)
        assert w.names("User") == {"billing.worker_b"}


async def test_a_former_user_goes_at_the_next_look_after_its_last_connection() -> None:
    async with world() as w:
        await settled(w, rotation=ROTATION)
        first = login(w)
        await w.advance(EVERY, step=60)
        w.broker.messages[user_id(first[0])] = 1
        await w.advance(OVERLAP + 300, step=60)
        assert opens(w, first)
        del w.broker.messages[user_id(first[0])]
        await w.advance(400)
        assert w.names("User") == {"billing.worker_b"}


async def test_grants_given_and_taken_back_in_the_overlap_concern_both() -> None:
    async with world() as w:
        await settled(w, rotation=ROTATION)
        await w.advance(EVERY, step=60)
        more = w.make_queue("more", consumers=[{"name": "worker"}])
        await w.settle()
        both = {f"billing.worker{slot}" for slot in ("_a", "_b")}
        assert {w.permission(name).read for name in both} == {"^(?:billing\\.(?:invoices|more))$"}
        w.kube.edit(more, consumers=[])
        await w.advance(10)
        assert reads(w) == both


async def test_rotation_is_turned_on_and_off_without_an_outage() -> None:
    async with world() as w:
        user = await settled(w)
        plain = login(w)
        assert plain[0] == "billing.worker"
        w.kube.edit(user, rotation=ROTATION)
        await w.advance(10)
        slot = login(w)
        assert slot[0] == "billing.worker_a"
        assert opens(w, plain)
        assert opens(w, slot)
        assert reads(w) == {plain[0], slot[0]}
        await w.advance(OVERLAP + 60, step=60)
        assert w.names("User") == {"billing.worker_a"}
        w.kube.edit(user, rotation=None)
        await w.advance(10)
        back = login(w)
        assert back[0] == w.kube.status(user)["username"] == "billing.worker"
        assert back[1] != plain[1]
        assert opens(w, slot)
        assert opens(w, back)
        await w.advance(OVERLAP + 60, step=60)
        assert w.names("User") == reads(w) == {"billing.worker"}
        assert w.ready(user)


async def test_a_user_that_rotated_can_bring_its_own_password() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        slot = login(w)
        w.kube.secret("billing", "mine", password="chosen-by-the-team")
        w.kube.edit(user, rotation=None, passwordSecretRef={"name": "mine"})
        await w.advance(10)
        assert login(w) == ("billing.worker", "chosen-by-the-team")
        assert opens(w, slot)
        assert opens(w, login(w))
        await w.advance(OVERLAP + 60, step=60)
        assert w.names("User") == {"billing.worker"}


async def test_the_annotation_replaces_the_password_at_once_and_once() -> None:
    async with world() as w:
        user = await settled(w)
        first = login(w)
        w.kube.annotate(user, rotate="1")
        await w.advance(1)
        second = login(w)
        assert second[0] == first[0]
        assert opens(w, second)
        assert not opens(w, first)
        assert w.kube.told(user).count("CredentialsRotated") == 1
        await w.restart()
        await w.advance(1000)
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(10)
        assert login(w) == second
        w.kube.annotate(user, rotate="2")
        await w.advance(10)
        assert login(w) != second
        assert w.ready(user)


async def test_with_rotation_the_annotation_asks_for_the_next_slot_now() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        w.kube.annotate(user, rotate="leaked")
        await w.advance(10)
        assert login(w)[0] == "billing.worker_b"
        assert opens(w, first)
        assert w.kube.told(user).count("CredentialsRotated") == 1
        await w.restart()
        await w.advance(OVERLAP + 60, step=60)
        assert w.names("User") == {"billing.worker_b"}


async def test_an_annotation_that_was_there_from_the_start_asks_for_nothing_more() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker", annotations={"channel-operator.dev/rotate": "1"})
        await w.start()
        first = login(w)
        await w.restart()
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(1000)
        assert login(w) == first
        assert "CredentialsRotated" not in w.kube.told(user)


async def test_the_annotation_is_refused_by_name_for_a_user_that_brings_its_own_password() -> None:
    async with world() as w:
        w.kube.secret("billing", "mine", password="chosen-by-the-team")
        user = await settled(w, passwordSecretRef={"name": "mine"})
        w.kube.annotate(user, rotate="1")
        await w.advance(10)
        assert w.kube.condition(user) == ("False", "InvalidSpec")
        assert "change the password in the Secret that spec.passwordSecretRef names" in w.kube.message(user)
        assert opens(w, ("billing.worker", "chosen-by-the-team"))
        w.kube.secret("billing", "mine", password="another-one-of-theirs")
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(10)
        assert opens(w, ("billing.worker", "another-one-of-theirs"))  # what it has goes on being kept
        w.kube.annotate(user, rotate=None)
        await w.advance(10)
        assert w.ready(user)


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


async def test_all_slots_go_with_the_manifest_and_are_left_over_without_one() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        await w.advance(EVERY, step=60)
        await w.crash()
        w.kube.vanish(user)
        await w.start()
        await w.advance(400)
        assert w.names("User") == set()
        again = w.make_user("worker", rotation=ROTATION)
        await w.advance(EVERY, step=60)
        assert len(w.names("User")) == 2
        w.kube.delete(again)
        await w.advance(10)
        assert w.names("User") == set()


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


async def test_a_rotation_costs_one_secret_and_one_status() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        written = len(w.kube.writes)
        w.kube.annotate(user, rotate="1")
        await w.advance(30)
        assert w.kube.written(written) == {Write("secret", user): 1, Write("status", user): 1}
        assert w.user("billing.worker_a").tags == (TAG,)


async def test_what_is_issued_twice_in_one_second_reaches_the_secret_both_times() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        w.kube.secret("billing", "mine", password="chosen-by-the-team")
        own = w.make_user("own", passwordSecretRef={"name": "mine"})
        turning = w.make_user("turning", rotation=ROTATION)
        await w.start()
        first = login(w)
        w.kube.annotate(user, rotate="1")
        w.kube.annotate(turning, rotate="1")
        w.kube.secret("billing", "mine", password="changed-at-once")
        w.kube.annotate(own, reconcile_at="1")
        await w.settle()
        assert login(w) != first
        assert opens(w, login(w))
        assert w.kube.entries("billing", "own-binding")["password"] == "changed-at-once"
        assert w.ready(user, own, turning)
        for key in (user, own, turning):
            assert w.kube.told(key).count("CredentialsRotated") == 1
