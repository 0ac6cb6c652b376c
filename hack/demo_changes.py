"""The demo's third and fourth promise: what is looked at before it is changed, and what a change does not lose."""

from hack.demo_scene import Scene, message
from hack.demo_stage import expect, require
from tests.harness.cluster import condition
from tests.harness.kubeapi import Object
from tests.harness.waiting import wait_until

__all__ = ["looks_first", "no_loss"]

_LOOKS = 3


def looks_first(scene: Scene) -> list[str]:
    """Show a plan, a queue that is not taken over, changes by hand that are put right, and a quiet system."""
    scene.cluster.apply(scene.site.queue("billing", "planned", managementPolicy="Observe", deadLetter={}))
    planned = scene.cluster.wait_reason("Queue", "billing", "planned", "Observed")
    require("billing.planned" not in scene.site.native_queues(), "the planned queue is not made")
    arguments = {"durable": True, "arguments": {"x-queue-type": "classic"}}
    scene.site.rabbit("PUT", "/api/queues/{vhost}/billing.legacy", arguments)
    scene.cluster.apply(scene.site.queue("billing", "legacy"))
    legacy = scene.cluster.wait_reason("Queue", "billing", "legacy", "AdoptionRefused")
    expect(scene.site.native_queues()["billing.legacy"]["type"], "classic", "the queue made by hand")
    plan = planned["status"]["plan"]
    return [
        f"a plan before a change (Observe): {plan['summary']}: {'; '.join(plan['changes'][:2])}; ...",
        f"a queue made by hand is not taken over: {message(legacy)}",
        *_repaired(scene),
        _steady(scene),
    ]


def _repaired(scene: Scene) -> list[str]:
    scene.site.rabbit("DELETE", "/api/bindings/{vhost}/e/billing.invoices_in/q/billing.invoices/~")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    scene.site.rabbit("PUT", "/api/permissions/{vhost}/shop.checkout", everything)
    scene.cluster.look_now(scene.site.home, "main")
    told = [
        scene.cluster.wait_event("billing", "invoices", "DriftCorrected"),
        scene.cluster.wait_event("shop", "checkout", "DriftCorrected"),
    ]
    with scene.site.client("shop", "checkout") as sender:
        expect(sender.try_get("billing.invoices"), "ACCESS_REFUSED", "the widened permission")
        expect(sender.try_publish("billing.invoices_in"), None, "the binding taken away")
    with scene.site.client("billing", "invoice-worker") as worker:
        worker.receive("billing.invoices")
    return [f"by hand, a binding deleted and a permission widened: noticed and repaired ({len(told)} Events)"]


def _steady(scene: Scene) -> str:
    before, secrets, requests = scene.quiet(), scene.secrets(), scene.requests()
    for _ in range(_LOOKS):
        scene.look()
    expect(scene.quiet(), before, "writes to broker and API server in a steady system")
    expect(scene.secrets(), secrets, "versions of the Secrets in a steady system")
    scene.look_costs = (scene.requests() - requests) / _LOOKS
    written = "0 writes to RabbitMQ, 0 to the API server but the Lease"
    return f"three looks at the whole broker with nothing changed: {written}"


def no_loss(scene: Scene) -> list[str]:
    """Show that a deleted manifest leaves queue and message, and that what others made is never touched."""
    queue = scene.site.queue("billing", "letters", producers=[{"name": "checkout", "namespace": "shop"}])
    queue["spec"]["consumers"] = [{"name": "invoice-worker"}]
    scene.cluster.apply(queue)
    scene.cluster.wait_ready("Queue", "billing", "letters")
    with scene.site.client("shop", "checkout") as sender:
        sender.publish("billing.letters_in", "please keep")
    scene.cluster.delete("Queue", "billing", "letters")
    scene.cluster.wait_gone("Queue", "billing", "letters")
    require("billing.letters" in scene.site.native_queues(), "the queue stays after the deletion")
    with scene.site.client("billing", "invoice-worker") as worker:
        expect(worker.try_get("billing.letters"), "ACCESS_REFUSED", "reading after the deletion")
    scene.cluster.apply(queue)
    scene.cluster.wait_ready("Queue", "billing", "letters")
    with scene.site.client("billing", "invoice-worker") as worker:
        expect(worker.receive("billing.letters"), ["please keep"], "the message after the manifest came back")
    scene.cluster.apply(scene.site.queue("billing", "legacy", deletionPolicy="Delete"))
    scene.cluster.delete("Queue", "billing", "legacy")
    scene.cluster.wait_gone("Queue", "billing", "legacy")
    require("billing.legacy" in scene.site.native_queues(), "the queue made by hand stays")
    return [
        "manifest deleted: the queue stayed with its message, access went; manifest back: the message was received",
        "the queue made by hand is still there, although a manifest with deletionPolicy Delete named it",
        _other_dead_letter(scene),
        _braked(scene),
    ]


def _other_dead_letter(scene: Scene) -> str:
    """Show dead letters that go elsewhere from one moment to the next, while the queue and its messages stay."""
    queue, review = "billing.payments", "billing.payments-review"
    scene.cluster.apply(scene.site.queue("billing", "payments-review", consumers=[{"name": "payment-support"}]))
    scene.cluster.wait_ready("Queue", "billing", "payments-review")
    with scene.site.client("shop", "storefront") as sender, scene.site.client("billing", "payment-worker") as worker:
        sender.publish(f"{queue}_in", "payment 13", "payment 14")
        other = {"deadLetter": {"consumers": None, "queueRef": {"name": "payments-review"}}}
        scene.cluster.patch("Queue", "billing", "payments", {"spec": other})
        scene.cluster.wait_ready("Queue", "billing", "payments")
        worker.attempt(lambda channel: channel.basic_reject(channel.basic_get(queue)[0].delivery_tag, requeue=False))
        expect(worker.receive(queue), ["payment 14"], "the message that waited during the change")
    with scene.site.client("billing", "payment-support") as support:
        expect(support.receive(review), ["payment 13"], "the dead letter in the other queue")
    kept = (
        "billing/payments, with messages in it, got another dead letter target (deadLetter.queueRef): the queue stayed"
    )
    return f"{kept} with them, and what failed next went to {review}"


def _braked(scene: Scene) -> str:
    """Show that a deletion of many queues at once waits until somebody confirms it."""
    scene.cluster.patch("Broker", scene.site.home, "main", {"spec": {"brake": {"maxDeletions": 1}}})
    names = [f"pruned-{number}" for number in range(5)]
    scene.cluster.apply(*(scene.site.queue("billing", name, deletionPolicy="Delete") for name in names))
    for name in names:
        scene.cluster.wait_ready("Queue", "billing", name)
    for name in names:
        scene.cluster.delete("Queue", "billing", name)
    evidence = scene.cluster.evidence
    wait_until(lambda: len(_held(scene)) == len(_left(scene)), "the brake holds what is left", describe=evidence)
    held = _held(scene)
    require(held and {f"billing.{name}" for name in held} <= set(scene.site.native_queues()), "the brake keeps queues")
    wait_until(lambda: _released(scene), "what was confirmed is deleted", describe=evidence)
    require(not any("pruned" in name for name in scene.site.native_queues()), "what was confirmed is deleted")
    scene.cluster.patch("Broker", scene.site.home, "main", {"spec": {"brake": None}})
    pruned = f"{len(names)} Queues with deletionPolicy Delete pruned at once where 1 is allowed"
    return f"{pruned}: the brake kept {len(held)}, until the token in the Broker's status was given back"


def _left(scene: Scene) -> list[Object]:
    return [one for one in scene.cluster.objects("Queue", "billing") if one["metadata"]["name"].startswith("pruned-")]


def _held(scene: Scene) -> list[str]:
    says = {one["metadata"]["name"]: condition(one, "Ready") or {} for one in _left(scene)}
    return [name for name, ready in says.items() if ready.get("reason") == "BrakeEngaged"]


def _released(scene: Scene) -> bool:
    """Give the token back, the present one: another deletion makes another."""
    broker = scene.cluster.get("Broker", scene.site.home, "main") or {}
    token = broker["status"].get("brake", {}).get("token")
    if token:
        scene.cluster.annotate("Broker", scene.site.home, "main", {"channel-operator.dev/release-brake": token})
    return not _left(scene)
