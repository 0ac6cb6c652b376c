"""What a user reads of a Broker, a BrokerUser and a Queue, ready and refused: golden files, read by a person.

UPDATE_GOLDEN=1 writes them. Names, times and versions that differ from run to run are replaced by words.
"""

import os
import re
from pathlib import Path

import pytest

from tests.harness.install import ROOT
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def showcase(world: World) -> tuple[Site, str]:
    """Make one of everything, ready and refused."""
    site = world.site(vhost="showcase")
    shop = site.namespace("shop")
    younger = site.broker()
    site.cluster.wait_older("Broker", site.home, "main")
    site.cluster.apply(
        {**younger, "metadata": {**younger["metadata"], "name": "refused"}},
        site.user(shop, "ready"),
        site.user(shop, "refused", username="admin.account"),
    )
    # The user first, or an Event may tell that it was missing for a moment.
    site.cluster.wait_ready("BrokerUser", shop, "ready")
    site.cluster.apply(
        site.queue(
            shop,
            "ready",
            producers=[{"name": "ready"}],
            consumers=[{"name": "ready"}, {"name": "missing"}],
            retry={"maxDeliveries": 5},
            deadLetter={},
        ),
        site.queue(shop, "refused", rabbitmq={"maxPriority": 5}),
    )
    site.cluster.wait_ready("Queue", shop, "ready")
    site.cluster.wait_event(shop, "ready", "GrantMissing")
    site.cluster.wait_event(shop, "ready", "Created")
    for kind, namespace, name, reason in (
        ("Broker", site.home, "refused", "NameConflict"),
        ("BrokerUser", shop, "refused", "NameNotAllowed"),
        ("Queue", shop, "refused", "UnsupportedByBroker"),
    ):
        site.cluster.wait_reason(kind, namespace, name, reason)
    for kind, namespace, name in (("BrokerUser", shop, "ready"), ("Broker", site.home, "main")):
        site.cluster.wait_for(kind, namespace, name, _is_settled, "tells of its grants or channels")
    site.cluster.wait_event(shop, "ready", "Created")
    wait_until(lambda: _events_of(site, shop, "BrokerUser"), "the user's Event is there")
    return site, shop


def _is_settled(found: Object) -> bool:
    status = found.get("status") or {}
    return status.get("grantCount") == 2 or (status.get("channels") or {}).get("ready") == 1


def _events_of(site: Site, namespace: str, kind: str) -> list[Object]:
    return [one for one in site.cluster.events(namespace, "ready") if one["involvedObject"]["kind"] == kind]


def _normalised(site: Site, shop: str, text: str) -> str:
    replacements = [
        (re.escape(shop), "shop"),
        (re.escape(site.home), "messaging"),
        (r"rabbitmq-cluster-id-[\w-]+", "rabbitmq-cluster-id-X"),
        (r"localhost:\d+", "localhost:PORT"),
        (re.escape(site.rabbitmq.version), "VERSION"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
        (r"Resource Version: +\d+", "Resource Version:  NUMBER"),
        (r"Secret Version: +\w+", "Secret Version:  NUMBER"),
        (r"(Read|Write): +\d+", r"\1:  NUMBER"),
        (r"\b(\d+m)?\d+s\b( \(x\d+ over \d+s\))?", "5s"),
        (r"site:\s+s\d+|Site:\s+s\d+|site: \w+", "site: ours"),
    ]
    for pattern, word in replacements:
        text = re.sub(pattern, word, text)
    # Columns are as wide as their contents, which differ from run to run.
    lines = [re.sub(r"(?<=\S) {2,}", "  ", line.rstrip()) for line in text.splitlines()]
    lines = [line for line in lines if not re.fullmatch(r"[ -]*-[ -]*", line)]
    if "Events:" in lines:
        # Those of one second come in any order.
        first = lines.index("Events:") + 2
        lines[first:] = sorted(lines[first:])
    return "\n".join(lines) + "\n"


def _matches(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), (
        f"{path.relative_to(ROOT)} differs (UPDATE_GOLDEN=1 writes it, for a person to read)"
    )


KINDS = {"brokers": "main", "brokerusers": "ready", "queues": "ready"}


@pytest.mark.parametrize("plural", KINDS)
def test_kubectl_get(showcase: tuple[Site, str], plural: str) -> None:
    site, shop = showcase
    namespace = site.home if plural == "brokers" else shop
    resource = f"{plural}.channel-operator.dev"
    shown = [site.cluster.kubectl("get", resource, "-n", namespace, *more) for more in ((), ("-o", "wide"))]
    _matches(f"get-{plural}.txt", _normalised(site, shop, "\n".join(shown)))


@pytest.mark.parametrize("which", ["ready", "refused"])
@pytest.mark.parametrize("plural", KINDS)
def test_kubectl_describe(showcase: tuple[Site, str], plural: str, which: str) -> None:
    site, shop = showcase
    namespace = site.home if plural == "brokers" else shop
    name = KINDS[plural] if which == "ready" else "refused"
    shown = site.cluster.kubectl("describe", f"{plural}.channel-operator.dev", "-n", namespace, name)
    _matches(f"describe-{plural}-{which}.txt", _normalised(site, shop, shown))
