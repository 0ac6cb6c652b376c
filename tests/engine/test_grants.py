"""Who gets what: lists that change, users that are missing, refused or elsewhere, and names that two want."""

import json

from channel_operator.api.meta import Kind
from tests.engine.kubestub import Write
from tests.engine.world import MAIN, world


def reads(*names: str) -> str:
    """Return the pattern for names of the namespace billing."""
    return f"^(?:billing\\.(?:{'|'.join(names)}))$" if names else "^$"


async def test_a_change_of_who_may_use_a_queue_costs_one_status_write_each() -> None:
    async with world() as w:
        w.make_broker()
        first, second = w.make_user("first"), w.make_user("second")
        queue = w.make_queue("invoices", consumers=[{"name": "first"}])
        await w.start()
        await w.advance(10)
        written = len(w.kube.writes)
        w.kube.edit(queue, consumers=[{"name": "first"}, {"name": "second"}])
        await w.settle()
        assert w.permission("billing.second").read == reads("invoices")
        assert w.ready(queue, first, second)
        assert {k: v for k, v in w.kube.written(written).items() if k.key != MAIN} == {
            Write("status", queue): 1,
            Write("status", second): 1,
            Write("secret", second): 1,
        }


async def test_a_grant_taken_off_the_list_is_narrowed_and_others_keep_theirs() -> None:
    async with world() as w:
        w.make_broker()
        gone, stays = w.make_user("gone"), w.make_user("stays")
        queue = w.make_queue("invoices", consumers=[{"name": "gone"}, {"name": "stays"}])
        w.make_queue("orders", consumers=[{"name": "gone"}])
        await w.start()
        on_broker = len(w.broker.writes)
        w.kube.edit(queue, consumers=[{"name": "stays"}])
        await w.settle()
        assert w.permission("billing.gone").read == reads("orders")
        assert w.permission("billing.stays").read == reads("invoices")
        assert [str(change.id) for change in w.broker.writes[on_broker:]] == ["Permission billing.gone"]
        assert json.loads(w.kube.entries("billing", "gone-binding")["channels.json"])[0]["name"] == "orders"
        assert w.ready(queue, gone, stays)
        assert w.kube.status(gone)["permissionBytes"]["read"] == len(reads("orders"))


async def test_a_missing_user_costs_its_grant_only_and_is_told_once() -> None:
    async with world() as w:
        w.make_broker()
        w.make_user("here")
        queue = w.make_queue("invoices", consumers=[{"name": "here"}, {"name": "absent"}, {"name": "absent"}])
        await w.start()
        await w.advance(700)
        assert w.ready(queue)
        assert w.kube.status(queue)["grants"] == [
            {"user": "billing/here", "role": "Consumer", "state": "Granted"},
            {"user": "billing/absent", "role": "Consumer", "state": "Missing"},
        ]
        assert w.kube.told(queue).count("GrantMissing") == 1
        w.make_user("absent")
        await w.settle()
        assert {g["state"] for g in w.kube.status(queue)["grants"]} == {"Granted"}
        assert w.permission("billing.absent").read == reads("invoices")


async def test_a_user_of_another_broker_gets_nothing_and_the_queue_says_so() -> None:
    async with world() as w:
        w.make_broker()
        w.make_broker("second", "https://second:15671")
        w.kube.apply(Kind.BROKER_USER, "billing", "far", {"brokerRef": {"name": "second", "namespace": "messaging"}})
        queue = w.make_queue("invoices", consumers=[{"name": "far"}])
        w.brokers["https://second:15671"] = type(w.broker)(identity="fake-2")
        await w.start()
        await w.advance(5)
        assert w.ready(queue)
        assert w.kube.status(queue)["grants"][0]["state"] == "OnOtherBroker"
        assert w.kube.told(queue) == ["Created", "GrantRefused"]
        assert "billing.far" not in w.names("User")


async def test_two_claimants_of_a_name_the_older_has_it_and_the_younger_follows() -> None:
    async with world() as w:
        w.make_broker(naming={"physicalName": "Any"})
        await w.start()
        older = w.make_queue("a", physicalName="shared")
        await w.advance(2)
        younger = w.make_queue("b", "shop", physicalName="shared")
        await w.advance(2)
        assert w.ready(older)
        assert w.kube.condition(younger) == ("False", "NameConflict")
        assert "billing" not in w.kube.message(younger), "another namespace's names are not told"
        assert w.kube.told(younger) == ["NameConflict"]
        w.kube.delete(older)
        await w.settle()
        assert older not in w.kube.objects
        await w.advance(2)
        assert w.ready(younger)
        assert w.kube.status(younger)["origin"] == "Adopted", "the queue was retained"


async def test_a_name_that_may_not_be_chosen_is_not_kept_from_whom_it_belongs_to() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        thief = w.make_queue("mine-now", "shop", physicalName="billing.invoices")
        ghost = w.make_user("ghost", "shop", username="billing.worker")
        await w.advance(2)
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.advance(5)
        assert w.ready(user, queue)
        assert w.kube.condition(thief) == ("False", "NameNotAllowed")
        assert w.kube.condition(ghost) == ("False", "NameNotAllowed")
        assert 'must start with "shop."' in w.kube.message(thief)


async def test_a_user_with_more_channels_than_fit_loses_the_newest_only() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        queues = []
        for number in range(9):
            queues.append(w.make_queue(f"{number}-" + "x" * 120, consumers=[{"name": "worker"}]))
            await w.advance(2)
        states = [w.kube.status(queue)["grants"][0]["state"] for queue in queues]
        assert states == ["Granted"] * 8 + ["TooMany"]
        assert w.ready(user, *queues)
        assert w.kube.told(queues[-1]).count("GrantRefused") == 1
        assert len(w.permission("billing.worker").read.encode()) <= 1024
        w.kube.delete(queues[0])
        await w.advance(5)
        assert w.kube.status(queues[-1])["grants"][0]["state"] == "Granted"
