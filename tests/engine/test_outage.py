"""A broker or an API server that goes away, answers slowly, refuses the login, or comes back as another one."""

import asyncio

import pytest

from channel_operator.api.meta import OWNED, RECONCILE_AT
from channel_operator.core.model import Key, Secret
from tests.engine.kubestub import Write
from tests.engine.world import MAIN, World, world


def statuses(w: World, since: int) -> dict[Key, int]:
    """Count the status writes of each object."""
    return {write.key: count for write, count in w.kube.written(since).items() if write.verb == "status"}


async def test_an_outage_of_ten_minutes_leaves_ready_objects_ready_and_writes_little() -> None:
    async with world() as w:
        broker = w.make_broker()
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(30)
        written = len(w.kube.writes)
        w.broker.unreachable = True
        await w.advance(400)
        pending = w.make_queue("late", consumers=[{"name": "worker"}])
        w.kube.edit(queue, deadLetter={})
        await w.advance(200)
        assert w.kube.condition(broker, "Reachable") == ("False", "BrokerUnreachable")
        assert w.ready(user)
        assert w.kube.condition(queue) == ("Unknown", "BrokerUnreachable")
        assert w.kube.condition(pending) == ("Unknown", "BrokerUnreachable")
        assert w.kube.condition(pending, "Reconciling") == ("True", "BrokerUnreachable")
        w.broker.unreachable = False
        await w.advance(40)
        assert w.ready(queue, user, pending)
        assert w.kube.condition(broker) == ("True", "Accepted")
        await w.advance(60)
        counts = statuses(w, written)
        assert counts[broker] <= 5
        assert counts[queue] <= 2
        assert counts[pending] <= 2
        assert counts[user] <= 1, "only because it may use the new queue"
        assert w.kube.told(broker) == ["BrokerUnreachable", "BrokerRecovered"]


async def test_ready_objects_are_not_written_at_all_in_an_outage() -> None:
    async with world() as w:
        w.make_broker()
        keys = [w.make_queue(f"q{n}") for n in range(10)]
        await w.start()
        await w.advance(30)
        written = len(w.kube.writes)
        w.broker.unreachable = True
        await w.advance(1000)
        w.broker.unreachable = False
        await w.advance(60)
        assert w.ready(*keys)
        assert set(statuses(w, written)) == {MAIN}
        assert statuses(w, written)[MAIN] <= 5


@pytest.mark.parametrize("writes", range(8))
async def test_a_broker_that_dies_in_the_middle_of_a_pass_leaves_no_false_status(writes: int) -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        w.broker.writes_left = writes
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}], deadLetter={})
        await w.settle()
        assert w.ready(queue) == (writes == 7), "the queue takes six objects and the user's permission"
        w.broker.unreachable, w.broker.writes_left = False, None
        await w.advance(60)
        assert w.ready(queue, user)


async def test_an_edit_that_meets_a_broker_that_just_went_away_is_not_called_programmed() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        w.broker.unreachable = True
        w.kube.edit(queue, deadLetter={})
        await w.settle()
        assert not w.ready(queue)
        w.kube.annotate(queue, reconcile_at="now")
        fresh = w.make_queue("fresh", annotations={RECONCILE_AT: "1"})
        await w.settle()
        assert not w.ready(queue)
        assert not w.ready(fresh)


async def test_looking_again_at_a_broker_that_is_gone_calls_nothing_programmed() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", annotations={RECONCILE_AT: "1"})
        other = w.make_queue("other")
        await w.start()
        await w.advance(10)
        w.broker.unreachable = True
        # All in one pass: the fresh look fails before anything is claimed or written.
        w.kube.annotate(queue, reconcile_at="2")
        w.kube.edit(other, deadLetter={})
        fresh = w.make_queue("fresh")
        await w.settle()
        assert w.ready(queue)
        assert not w.ready(other)
        assert not w.ready(fresh)
        w.broker.unreachable = False
        await w.advance(60)
        assert w.ready(queue, other, fresh)


async def test_a_slow_broker_is_waited_for_and_other_brokers_go_on() -> None:
    async with world() as w:
        w.make_broker()
        w.make_broker("second", "https://second:15671")
        w.brokers["https://second:15671"] = type(w.broker)(identity="fake-2")
        await w.start()
        w.broker.gate = asyncio.Event()
        slow = w.make_queue("slow")
        fast = w.make_queue("fast", brokerRef={"name": "second", "namespace": "messaging"})
        await w.advance(5)
        assert w.ready(fast)
        assert w.kube.condition(slow) is None
        w.broker.gate.set()
        await w.advance(5)
        assert w.ready(slow)


async def test_an_api_server_away_for_a_minute_is_no_outage_of_the_broker() -> None:
    async with world(secrets_sweep=60.0) as w:
        broker = w.make_broker()
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(30)
        written, on_broker = len(w.kube.writes), len(w.broker.writes)
        w.kube.away = True
        await w.advance(130)
        w.kube.away = False
        await w.advance(130)
        assert w.ready(broker, user, queue)
        assert w.kube.writes[written:] == []
        assert w.broker.writes[on_broker:] == []
        assert w.kube.told(broker) == []


async def test_work_that_met_an_absent_api_server_is_done_when_it_is_back() -> None:
    async with world() as w:
        w.make_broker()
        w.make_user("worker")
        await w.start()
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        w.kube.away = True
        await w.advance(60)
        w.kube.away = False
        await w.advance(40)
        assert w.ready(queue)


async def test_refused_credentials_are_told_on_the_broker_and_a_corrected_secret_is_taken() -> None:
    async with world() as w:
        broker = w.make_broker()
        ready = w.make_queue("ready")
        await w.start()
        w.broker.refuses_login = True
        pending = w.make_queue("pending")
        await w.advance(70)
        assert w.kube.condition(broker) == ("False", "CredentialsInvalid")
        assert w.kube.condition(broker, "Stalled") == ("True", "CredentialsInvalid")
        assert w.ready(ready)
        assert w.kube.condition(pending) == ("Unknown", "RefNotReady")
        w.kube.secret("messaging", "rabbitmq-login", username="operator", password="new")
        w.broker.refuses_login = False
        await w.advance(70)
        assert w.ready(broker, ready, pending)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (None, 'there is no Secret "messaging/rabbitmq-login"'),
        ({"username": "operator"}, 'has no key "password" or it is empty'),
        ({"username": "operator", "password": " "}, 'has no key "password" or it is empty'),
    ],
)
async def test_a_missing_or_incomplete_secret_is_named(entries: dict[str, str] | None, said: str) -> None:
    async with world() as w:
        broker = w.make_broker()
        del w.kube.secrets["messaging", "rabbitmq-login"]
        if entries is not None:
            w.kube.secret("messaging", "rabbitmq-login", **entries)
        await w.start()
        assert w.kube.condition(broker) == ("False", "CredentialsInvalid")
        assert w.kube.condition(broker, "ResolvedRefs") == ("False", "CredentialsInvalid")
        assert said in w.kube.message(broker)
        w.make_broker()
        await w.advance(70)
        assert w.ready(broker)


async def test_changed_credentials_are_noticed_within_a_minute_without_a_restart() -> None:
    async with world() as w:
        broker, queue = w.make_broker(), w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        written = len(w.kube.writes)
        w.kube.secret("messaging", "rabbitmq-login", username="operator", password="changed")
        reads = w.broker.reads
        await w.advance(70)
        assert w.broker.reads > reads, "a new session looks at the whole broker"
        assert w.ready(broker, queue)
        assert w.kube.writes[written:] == []


@pytest.mark.parametrize("away", [False, True])
async def test_a_replaced_broker_gets_everything_again_and_nothing_is_withdrawn(*, away: bool) -> None:
    async with world() as w:
        broker = w.make_broker(defaults={"deletionPolicy": "Delete"})
        user = w.make_user("worker")
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}], deadLetter={})
        await w.start()
        await w.advance(10)
        password = w.kube.entries("billing", "worker-binding")["password"]
        before = set(w.broker.resources)
        w.broker.wipe("fake-2")
        on_broker = len(w.broker.writes)
        if away:
            w.broker.unreachable = True
            await w.advance(400)
            w.broker.unreachable = False
        await w.advance(400)
        assert w.ready(broker, user, queue)
        assert w.kube.status(broker)["identity"] == "fake-2"
        assert w.kube.condition(broker, "BrokerReplaced") == ("True", "BrokerReplaced")
        assert w.kube.told(broker).count("BrokerReplaced") == 1
        assert w.counts.detected.total() == 0, "what another broker lacks is no drift"
        assert {str(change.action) for change in w.broker.writes[on_broker:]} == {"create"}
        assert set(w.broker.resources) == before
        for key in (user, queue):
            assert w.kube.objects[key]["metadata"]["annotations"][OWNED] == "creating:fake-2"
        assert w.user("billing.worker").password == Secret(password)
        assert w.kube.entries("billing", "worker-binding")["password"] == password


async def test_a_replacement_that_is_only_seen_after_a_restart_is_told_too() -> None:
    async with world() as w:
        broker = w.make_broker()
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(10)
        await w.crash()
        w.broker.wipe("fake-2")
        await w.start()
        await w.advance(60)
        assert w.ready(broker, user, queue)
        assert w.kube.told(broker) == ["BrokerReplaced"]
        assert w.names("Queue") == {"billing.invoices"}
        assert w.names("User") == {"billing.worker"}


async def test_an_object_deleted_on_a_replaced_broker_withdraws_nothing_there() -> None:
    async with world() as w:
        w.make_broker(defaults={"deletionPolicy": "Delete"})
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(10)
        await w.crash()
        w.kube.delete(queue)
        w.broker.identity = "fake-2"
        on_broker = len(w.broker.writes)
        await w.start()
        await w.advance(5)
        assert queue not in w.kube.objects
        assert "billing.invoices" in w.names("Queue")
        assert w.broker.writes[on_broker:] == []


async def test_a_status_that_says_what_is_there_already_is_not_written() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        w.kube.annotate(queue, reconcile_at="1")
        await w.settle()
        assert w.kube.written()[Write("status", queue)] == 1
