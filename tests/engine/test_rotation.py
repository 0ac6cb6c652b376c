"""Passwords that are replaced by schedule: in two slots, and on the way from one to the other."""

from channel_operator.brokers.rabbitmq.resources import user_id
from tests.engine.kubestub import Write
from tests.engine.rotating import EVERY, OVERLAP, ROTATION, login, opens, reads, settled
from tests.engine.world import TAG, world


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
