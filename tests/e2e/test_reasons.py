"""Each reason a condition can have, as a user reads it: the words, who is stalled, and what GitOps tools make of it.

The last test holds the list of reasons against what is shown here and in the neighbouring modules.
"""

from pathlib import Path

import pytest

from channel_operator.api.reasons import Reason
from tests.e2e.saying import says, secret
from tests.harness.cluster import condition
from tests.harness.site import Site
from tests.harness.world import World
from tests.lab.binaries import kstatus

ELSEWHERE = {
    Reason.BROKER_REPLACED: "test_replaced.py",
    Reason.BRAKE_ENGAGED: "test_brake.py",
}
"""Shown by other modules, which disturb servers of their own."""
NOT_HERE = {
    Reason.TOPIC_DELETION_DISABLED,  # of Kafka, which has no driver yet
    Reason.PLUGIN_MISSING,  # the lab's RabbitMQ has every plugin; the unit tests have one without
}
AS_EVENTS = {Reason.RETAINED: "Retained", Reason.ORPHANED: "Orphaned"}
"""Told as Events, because the object is gone then."""


def test_a_broker_that_does_not_exist_is_waited_for(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(
        site.queue(shop, "orders", brokerRef={"name": "missing"}),
        site.user(shop, "user", brokerRef={"name": "missing", "namespace": shop}),
    )
    unstated = "; brokerRef.namespace is not stated, so this namespace was taken"
    for kind, name, why in (("Queue", "orders", unstated), ("BrokerUser", "user", "")):
        message = (
            f'spec.brokerRef: there is no Broker "{shop}/missing" (yet){why}. Create it, or correct the reference.'
        )
        says(site, kind, shop, name, Reason.REF_NOT_FOUND, message, on="ResolvedRefs", stalled=False)


def test_a_secret_that_belongs_to_somebody_else_is_not_overwritten(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(secret(shop, "user-binding", theirs="untouched"), site.user(shop, "user"))
    says(
        site,
        "BrokerUser",
        shop,
        "user",
        Reason.SECRET_CONFLICT,
        f'spec.secret.name: a Secret "{shop}/user-binding" exists and does not belong to this BrokerUser. '
        "Delete it or choose another name.",
        on="Programmed",
    )
    assert site.cluster.secret(shop, "user-binding") == {"theirs": "untouched"}
    site.cluster.delete("Secret", shop, "user-binding")
    site.cluster.look_now(shop, "user", kind="BrokerUser")
    site.cluster.wait_ready("BrokerUser", shop, "user")
    assert site.binding(shop, "user")["username"] == f"{shop}.user"


def test_work_in_progress_is_told_with_the_brokers_words(site: Site) -> None:
    # The virtual host is deleted under a Broker that is connected.
    shop = site.namespace("shop")
    site.rabbit("DELETE", "/api/vhosts/{vhost}")
    site.cluster.apply(site.queue(shop, "orders"))
    found = site.cluster.wait_reason("Queue", shop, "orders", str(Reason.PROGRESSING))
    shown = condition(found, "Reconciling")
    assert shown is not None
    assert shown["message"] == (f"Broker {site.home}/main: what was asked for is not there (HTTP 404)")
    assert kstatus([found])[0]["status"] == "InProgress"
    site.make_vhost()
    site.cluster.wait_ready("Queue", shop, "orders")


def test_a_limit_of_the_virtual_host_is_told_and_the_queue_comes_once_it_is_raised(world: World) -> None:
    site = world.site()
    shop = site.namespace("shop")
    site.rabbit("PUT", "/api/vhost-limits/{vhost}/max-queues", {"value": 0})
    site.cluster.apply(site.queue(shop, "orders"))
    says(
        site,
        "Queue",
        shop,
        "orders",
        Reason.BROKER_REFUSED,
        f"Broker {site.home}/main: refused the change (HTTP 400); usually a limit of the broker: its log says why",
        on="Programmed",
    )
    site.rabbit("DELETE", "/api/vhost-limits/{vhost}/max-queues")
    site.cluster.look_now(shop, "orders", kind="Queue")
    site.cluster.wait_ready("Queue", shop, "orders")


def test_a_deletion_says_what_it_waits_for_and_lets_go_when_its_time_is_over(world: World) -> None:
    proxy = world.proxy(world.rabbitmq.management_port)
    site = world.site(management_port=proxy.port, spec={"deletionTimeout": "6s"})
    shop = site.namespace("shop")
    site.cluster.apply(site.queue(shop, "orders", deletionPolicy="Delete"))
    site.cluster.wait_ready("Queue", shop, "orders")
    proxy.refuse()
    proxy.cut()
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    site.cluster.delete("Queue", shop, "orders")
    found = site.cluster.wait_reason("Queue", shop, "orders", str(Reason.DELETING))
    shown = condition(found, "Ready")
    assert shown is not None
    assert shown["message"].startswith(f"Being deleted; waits for Broker {site.home}/main, at most ")
    assert kstatus([found])[0]["status"] == "Terminating"
    site.cluster.wait_gone("Queue", shop, "orders")
    event = site.cluster.wait_event(shop, "orders", AS_EVENTS[Reason.ORPHANED])
    assert event["type"] == "Warning"
    assert event["message"] == (
        f"Released although Broker {site.home}/main could not be asked; {shop}.orders may still be there."
    )
    proxy.forward()
    site.cluster.wait_ready("Broker", site.home, "main")
    assert f"{shop}.orders" in site.native_queues()


def test_a_retained_queue_is_told_when_its_manifest_goes(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(site.queue(shop, "orders"))
    site.cluster.wait_ready("Queue", shop, "orders")
    site.cluster.delete("Queue", shop, "orders")
    site.cluster.wait_gone("Queue", shop, "orders")
    event = site.cluster.wait_event(shop, "orders", AS_EVENTS[Reason.RETAINED])
    assert event["message"] == f"{shop}.orders was kept on {site.home}/main; access was withdrawn."


def test_an_object_that_is_only_watched_says_so(world: World) -> None:
    site = world.site()
    shop = site.namespace("shop")
    site.cluster.apply(site.queue(shop, "orders", managementPolicy="Observe"))
    found = site.cluster.wait_reason("Queue", shop, "orders", str(Reason.OBSERVED))
    drifted, programmed = condition(found, "Drifted"), condition(found, "Programmed")
    assert drifted is not None
    assert programmed is not None
    assert drifted["status"] == "True"
    said = "The broker differs; under Observe nothing is written; status.plan shows what would change."
    assert programmed["message"] == said
    assert found["status"]["plan"]["changes"] == [
        f"+ exchange {shop}.orders_in (fanout)",
        f"+ queue {shop}.orders (quorum)",
        f"+ binding {shop}.orders_in → {shop}.orders",
    ]
    assert site.native_queues() == {}
    site.cluster.apply(site.queue(shop, "orders", managementPolicy="Full"))
    site.cluster.wait_reason("Queue", shop, "orders", str(Reason.PROGRAMMED))
    site.cluster.apply(site.queue(shop, "orders", managementPolicy="Observe"))
    watched = site.cluster.wait_reason("Queue", shop, "orders", str(Reason.OBSERVED))
    shown = condition(watched, "Ready")
    assert shown is not None
    text = "The broker matches the manifest and is only watched."
    assert (shown["status"], shown["message"]) == ("True", text)
    assert kstatus([watched])[0]["status"] == "Current"


@pytest.fixture(scope="module")
def texts() -> str:
    """Read this module and its neighbours."""
    folder = Path(__file__).parent
    modules = [
        path
        for pattern in (
            "test_access*.py",
            "test_names*.py",
            "test_manifests*.py",
            "test_reasons*.py",
            "test_settings.py",
            "test_delivery.py",
        )
        for path in folder.glob(pattern)
    ]
    return "\n".join(path.read_text() for path in modules)


def test_every_reason_is_shown_on_real_servers(texts: str) -> None:
    def shown(reason: Reason) -> bool:
        asserted = texts.replace("from channel_operator", "")
        return f'"{reason}"' in asserted or asserted.count(f"Reason.{reason.name}") > (reason in NOT_HERE)

    missing = {str(reason) for reason in Reason if not shown(reason)}
    assert missing - set(map(str, ELSEWHERE)) == set(map(str, NOT_HERE))
    for reason, module in ELSEWHERE.items():
        assert str(reason) in (Path(__file__).parent / module).read_text()
