"""The brake: a mistake that would take many rights or queues away waits for a person, and clients notice nothing."""

from typing import Any

import pika.exceptions
import pytest

from channel_operator.api.meta import RELEASE_BRAKE
from tests.harness.amqp import Client
from tests.harness.cluster import condition
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.waiting import wait_until

TEN = range(10)


def _brake(found: Object) -> dict[str, Any]:
    brake: dict[str, Any] = found["status"].get("brake") or {}
    return brake


def _engaged(site: Site, *, not_with: str = "") -> dict[str, Any]:
    """Wait until the brake is engaged (with another token than that one); return what the Broker says of it."""

    def is_engaged(found: Object) -> bool:
        ready = condition(found, "Ready")
        told = ready is not None and ready["reason"] == "BrakeEngaged"
        return told and _brake(found).get("engaged") is True and _brake(found)["token"] != not_with

    return _brake(site.cluster.wait_for("Broker", site.home, "main", is_engaged, "says that the brake is engaged"))


def _consent(site: Site, labels: dict[str, str]) -> None:
    body = {"spec": {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": labels}}}}
    # A merge patch: the former label has to be named to go.
    gone: dict[str, Any] = dict.fromkeys({*site.label, "chanels"} - labels.keys())
    body["spec"]["allowedNamespaces"]["selector"]["matchLabels"] = {**gone, **labels}  # type: ignore[index]  # the Broker is there
    site.cluster.patch("Broker", site.home, "main", body)


def _confirm(site: Site, token: str) -> None:
    site.cluster.annotate("Broker", site.home, "main", {RELEASE_BRAKE: token})


def test_a_mistyped_selector_that_would_withdraw_100_rights_waits_for_the_right_token(site: Site) -> None:
    shop = site.namespace("shop")
    readers = [{"name": f"reader-{n}"} for n in TEN]
    site.cluster.apply(
        *(site.user(shop, f"reader-{n}") for n in TEN),
        *(site.queue(shop, f"orders-{n}", consumers=readers) for n in TEN),
    )
    for n in TEN:
        site.cluster.wait_ready("Queue", shop, f"orders-{n}")
        site.cluster.wait_ready("BrokerUser", shop, f"reader-{n}")
    before, binding = site.permissions(), site.binding(shop, "reader-3")

    _consent(site, {"chanels": "yes"})
    first = _engaged(site)
    assert first["revocations"] == 100
    assert site.cluster.wait_event(site.home, "main", "BrakeEngaged")
    site.cluster.wait_reason("BrokerUser", shop, "reader-3", "BrakeEngaged")
    site.cluster.wait_reason("Queue", shop, "orders-3", "BrakeEngaged")
    with Client(binding) as reader:
        assert reader.try_get(f"{shop}.orders-7") is None

    _confirm(site, "0000-000000000000")
    site.cluster.wait_for(
        "Broker",
        site.home,
        "main",
        lambda found: "another token" in str(condition(found, "Ready")),
        "says that this token does nothing",
    )
    assert site.permissions() == before

    _consent(site, site.label)
    site.cluster.wait_ready("Broker", site.home, "main")
    site.cluster.wait_event(site.home, "main", "BrakeReleased")
    site.cluster.wait_ready("BrokerUser", shop, "reader-3")
    _consent(site, {"chanels": "yes"})
    second = _engaged(site, not_with=first["token"])
    _confirm(site, first["token"])
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_reason("Queue", shop, "orders-3", "BrakeEngaged")
    assert site.permissions() == before

    _confirm(site, second["token"])
    site.cluster.wait_ready("Broker", site.home, "main")
    wait_until(lambda: site.permissions() == {}, "all rights are withdrawn", describe=site.cluster.evidence)
    assert site.native_queues().keys() == {f"{shop}.orders-{n}" for n in TEN}
    with pytest.raises(pika.exceptions.AMQPError), Client(binding):
        pass


def test_a_deleted_namespace_full_of_queues_with_messages_waits_until_it_is_confirmed(site: Site) -> None:
    shop = site.namespace("shop")
    names = [f"orders-{n}" for n in range(12)]
    site.cluster.apply(*(site.queue(shop, name, deletionPolicy="Delete") for name in names))
    for name in names:
        site.cluster.wait_ready("Queue", shop, name)
    native = site.native_queues().keys()

    site.cluster.delete("Namespace", None, shop)
    held = _engaged(site)
    assert len(native) == len(names)
    left = site.native_queues().keys()
    assert len(native - left) <= 10
    assert held["deletions"] >= 1

    def all_wait(found: Object) -> bool:
        return bool(_brake(found).get("deletions") == len(left))

    site.cluster.wait_for("Broker", site.home, "main", all_wait, "counts every queue that is left")
    waiting = [key for key in names if site.cluster.get("Queue", shop, key) is not None]
    assert len(waiting) >= len(left)
    for name in sorted(left):
        shown = site.cluster.wait_reason("Queue", shop, name.removeprefix(f"{shop}."), "BrakeEngaged")
        assert "force-release" in str(condition(shown, "Ready"))
    assert site.native_queues().keys() == left

    token = _brake(site.cluster.get("Broker", site.home, "main") or {"status": {}})["token"]
    _confirm(site, token)
    site.cluster.wait_gone("Namespace", None, shop)
    assert site.native_queues() == {}
