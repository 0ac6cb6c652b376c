"""A Broker that is only observed: the plan says everything, users' rights included, and nothing at all is written."""

from functools import partial
from typing import Any

from tests.harness.cluster import condition
from tests.harness.site import Site


def _definitions(site: Site) -> dict[str, Any]:
    """Return all that the virtual host and its users are, as the broker exports them."""
    host: dict[str, Any] = site.rabbit("GET", "/api/definitions/{vhost}")
    users = {one["name"]: (one["tags"], one["password_hash"]) for one in site.rabbit("GET", "/api/users")}
    return {"host": host, "users": users, "permissions": site.permissions()}


def test_an_observed_broker_gets_a_plan_for_everything_and_not_one_write(site: Site) -> None:
    cluster, shop = site.cluster, site.namespace("shop")
    readers = [{"name": "reader"}]
    cluster.apply(site.user(shop, "reader"), site.user(shop, "sender"), site.queue(shop, "orders", consumers=readers))
    for kind, name in (("BrokerUser", "reader"), ("BrokerUser", "sender"), ("Queue", "orders")):
        cluster.wait_ready(kind, shop, name)
    cluster.patch("Broker", site.home, "main", {"spec": {"managementPolicy": "Observe"}})
    for kind, name in (("BrokerUser", "reader"), ("BrokerUser", "sender"), ("Queue", "orders")):
        shown = cluster.wait_reason(kind, shop, name, "Observed")
        assert (condition(shown, "Programmed") or {})["status"] == "True"
        assert "plan" not in shown["status"]
    before = _definitions(site)

    cluster.apply(
        site.queue(shop, "orders", consumers=[], producers=[{"name": "sender"}]),
        site.queue(shop, "letters", retry={"maxDeliveries": 3}),
        site.user(shop, "newcomer"),
    )
    planned = {
        ("Queue", "orders"): [f"+ right of {shop}/sender as Producer", f"- right of {shop}/reader as Consumer"],
        ("Queue", "letters"): [
            f"+ exchange {shop}.letters_in (fanout)",
            f"+ queue {shop}.letters (quorum, delivery limit 2)",
            f"+ binding {shop}.letters_in → {shop}.letters",
        ],
    }
    for (kind, name), changes in planned.items():
        shown = cluster.wait_for(kind, shop, name, partial(_plans, changes), f"plans {changes}")
        assert (condition(shown, "Programmed") or {})["status"] == "False"
        assert (condition(shown, "Drifted") or {})["status"] == "True"
    for name, word in (("reader", "read"), ("sender", "write")):
        [line] = _plan(
            cluster.wait_for("BrokerUser", shop, name, lambda one: len(_plan(one)) == 1, "plans its permission")
        )
        assert line.startswith(f"~ permission of {shop}.{name}: {word}")
    cluster.wait_for(
        "BrokerUser", shop, "newcomer", lambda one: f"+ user {shop}.newcomer" in _plan(one), "plans the user"
    )
    cluster.delete("Queue", shop, "orders")
    cluster.wait_gone("Queue", shop, "orders")
    cluster.look_now(site.home, "main")
    cluster.wait_reason("BrokerUser", shop, "newcomer", "Observed")
    assert _definitions(site) == before


def _plan(found: dict[str, Any]) -> list[str]:
    return list((found["status"].get("plan") or {}).get("changes") or [])


def _plans(changes: list[str], found: dict[str, Any]) -> bool:
    return _plan(found) == changes
