"""The demo's promises: each function does something on the real servers and says what was seen.

A promise whose whole is not built yet is shown as far as it is, and the text says what is to come. Each function raises
NotShownError for what it does not see.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hack.demo_access import access
from hack.demo_changes import looks_first, no_loss
from hack.demo_scene import Scene, message
from hack.demo_stage import expect, require
from tests.harness.cluster import is_ready
from tests.harness.waiting import wait_until
from tests.lab.binaries import kstatus

__all__ = ["PROMISES"]

_MANY = 200


def no_pretending(scene: Scene) -> list[str]:
    """Show a field that is honoured, one that is refused, and a broker that is not supported yet."""
    payments = scene.cluster.wait_ready("Queue", "billing", "payments")
    notes = {one["field"]: one for one in payments["status"]["enforcement"]}
    retry = notes["spec.retry.maxDeliveries"]
    partitioned = scene.site.queue("billing", "partitioned", kafka={"partitions": 3})
    scene.cluster.apply(partitioned)
    refused = scene.cluster.wait_reason("Queue", "billing", "partitioned", "UnsupportedByBroker")
    require("billing.partitioned" not in scene.site.native_queues(), "the refused queue is not made")
    kafka = {"bootstrapServers": ["localhost:9093"]}
    broker = scene.site.broker(kafka=kafka)
    del broker["spec"]["rabbitmq"]
    broker["metadata"]["name"] = "kafka"
    scene.cluster.apply(broker)
    told = scene.cluster.wait_reason("Broker", scene.site.home, "kafka", "UnsupportedByBroker")
    scene.cluster.delete("Broker", scene.site.home, "kafka")
    return [
        f"honoured: {retry['field']} of billing/payments by the {retry['by']}: {retry['note']}",
        f"refused, nothing made: {message(refused)}",
        f"not built yet, and said: {message(told)}",
    ]


def gitops(scene: Scene) -> list[str]:
    """Show what kstatus says of every example from its first second, and that specs are not written."""
    examples = [("Queue", "billing", "invoices"), ("Queue", "billing", "payments"), ("Queue", "shop", "thumbnails")]
    examples += [("Topic", "shop", "tenders"), ("Subscription", "billing", "paper-mill-tenders")]
    examples += [("BrokerUser", "shop", "checkout"), ("Broker", scene.site.home, "main")]
    for kind, namespace, name in examples:
        versions = scene.recording.versions(kind, namespace, name)
        until = next((n for n, one in enumerate(versions) if is_ready(one)), len(versions) - 1)
        states = _changes([one["status"] for one in kstatus(versions[: until + 1])])
        expect(states, ["InProgress", "Current"], f"kstatus of {kind} {namespace}/{name} from its creation")
        writers = {
            entry["manager"] for entry in versions[-1]["metadata"]["managedFields"] if "f:spec" in entry["fieldsV1"]
        }
        require("channel-operator" not in writers, f"the operator does not write the spec of {namespace}/{name}")
    refused = scene.cluster.get("Queue", "billing", "partitioned")
    states = [one["status"] for one in kstatus([refused or {}])]
    expect(states, ["Failed"], "kstatus of a refused Queue")
    return [
        f"kstatus, the library that GitOps tools use, on {len(examples)} examples: InProgress, then Current",
        "on the refused Queue billing/partitioned: Failed, with the reason; no spec was written by the operator",
    ]


def keeps_up(scene: Scene) -> list[str]:
    """Show how long many queues take, and that a look at them costs as much as at a few."""
    namespace = {"name": "many", "labels": {"broker-access": "main"}}
    scene.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    manifests = [scene.site.queue("many", f"queue-{number}") for number in range(_MANY)]
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(scene.cluster.apply, manifests))

    def ready() -> bool:
        return sum(is_ready(one) for one in scene.cluster.objects("Queue", "many")) == _MANY

    wait_until(ready, f"{_MANY} Queues become Ready", timeout=180, describe=scene.cluster.evidence)
    seconds = time.monotonic() - begin
    scene.quiet()
    before = scene.requests()
    scene.look()
    scene.quiet()
    cost = scene.requests() - before
    require(cost <= scene.look_costs, f"a look takes {scene.look_costs:.1f} requests as before, not {cost:.0f}")
    speed = f"all Ready after {seconds:.1f} s, {_MANY / seconds:.0f} a second"
    return [
        f"{_MANY} Queues applied one by one: {speed}; `make bench` compares that with the servers' raw limit",
        f"a look at the whole broker: {cost:.0f} requests to the management API, no more than before them",
    ]


def _changes(states: list[str]) -> list[str]:
    return [state for number, state in enumerate(states) if number == 0 or states[number - 1] != state]


PROMISES: tuple[tuple[str, Callable[[Scene], list[str]]], ...] = (
    ("One API, no pretending", no_pretending),
    ("Access is part of the channel", access),
    ("It looks before it acts", looks_first),
    ("It does not lose messages", no_loss),
    ("GitOps tools read it right", gitops),
    ("It keeps up", keeps_up),
)
"""Title and function of each, in the order of their numbers."""
