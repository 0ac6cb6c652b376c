"""One function for each promise of the project: does something on the real servers and says what was seen.

A promise whose whole is not built yet is shown as far as it is, and the text says what is to come. Each function raises
NotShownError for what it does not see.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pika.exceptions

from hack.demo_stage import NotShownError, expect, require
from tests.harness.amqp import Client
from tests.harness.cluster import Recording, condition, is_ready
from tests.harness.kubeapi import Object
from tests.harness.process import Metrics
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.binaries import kstatus

__all__ = ["Promises"]

_MANY = 200
_LOOKS = 3
_BROKER_WRITES = ("put_", "post_", "delete_", "close_")
_QUIET_SECONDS = 6.0
"""A Broker sums up its channels at most every five seconds; when nothing was written for longer, nothing is due."""


class Promises:
    """The promises, on the demo's servers and with the examples applied."""

    def __init__(self, world: World, site: Site, recording: Recording) -> None:
        self.world = world
        self.site = site
        self.cluster = world.cluster
        self.recording = recording
        self._look_costs = 0.0

    def all(self) -> list[tuple[str, Callable[[], list[str]]]]:
        """Return title and function of each, in the order of their numbers."""
        return [
            ("One API, no pretending", self.no_pretending),
            ("Access is part of the channel", self.access),
            ("It looks before it acts", self.looks_first),
            ("It does not lose messages", self.no_loss),
            ("GitOps tools read it right", self.gitops),
            ("It keeps up", self.keeps_up),
        ]

    # -- 1 -------------------------------------------------------------------------------------------------------

    def no_pretending(self) -> list[str]:
        """Show a field that is honoured, one that is refused, and a broker that is not supported yet."""
        payments = self.cluster.wait_ready("Queue", "billing", "payments")
        notes = {one["field"]: one for one in payments["status"]["enforcement"]}
        retry = notes["spec.retry.maxDeliveries"]
        partitioned = self.site.queue("billing", "partitioned", kafka={"partitions": 3})
        self.cluster.apply(partitioned)
        refused = self.cluster.wait_reason("Queue", "billing", "partitioned", "UnsupportedByBroker")
        require("billing.partitioned" not in self.site.native_queues(), "the refused queue is not made")
        kafka = {"bootstrapServers": ["localhost:9093"]}
        broker = self.site.broker(kafka=kafka)
        del broker["spec"]["rabbitmq"]
        broker["metadata"]["name"] = "kafka"
        self.cluster.apply(broker)
        told = self.cluster.wait_reason("Broker", self.site.home, "kafka", "UnsupportedByBroker")
        self.cluster.delete("Broker", self.site.home, "kafka")
        return [
            f"honoured: {retry['field']} of billing/payments by the {retry['by']}: {retry['note']}",
            f"refused, nothing made: {_message(refused)}",
            f"not built yet, and said: {_message(told)}",
        ]

    # -- 2 -------------------------------------------------------------------------------------------------------

    def access(self) -> list[str]:
        """Show what the lists of billing/invoices give, and that a name taken off loses it at once."""
        exchange, queue = "billing.invoices_in", "billing.invoices"
        with self.site.client("shop", "checkout") as sender, self.site.client("billing", "invoice-worker") as worker:
            expect(sender.try_publish(exchange), None, "the producer sends")
            reading, around = sender.try_get(queue), sender.try_publish("", queue)
            expect((reading, around), ("ACCESS_REFUSED", "ACCESS_REFUSED"), "the producer reads, or goes around")
            expect(worker.receive(queue), ["x"], "the consumer receives")
            sending = worker.try_publish(exchange)
            expect(sending, "ACCESS_REFUSED", "the consumer sends")
        return [
            f"shop/checkout may send to {exchange}, may not receive ({reading}), not even send by the default exchange",
            f"billing/invoice-worker may receive from {queue}, may not send ({sending})",
            self._withdrawn(),
        ]

    def _withdrawn(self) -> str:
        invoices = self.cluster.get("Queue", "billing", "invoices")
        if invoices is None:
            raise NotShownError("Queue billing/invoices is not there")
        consumers = invoices["spec"]["consumers"]
        with self.site.client("billing", "invoice-worker") as worker:
            worker.consume("billing.invoices")
            self.cluster.patch("Queue", "billing", "invoices", {"spec": {"consumers": []}})
            why = wait_until(lambda: _end_of(worker), "the open connection of a user taken off the list ends")
        with Client(self.site.binding("billing", "invoice-worker")) as worker:
            expect(worker.try_get("billing.invoices"), "ACCESS_REFUSED", "a user taken off the list receives")
        self.cluster.patch("Queue", "billing", "invoices", {"spec": {"consumers": consumers}})
        self.cluster.wait_ready("Queue", "billing", "invoices")
        return f"taken off the list, its open connection was ended by the broker ({why}) and receiving is refused"

    # -- 3 -------------------------------------------------------------------------------------------------------

    def looks_first(self) -> list[str]:
        """Show a plan, a queue that is not taken over, changes by hand that are put right, and a quiet system."""
        self.cluster.apply(self.site.queue("billing", "planned", managementPolicy="Observe", deadLetter={}))
        planned = self.cluster.wait_reason("Queue", "billing", "planned", "Observed")
        require("billing.planned" not in self.site.native_queues(), "the planned queue is not made")
        arguments = {"durable": True, "arguments": {"x-queue-type": "classic"}}
        self.site.rabbit("PUT", "/api/queues/{vhost}/billing.legacy", arguments)
        self.cluster.apply(self.site.queue("billing", "legacy"))
        legacy = self.cluster.wait_reason("Queue", "billing", "legacy", "AdoptionRefused")
        expect(self.site.native_queues()["billing.legacy"]["type"], "classic", "the queue made by hand")
        plan = planned["status"]["plan"]
        return [
            f"a plan before a change (Observe): {plan['summary']}: {'; '.join(plan['changes'][:2])}; ...",
            f"a queue made by hand is not taken over: {_message(legacy)}",
            *self._repaired(),
            self._steady(),
        ]

    def _repaired(self) -> list[str]:
        self.site.rabbit("DELETE", "/api/bindings/{vhost}/e/billing.invoices_in/q/billing.invoices/~")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.site.rabbit("PUT", "/api/permissions/{vhost}/shop.checkout", everything)
        self.cluster.look_now(self.site.home, "main")
        told = [
            self.cluster.wait_event("billing", "invoices", "DriftCorrected"),
            self.cluster.wait_event("shop", "checkout", "DriftCorrected"),
        ]
        with self.site.client("shop", "checkout") as sender:
            expect(sender.try_get("billing.invoices"), "ACCESS_REFUSED", "the widened permission")
            expect(sender.try_publish("billing.invoices_in"), None, "the binding taken away")
        with self.site.client("billing", "invoice-worker") as worker:
            worker.receive("billing.invoices")
        return [f"by hand, a binding deleted and a permission widened: noticed and repaired ({len(told)} Events)"]

    def _steady(self) -> str:
        before, secrets, requests = self._quiet(), self._secrets(), self._requests()
        for _ in range(_LOOKS):
            self._look()
        expect(self._quiet(), before, "writes to broker and API server in a steady system")
        expect(self._secrets(), secrets, "versions of the Secrets in a steady system")
        self._look_costs = (self._requests() - requests) / _LOOKS
        written = "0 writes to RabbitMQ, 0 to the API server but the Lease"
        return f"three looks at the whole broker with nothing changed: {written}"

    def _secrets(self) -> dict[str, str]:
        """Return the version of every Secret; a write to one counts under the same verb as renewing the Lease."""
        found = [one["metadata"] for one in self.cluster.objects("Secret")]
        return {f"{one['namespace']}/{one['name']}": one["resourceVersion"] for one in found}

    def _look(self) -> None:
        """Have the operator look at the whole broker."""
        count = self._looks()
        self.cluster.look_now(self.site.home, "main")
        wait_until(lambda: self._looks() > count, "the whole broker is looked at", describe=self.cluster.evidence)

    def _looks(self) -> float:
        return self._metrics().total("channel_operator_broker_request_total", operation="definitions")

    def _requests(self) -> float:
        """Return the requests to RabbitMQ so far, without the probes of the data plane, which come by the clock."""
        operations = self._metrics().by("channel_operator_broker_request_total", "operation")
        return sum(count for name, count in operations.items() if name != "amqp_probe")

    def _metrics(self) -> Metrics:
        return self.world.operator.metrics()

    def _writes(self) -> tuple[float, float]:
        """Return the writes so far: to the broker, and to the API server without the Lease's renewals."""
        metrics = self._metrics()
        operations = metrics.by("channel_operator_broker_request_total", "operation")
        verbs = metrics.by("channel_operator_kube_request_total", "verb")
        broker = sum(count for name, count in operations.items() if name.startswith(_BROKER_WRITES))
        return broker, verbs.get("patch", 0) + verbs.get("create", 0) + verbs.get("delete", 0)

    def _quiet(self) -> tuple[float, float]:
        """Wait until nothing is written any more and return the writes so far."""
        seen, since = self._writes(), time.monotonic()

        def look() -> bool:
            nonlocal seen, since
            now = self._writes()
            if now != seen:
                seen, since = now, time.monotonic()
            return time.monotonic() - since > _QUIET_SECONDS

        wait_until(look, "the operator becomes quiet", describe=self.cluster.evidence)
        return seen

    # -- 4 -------------------------------------------------------------------------------------------------------

    def no_loss(self) -> list[str]:
        """Show that a deleted manifest leaves queue and message, and that what others made is never touched."""
        queue = self.site.queue("billing", "letters", producers=[{"name": "checkout", "namespace": "shop"}])
        queue["spec"]["consumers"] = [{"name": "invoice-worker"}]
        self.cluster.apply(queue)
        self.cluster.wait_ready("Queue", "billing", "letters")
        with self.site.client("shop", "checkout") as sender:
            sender.publish("billing.letters_in", "please keep")
        self.cluster.delete("Queue", "billing", "letters")
        self.cluster.wait_gone("Queue", "billing", "letters")
        require("billing.letters" in self.site.native_queues(), "the queue stays after the deletion")
        with self.site.client("billing", "invoice-worker") as worker:
            expect(worker.try_get("billing.letters"), "ACCESS_REFUSED", "reading after the deletion")
        self.cluster.apply(queue)
        self.cluster.wait_ready("Queue", "billing", "letters")
        with self.site.client("billing", "invoice-worker") as worker:
            expect(worker.receive("billing.letters"), ["please keep"], "the message after the manifest came back")
        self.cluster.apply(self.site.queue("billing", "legacy", deletionPolicy="Delete"))
        self.cluster.delete("Queue", "billing", "legacy")
        self.cluster.wait_gone("Queue", "billing", "legacy")
        require("billing.legacy" in self.site.native_queues(), "the queue made by hand stays")
        return [
            "manifest deleted: the queue stayed with its message, access went; manifest back: the message was received",
            "the queue made by hand is still there, although a manifest with deletionPolicy Delete named it",
        ]

    # -- 5 -------------------------------------------------------------------------------------------------------

    def gitops(self) -> list[str]:
        """Show what kstatus says of every example from its first second, and that specs are not written."""
        examples = [("Queue", "billing", "invoices"), ("Queue", "billing", "payments"), ("Queue", "shop", "thumbnails")]
        examples += [("BrokerUser", "shop", "checkout"), ("Broker", self.site.home, "main")]
        for kind, namespace, name in examples:
            versions = self.recording.versions(kind, namespace, name)
            until = next((n for n, one in enumerate(versions) if is_ready(one)), len(versions) - 1)
            states = _changes([one["status"] for one in kstatus(versions[: until + 1])])
            expect(states, ["InProgress", "Current"], f"kstatus of {kind} {namespace}/{name} from its creation")
            writers = {
                entry["manager"] for entry in versions[-1]["metadata"]["managedFields"] if "f:spec" in entry["fieldsV1"]
            }
            require("channel-operator" not in writers, f"the operator does not write the spec of {namespace}/{name}")
        refused = self.cluster.get("Queue", "billing", "partitioned")
        states = [one["status"] for one in kstatus([refused or {}])]
        expect(states, ["Failed"], "kstatus of a refused Queue")
        return [
            f"kstatus, the library that GitOps tools use, on {len(examples)} examples: InProgress, then Current",
            "on the refused Queue billing/partitioned: Failed, with the reason; no spec was written by the operator",
        ]

    # -- 6 -------------------------------------------------------------------------------------------------------

    def keeps_up(self) -> list[str]:
        """Show how long many queues take, and that a look at them costs as much as at a few."""
        namespace = {"name": "many", "labels": {"broker-access": "main"}}
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
        manifests = [self.site.queue("many", f"queue-{number}") for number in range(_MANY)]
        begin = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.cluster.apply, manifests))

        def ready() -> bool:
            return sum(is_ready(one) for one in self.cluster.objects("Queue", "many")) == _MANY

        wait_until(ready, f"{_MANY} Queues become Ready", timeout=180, describe=self.cluster.evidence)
        seconds = time.monotonic() - begin
        self._quiet()
        before = self._requests()
        self._look()
        self._quiet()
        cost = self._requests() - before
        require(cost <= self._look_costs, f"a look takes {self._look_costs:.1f} requests as before, not {cost:.0f}")
        speed = f"all Ready after {seconds:.1f} s, {_MANY / seconds:.0f} a second"
        return [
            f"{_MANY} Queues applied one by one: {speed}; `make bench` compares that with the servers' raw limit",
            f"a look at the whole broker: {cost:.0f} requests to the management API, no more than before them",
        ]


def _message(found: Object) -> str:
    ready = condition(found, "Ready") or {}
    return f"{ready.get('reason')}: {ready.get('message')}"


def _end_of(client: Client) -> str | None:
    try:
        client.pump()
    except pika.exceptions.ConnectionClosedByBroker as error:
        return f"{error.reply_code} {error.reply_text}"
    except pika.exceptions.AMQPError as error:
        return type(error).__name__
    return None


def _changes(states: list[str]) -> list[str]:
    return [state for number, state in enumerate(states) if number == 0 or states[number - 1] != state]
