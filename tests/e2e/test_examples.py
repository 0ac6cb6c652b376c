"""Every example is applied as it stands and used by its own client, with the commands its README names."""

import base64
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pika
import pytest

from tests.harness import examples
from tests.harness.bindings import BindingFolder
from tests.harness.cluster import documents
from tests.harness.site import Site
from tests.harness.world import World
from tests.lab.binaries import kubectl_path


class Step(NamedTuple):
    """One command of an example's README: who runs it, what is added to make it end, what it must print.

    `channels`: on how many lists the user is.
    """

    command: str
    namespace: str
    user: str
    prints: tuple[str, ...]
    added: str = ""
    channels: int = 1
    named: bool = True
    """Whether the README states the command; where two users do the same it is stated once."""


# In an order that works from an empty queue; a README may tell of a long-running one first.
STEPS = {
    "single-receiver": (
        Step('send "invoice 4711"', "shop", "checkout", ("sent 1 to billing.invoices_in, confirmed by the broker",)),
        Step("receive --count 1", "billing", "invoice-worker", ("received from billing.invoices: invoice 4711",)),
    ),
    "competing-consumers": (
        Step("send --count 20", "shop", "uploader", ("sent 20 jobs to shop.thumbnails_in, confirmed by the broker",)),
        Step(
            "work --name a",
            "shop",
            "thumbnailer",
            ("worker a: job 1", "worker a: job 20", "worker a: did 20 jobs"),
            added="--until-idle 2 --seconds 0",
        ),
    ),
    "sharded": (
        Step(
            "send --orders 6 --steps 5",
            "shop",
            "shop-floor",
            ("sent 5 steps of 6 orders to shop.order-steps_in, confirmed by the broker",),
        ),
        Step(
            "work --name a",
            "shop",
            "shipping",
            ("worker a: order 6 step 5", "worker a: 6 orders, 0 steps out of order"),
            added="--until-idle 3",
        ),
    ),
    "strict-order": (
        Step(
            "send --count 10", "billing", "bookings", ("sent 10 entries to billing.ledger_in, confirmed by the broker",)
        ),
        Step(
            "follow --name a",
            "billing",
            "ledger-keeper",
            ("keeper a: entry 1", "keeper a: entry 10", "keeper a: 0 entries out of order"),
            added="--until-idle 3",
        ),
    ),
    "shared-dead-letters": (
        Step(
            "send refunds 4711", "shop", "front-desk", ("sent '4711' to billing.refunds_in, confirmed by the broker",)
        ),
        Step(
            "send complaints 4712",
            "shop",
            "front-desk",
            ("sent '4712' to billing.complaints_in, confirmed by the broker",),
        ),
        Step("fail", "billing", "clerk", ("failed 4 times",)),
        Step(
            "read --count 2",
            "billing",
            "back-office",
            ("'4711' from billing.refunds", "'4712' from billing.complaints"),
        ),
    ),
    "dead-letter": (
        Step('send "payment 12"', "shop", "storefront", ("sent 1 to billing.payments_in, confirmed by the broker",)),
        Step(
            "fail",
            "billing",
            "payment-worker",
            (
                "try 1 of 'payment 12' failed: returned to billing.payments",
                "try 2 of 'payment 12' failed: returned to billing.payments",
                "try 3 of 'payment 12' failed: returned to billing.payments",
                "'payment 12' was tried 3 times and did not come back",
            ),
        ),
        Step(
            "dead",
            "billing",
            "payment-support",
            ("dead letter 'payment 12' from billing.payments, reason delivery_limit",),
        ),
    ),
    "publish-with-async-response": (
        Step(
            'announce tender-3 "500 envelopes"',
            "shop",
            "procurement",
            ("tender-3 published to shop.tenders, offers go to shop.offers_in",),
            channels=2,
        ),
        Step("offer 120", "billing", "paper-mill", ("offered 120 for tender-3 to shop.offers_in",), channels=2),
        Step("offer 95", "billing", "print-works", ("offered 95 for tender-3 to shop.offers_in",), channels=2),
        Step(
            "offers --count 2",
            "shop",
            "procurement",
            ("offer for tender-3 from billing.paper-mill: 120", "offer for tender-3 from billing.print-works: 95"),
            channels=2,
        ),
    ),
    "publish-subscribe": (
        Step('publish "tea 3.20"', "shop", "catalog", ("published to shop.price-changes: tea 3.20",)),
        Step("receive --count 1", "shop", "web-shop", ("received from shop.web-shop-prices: tea 3.20",)),
        Step(
            "receive --count 1",
            "billing",
            "price-archive",
            ("received from billing.price-archive: tea 3.20",),
            named=False,
        ),
    ),
    "durable-subscription": (
        Step('publish "pallet 9"', "shop", "storehouse", ("published to shop.deliveries: pallet 9",)),
        Step("receive --count 1", "billing", "accounting", ("received from billing.deliveries: pallet 9",), channels=2),
    ),
    "event-bus": (
        Step('publish order.sent "order 7"', "shop", "orders", ("published order.sent to shop.events: order 7",)),
        Step('publish order.paid "order 8"', "shop", "orders", ("published order.paid to shop.events: order 8",)),
        Step("receive --count 1", "billing", "invoicing", ("received from billing.paid-orders: order 8",)),
        Step(
            "receive --count 2",
            "shop",
            "order-audit",
            ("received from shop.order-audit: order 7", "received from shop.order-audit: order 8"),
        ),
    ),
    "replay": (
        Step("publish gate-1 gate-2 gate-3", "shop", "scanner", ("published 3 to shop.scans_in",)),
        Step(
            "read --offset first --count 3",
            "billing",
            "forecast",
            ("offset 0: gate-1", "offset 1: gate-2", "offset 2: gate-3"),
        ),
        Step("read --offset 2 --count 1", "billing", "forecast", ("offset 2: gate-3",)),
    ),
    "certificate-user": (
        Step(
            'send "-18.5"',
            "shop",
            "cold-store",
            (
                "sent 1 to billing.temperatures_in, confirmed by the broker",
                "logged in as shop.cold-store, by certificate",
            ),
        ),
        Step("receive --count 1", "billing", "cooling", ("received from billing.temperatures: -18.5",)),
    ),
    "rotation": (
        Step('send "door 3"', "shop", "alarms", ("sent 1 to shop.alarms-to-check_in, confirmed by the broker",)),
        Step(
            "receive --count 1",
            "shop",
            "night-shift",
            ("connected as shop.night-shift_a", "received from shop.alarms-to-check: door 3"),
        ),
    ),
    "request-reply": (
        Step(
            'request basket-7 "3 apples"',
            "shop",
            "basket",
            ("request basket-7 sent to billing.quotes_in, replies go to shop.quote-replies_in",),
            channels=2,
        ),
        Step("respond --count 1", "billing", "pricing", ("answered basket-7 to shop.quote-replies_in",), channels=2),
        Step("replies --count 1", "shop", "basket", ("reply to basket-7: 3 apples cost 8 euros",), channels=2),
    ),
}
FOLDERS = [folder.name for folder in examples.FOLDERS]


def test_every_example_is_tried() -> None:
    assert sorted(STEPS) == FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_the_readme_of_an_example_names_the_commands_that_are_tried(name: str) -> None:
    text = (examples.EXAMPLES / name / "README.md").read_text()
    commands = re.findall(r"`python client\.py --binding DIR ([^`]+)`", text)
    assert sorted(commands) == sorted(step.command for step in STEPS[name] if step.named)
    assert set(re.findall(r"`([\w-]+)-binding`", text)) == {step.user for step in STEPS[name]}


@pytest.mark.parametrize("name", FOLDERS)
def test_an_example_works_with_its_own_client(name: str, world: World, examples_broker: Site, tmp_path: Path) -> None:
    cluster = examples_broker.cluster
    cluster.apply(*examples.certificates(documents(examples.EXAMPLES / name / "channels.yaml"), world.lab.ca))
    # The command of examples/README.md.
    cluster.kubectl(
        "apply", f"-f={examples.EXAMPLES / 'namespaces.yaml'}", f"-f={examples.EXAMPLES / name / 'channels.yaml'}"
    )
    for one in documents(examples.EXAMPLES / name / "channels.yaml"):
        cluster.wait_ready(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"])
    examples_broker.purge()
    for step in STEPS[name]:
        binding = BindingFolder.of(cluster, step.namespace, step.user, tmp_path / step.user, channels=step.channels)
        arguments = [*shlex.split(step.command), *shlex.split(step.added)]
        done = examples.run_client(examples.EXAMPLES / name, binding.path, arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr + cluster.evidence()
        assert [line for line in step.prints if line not in done.stdout.splitlines()] == [], done.stdout


def test_a_reply_goes_nowhere_the_responder_may_not_send(examples_broker: Site, tmp_path: Path) -> None:
    folder = examples.EXAMPLES / "request-reply"
    cluster = examples_broker.cluster
    cluster.apply(folder / "channels.yaml", examples.EXAMPLES / "single-receiver" / "channels.yaml")
    responder = BindingFolder.of(cluster, "billing", "pricing", tmp_path / "pricing", channels=2)
    cluster.wait_ready("Queue", "billing", "quotes")
    examples_broker.purge()
    with examples_broker.client("shop", "basket") as requester:
        channel = requester.connection.channel()
        for identity, address in (("other", "billing.invoices_in"), ("default", ""), ("none", None)):
            properties = pika.BasicProperties(correlation_id=identity, reply_to=address)
            channel.basic_publish("billing.quotes_in", "", b"1 apple", properties)
    done = examples.run_client(folder, responder.path, ["respond", "--count", "3"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "no answer to other: may not send to 'billing.invoices_in'",
        "no answer to default: may not send to ''",
        "no answer to none: may not send to None",
    ]


def test_a_client_says_what_is_wrong_when_the_user_may_not(examples_broker: Site, tmp_path: Path) -> None:
    examples_broker.cluster.apply(examples.EXAMPLES / "single-receiver" / "channels.yaml")
    binding = BindingFolder.of(examples_broker.cluster, "shop", "checkout", tmp_path / "checkout")
    done = examples.run_client(examples.EXAMPLES / "single-receiver", binding.path, ["receive", "--count", "1"])
    assert done.returncode == 1
    assert done.stderr.startswith("error: user shop.checkout is not Consumer")


def test_the_command_that_copies_a_secret_into_a_folder(examples_broker: Site, tmp_path: Path) -> None:
    examples_broker.cluster.apply(examples.EXAMPLES / "single-receiver" / "channels.yaml")
    examples_broker.cluster.wait_ready("BrokerUser", "shop", "checkout")
    block = re.search(r"^```sh\n(.*?)^```", (examples.EXAMPLES / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    environment = {
        "PATH": f"{kubectl_path().parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(examples_broker.cluster.control_plane.kubeconfig),
    }
    subprocess.run(["bash", "-euo", "pipefail", "-c", block[1]], cwd=tmp_path, env=environment, check=True, timeout=60)
    secret = examples_broker.cluster.get("Secret", "shop", "checkout-binding")
    assert secret is not None
    written = {path.name: path.read_bytes() for path in (tmp_path / "checkout").iterdir()}
    assert written == {name: base64.b64decode(value) for name, value in secret["data"].items()}
