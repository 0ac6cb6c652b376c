"""The demo's second promise: who may do what follows from what the channels say, and ends as soon as they say so."""

import pika.exceptions

from hack.demo_scene import Scene
from hack.demo_stage import NotShownError, expect
from tests.harness.amqp import Client
from tests.harness.waiting import wait_until

__all__ = ["access"]


def access(scene: Scene) -> list[str]:
    """Show what the lists of billing/invoices give, and that a name taken off loses it at once."""
    exchange, queue = "billing.invoices_in", "billing.invoices"
    with scene.site.client("shop", "checkout") as sender, scene.site.client("billing", "invoice-worker") as worker:
        expect(sender.try_publish(exchange), None, "the producer sends")
        reading, around = sender.try_get(queue), sender.try_publish("", queue)
        expect((reading, around), ("ACCESS_REFUSED", "ACCESS_REFUSED"), "the producer reads, or goes around")
        expect(worker.receive(queue), ["x"], "the consumer receives")
        sending = worker.try_publish(exchange)
        expect(sending, "ACCESS_REFUSED", "the consumer sends")
    return [
        f"shop/checkout may send to {exchange}, may not receive ({reading}), not even send by the default exchange",
        f"billing/invoice-worker may receive from {queue}, may not send ({sending})",
        _withdrawn(scene),
        *_subscribed(scene),
    ]


def _withdrawn(scene: Scene) -> str:
    invoices = scene.cluster.get("Queue", "billing", "invoices")
    if invoices is None:
        raise NotShownError("Queue billing/invoices is not there")
    consumers = invoices["spec"]["consumers"]
    with scene.site.client("billing", "invoice-worker") as worker:
        worker.consume("billing.invoices")
        scene.cluster.patch("Queue", "billing", "invoices", {"spec": {"consumers": []}})
        why = wait_until(lambda: _end_of(worker), "the open connection of a user taken off the list ends")
    with Client(scene.site.binding("billing", "invoice-worker")) as worker:
        expect(worker.try_get("billing.invoices"), "ACCESS_REFUSED", "a user taken off the list receives")
    scene.cluster.patch("Queue", "billing", "invoices", {"spec": {"consumers": consumers}})
    scene.cluster.wait_ready("Queue", "billing", "invoices")
    return f"taken off the list, its open connection was ended by the broker ({why}) and receiving is refused"


def _subscribed(scene: Scene) -> list[str]:
    """Show a topic that two subscriptions of another namespace receive, until its owner takes that back."""
    topic, queues = "shop.tenders", ("billing.paper-mill-tenders", "billing.print-works-tenders")
    with (
        scene.site.client("shop", "procurement") as publisher,
        scene.site.client("billing", "paper-mill") as mill,
        scene.site.client("billing", "print-works") as works,
    ):
        publisher.publish(topic, "tender 4", key="paper")
        received = [*mill.receive(queues[0]), *works.receive(queues[1])]
        expect(received, ["tender 4"] * 2, "what the subscriptions receive")
        expect(mill.try_get(queues[1]), "ACCESS_REFUSED", "a subscriber reads another's subscription")
    scene.cluster.patch("Topic", "shop", "tenders", {"spec": {"subscribers": {"from": "Same"}}})
    for name in ("paper-mill-tenders", "print-works-tenders"):
        scene.cluster.wait_reason("Subscription", "billing", name, "RefNotPermitted")
    with Client(scene.site.binding("billing", "paper-mill")) as mill:
        expect(mill.try_get(queues[0]), "ACCESS_REFUSED", "reading after the topic was closed")
    with scene.site.client("shop", "procurement") as publisher:
        expect(publisher.try_publish(topic, "paper"), "UNROUTABLE", "where the closed topic's messages go")
    scene.cluster.patch("Topic", "shop", "tenders", {"spec": {"subscribers": {"from": "All"}}})
    for name in ("paper-mill-tenders", "print-works-tenders"):
        scene.cluster.wait_ready("Subscription", "billing", name)
    return [
        f"one message to the Topic shop/tenders reached both Subscriptions in billing ({' and '.join(queues)})",
        "its owner closed it to other namespaces: no more messages, no more reading (ACCESS_REFUSED); open again, back",
    ]


def _end_of(client: Client) -> str | None:
    try:
        client.pump()
    except pika.exceptions.ConnectionClosedByBroker as error:
        return f"{error.reply_code} {error.reply_text}"
    except pika.exceptions.AMQPError as error:
        return type(error).__name__
    return None
