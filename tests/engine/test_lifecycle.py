"""From manifests to the broker and back to status: creation in any order, steady state, edits, grants."""

import itertools
import json

import pytest

from channel_operator.api.meta import FINALIZER, OWNED, Kind
from channel_operator.core.model import Key
from tests.engine.kubestub import Write
from tests.engine.world import MAIN, World, world


def reads(*names: str) -> str:
    """Return the pattern for names of the namespace billing."""
    return f"^(?:billing\\.(?:{'|'.join(names)}))$" if names else "^$"


def made(w: World) -> list[str]:
    """Return what is on the broker, as a sorted list."""
    return sorted(str(rid).strip() for rid in w.broker.resources)


@pytest.mark.parametrize("order", list(itertools.permutations(["broker", "user", "queue"])))
@pytest.mark.parametrize("pause", [False, True])
async def test_any_order_of_creation_ends_ready(order: tuple[str, ...], *, pause: bool) -> None:
    async with world() as w:
        await w.start()
        keys: dict[str, Key] = {}
        for step in order:
            match step:
                case "broker":
                    keys[step] = w.make_broker()
                case "user":
                    keys[step] = w.make_user("worker")
                case _:
                    keys[step] = w.make_queue("invoices", consumers=[{"name": "worker"}])
            if pause:
                await w.settle()
        await w.settle()
        await w.advance(10)
        assert w.ready(*keys.values())
        assert w.kube.status(keys["queue"])["grants"] == [
            {"user": "billing/worker", "role": "Consumer", "state": "Granted"}
        ]
        assert w.names("Queue") == {"billing.invoices"}
        permission = w.permission("billing.worker")
        assert (permission.configure, permission.write, permission.read) == ("^$", "^$", reads("invoices"))


@pytest.mark.parametrize("order", list(itertools.permutations(["broker", "user", "queue"])))
async def test_creation_in_one_apply_costs_two_writes_per_object_and_one_secret(order: tuple[str, ...]) -> None:
    async with world() as w:
        await w.start()
        for step in order:
            match step:
                case "broker":
                    w.make_broker()
                case "user":
                    user = w.make_user("worker")
                case _:
                    queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.settle()
        await w.advance(120)
        assert {k: v for k, v in w.kube.written().items() if k.key != MAIN} == {
            Write("metadata", user): 1,
            Write("status", user): 1,
            Write("secret", user): 1,
            Write("metadata", queue): 1,
            Write("status", queue): 1,
        }
        assert w.kube.told(queue) == ["Created"]
        assert w.kube.told(user) == ["Created"]


async def test_the_owner_record_and_the_finalizer_stand_before_anything_is_made() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        w.kube.away = True
        queue = w.make_queue("invoices")
        await w.settle()
        assert w.broker.writes == []
        w.kube.away = False
        await w.advance(20)
        meta = w.kube.objects[queue]["metadata"]
        assert meta["finalizers"] == [FINALIZER]
        assert meta["annotations"][OWNED] == "creating:fake-1"
        assert w.ready(queue)


async def test_what_others_wrote_into_metadata_stays() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", annotations={"example.org/team": "blue"})
        w.kube.objects[queue]["metadata"]["finalizers"] = ["example.org/other"]
        await w.start()
        meta = w.kube.objects[queue]["metadata"]
        assert meta["annotations"]["example.org/team"] == "blue"
        assert meta["finalizers"] == ["example.org/other", FINALIZER]


async def test_a_queue_with_a_dead_letter_of_its_own_has_all_its_parts() -> None:
    async with world() as w:
        w.make_broker()
        w.make_user("worker")
        queue = w.make_queue(
            "invoices", retry={"maxDeliveries": 5}, deadLetter={"consumers": [{"name": "worker"}]}, messageTTL="1h"
        )
        await w.start()
        assert w.ready(queue)
        assert [line for line in made(w) if "worker" not in line] == [
            "Binding billing.invoices_dlx queue billing.invoices_dead",
            "Binding billing.invoices_in queue billing.invoices",
            "Exchange billing.invoices_dlx",
            "Exchange billing.invoices_in",
            "Queue billing.invoices",
            "Queue billing.invoices_dead",
        ]
        status = w.kube.status(queue)
        assert status["address"] == {
            "name": "billing.invoices",
            "rabbitmq": {
                "vhost": "/",
                "exchange": "billing.invoices_in",
                "queues": ["billing.invoices", "billing.invoices_dead"],
            },
        }
        assert status["origin"] == "Created"
        assert {entry["field"] for entry in status["enforcement"]} == {
            "spec.retry.maxDeliveries",
            "spec.deadLetter",
            "spec.messageTTL",
        }


async def test_the_binding_secret_tells_a_client_all_it_needs() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        entries = w.kube.entries("billing", "worker-binding")
        assert entries["username"] == "billing.worker"
        assert len(entries["password"]) >= 32
        assert entries["host"] == "rabbitmq"
        assert json.loads(entries["channels.json"]) == [
            {
                "kind": "Queue",
                "namespace": "billing",
                "name": "invoices",
                "role": "Consumer",
                "queues": ["billing.invoices"],
            }
        ]
        on_broker = w.user("billing.worker")
        assert on_broker.password is not None
        assert on_broker.password.reveal() == entries["password"]
        status = w.kube.status(user)
        assert status["username"] == "billing.worker"
        assert status["binding"] == {"name": "worker-binding"}
        assert status["grants"] == [{"kind": "Queue", "namespace": "billing", "name": "invoices", "role": "Consumer"}]
        assert status["permissionBytes"]["read"] == len(reads("invoices"))


async def test_a_steady_system_writes_nothing_and_reads_a_constant_number_of_times() -> None:
    async with world() as w:
        w.make_broker()
        for number in range(20):
            w.make_user(f"u{number}")
            w.make_queue(f"q{number}", producers=[{"name": f"u{number}"}], consumers=[{"name": "u0"}])
        await w.start()
        await w.advance(120)
        written, on_broker, reads_before = len(w.kube.writes), len(w.broker.writes), w.broker.reads
        await w.advance(3 * 330)
        assert w.kube.writes[written:] == []
        assert len(w.broker.writes) == on_broker
        assert 3 <= w.broker.reads - reads_before <= 4
        assert w.counts.detected.total() == 0


async def test_a_restart_with_everything_in_place_writes_nothing() -> None:
    async with world() as w:
        w.make_broker()
        for number in range(5):
            w.make_user(f"u{number}")
            w.make_queue(f"q{number}", producers=[{"name": f"u{number}"}], deadLetter={})
        await w.start()
        await w.advance(60)
        written, on_broker = len(w.kube.writes), len(w.broker.writes)
        secret_reads = w.kube.secret_reads
        await w.restart()
        await w.advance(30)
        assert w.kube.writes[written:] == []
        assert w.broker.writes[on_broker:] == []
        assert w.kube.secret_reads - secret_reads == 1, "only the Broker's own Secret is read at a start"


async def test_a_removed_dead_letter_goes_and_its_messages_stay() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", deadLetter={})
        await w.start()
        w.kube.edit(queue, deadLetter=None)
        await w.settle()
        assert w.ready(queue)
        assert w.names("Exchange") == {"billing.invoices_in"}
        assert w.names("Queue") == {"billing.invoices", "billing.invoices_dead"}
        w.kube.edit(queue, deadLetter={})
        await w.settle()
        assert w.names("Exchange") == {"billing.invoices_in", "billing.invoices_dlx"}
        assert w.ready(queue)


async def test_a_change_the_broker_cannot_make_is_told_and_taken_back() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", messageTTL="1h")
        await w.start()
        on_broker = len(w.broker.writes)
        w.kube.edit(queue, messageTTL="2h")
        await w.advance(400)
        assert w.kube.condition(queue) == ("False", "ImmutableOnBroker")
        assert w.kube.condition(queue, "Stalled") == ("True", "ImmutableOnBroker")
        assert "spec.messageTTL 1h → 2h" in w.kube.message(queue)
        assert w.kube.condition(queue, "Drifted") == ("True", "ImmutableOnBroker")
        assert w.kube.status(queue)["plan"]["changes"] == [
            "! Queue billing.invoices cannot be changed in place: spec.messageTTL 1h → 2h"
        ]
        assert w.kube.status(MAIN)["channels"]["drifted"] == 1
        assert w.broker.writes[on_broker:] == []
        w.kube.edit(queue, messageTTL="1h")
        await w.settle()
        assert w.ready(queue)
        assert w.kube.condition(queue, "Drifted") is None
        assert "plan" not in w.kube.status(queue)


async def test_the_broker_counts_its_channels() -> None:
    async with world() as w:
        broker = w.make_broker()
        await w.start()
        await w.advance(60)
        queues = [w.make_queue(f"q{n}") for n in range(3)]
        await w.settle()
        await w.advance(10)
        assert w.ready(*queues)
        assert w.kube.status(broker)["channels"] == {"total": 3, "ready": 3, "drifted": 0}
        assert w.kube.status(broker)["identity"] == "fake-1"


async def test_the_order_of_writes_puts_what_is_referred_to_first() -> None:
    async with world() as w:
        w.make_broker()
        w.make_queue("invoices", deadLetter={})
        await w.start()
        order = [str(change.id) for change in w.broker.writes]
        assert order.index("Queue billing.invoices_dead") < order.index("Queue billing.invoices")
        assert order[-1].startswith("Binding billing.invoices_in")


async def test_a_new_value_of_reconcile_at_looks_at_the_object_at_once() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", annotations={"channel-operator.dev/reconcile-at": "1"})
        await w.start()
        w.take(w.queue("billing.invoices").id)
        w.kube.annotate(queue, reconcile_at="2")
        await w.settle()
        assert "billing.invoices" in w.names("Queue")
        assert w.ready(queue)


async def test_a_kafka_broker_says_that_it_is_not_supported_yet() -> None:
    async with world() as w:
        await w.start()
        w.kube.secret("messaging", "kafka-login", username="operator", password="x")
        spec = {
            "kafka": {"bootstrapServers": ["kafka:9093"]},
            "credentials": {"passwordSecretRef": {"name": "kafka-login"}},
            "allowedNamespaces": {"from": "All"},
        }
        broker = w.kube.apply(Kind.BROKER, "messaging", "main", spec)
        queue = w.make_queue("invoices")
        await w.settle()
        assert w.kube.condition(broker) == ("False", "UnsupportedByBroker")
        assert w.kube.condition(queue) == ("Unknown", "RefNotReady")
