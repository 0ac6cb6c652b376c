"""User names that belong to somebody else: each is refused by name, and whoever has it keeps all that is his."""

from typing import Any

import pytest

from tests.harness.cluster import condition
from tests.harness.kubeapi import ApiError, Object
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.binaries import kstatus


@pytest.fixture(scope="module")
def strict(world: World) -> Site:
    """Make a Broker with the default naming rules: names within the namespace's prefix."""
    return world.site()


@pytest.fixture(scope="module")
def free(world: World) -> Site:
    """Make a Broker whose manifests may choose any name, with one foreign user that may be taken over."""
    site = world.site(
        spec={"naming": {"physicalName": "Any"}, "adoptableUsers": [f"legacy-{world.rabbitmq.amqps_port}"]}
    )
    site.rabbit("PUT", f"/api/users/legacy-{world.rabbitmq.amqps_port}", {"password": "legacy-password", "tags": ""})
    return site


def _snapshot(site: Site, *users: str) -> list[Any]:
    """Return everything the broker knows of these users, passwords' hashes included."""
    found = {one["name"]: one for one in site.rabbit("GET", "/api/users")}
    permissions = [one for one in site.rabbit("GET", "/api/permissions") if one["user"] in users]
    return [found.get(name) for name in users] + sorted(permissions, key=str)


def _refused(site: Site, namespace: str, name: str, reason: str, message: str) -> Object:
    found = site.cluster.wait_reason("BrokerUser", namespace, name, reason)
    for which, status in (("Ready", "False"), ("Stalled", "True")):
        shown = condition(found, which)
        assert shown is not None
        assert (shown["status"], shown["message"]) == (status, message)
    assert kstatus([found])[0]["status"] == "Failed"
    assert site.cluster.get("Secret", namespace, f"{name}-binding") is None
    return found


@pytest.mark.parametrize("username", ["guest", "finance.checkout", "checkout"])
def test_a_name_outside_the_namespaces_prefix_is_refused(strict: Site, username: str) -> None:
    shop = strict.namespace("shop")
    before = _snapshot(strict, username)
    strict.cluster.apply(strict.user(shop, "greedy", username=username))
    _refused(
        strict,
        shop,
        "greedy",
        "NameNotAllowed",
        f'spec.username: "{username}" must start with "{shop}." (naming.physicalName: WithinPrefix on the Broker). '
        "Choose such a name or remove the field.",
    )
    assert _snapshot(strict, username) == before


def test_a_broker_may_let_nobody_choose_names(world: World) -> None:
    site = world.site(spec={"naming": {"physicalName": "Never"}})
    shop = site.namespace("shop")
    site.cluster.apply(site.user(shop, "greedy", username=f"{shop}.other"))
    _refused(
        site,
        shop,
        "greedy",
        "NameNotAllowed",
        "spec.username: the Broker does not let manifests choose names (naming.physicalName: Never). "
        f'Remove "{shop}.other".',
    )


def test_another_namespaces_prefix_that_only_begins_alike_is_refused(strict: Site) -> None:
    shop = strict.namespace("shop")
    strict.cluster.apply(strict.user(shop, "greedy", username=f"{shop}x.checkout"))
    strict.cluster.wait_reason("BrokerUser", shop, "greedy", "NameNotAllowed")


@pytest.mark.parametrize("username", ["amq.gen", "__users", "-x", "a b", "a/b", "x_a", "x_b", "x_in", "x_dead", "x_0"])
def test_reserved_names_do_not_even_pass_the_api_server(strict: Site, username: str) -> None:
    with pytest.raises(ApiError) as refused:
        strict.cluster.apply(strict.user(strict.home, "greedy", username=username))
    assert refused.value.status == 422
    assert "spec.username" in refused.value.message


def test_the_operators_own_user_is_nobodys_even_where_any_name_goes(free: Site) -> None:
    shop, admin = free.namespace("shop"), free.rabbitmq.admin_user
    before = _snapshot(free, admin)
    free.cluster.apply(free.user(shop, "greedy", username=admin))
    _refused(
        free,
        shop,
        "greedy",
        "NameNotAllowed",
        f'spec.username: "{admin}" is the user the operator itself logs in with. Choose another username.',
    )
    free.cluster.delete("BrokerUser", shop, "greedy")
    free.cluster.wait_gone("BrokerUser", shop, "greedy")
    assert _snapshot(free, admin) == before


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (
            "",
            (
                "it was not made by this operator. Choose another username, or have the Broker's owner list this one "
                "in spec.adoptableUsers"
            ),
        ),
        ("monitoring", "it has the tags monitoring, and such a user is never taken over. Choose another username"),
    ],
)
def test_a_user_that_exists_already_is_refused_and_stays_as_it_is(free: Site, tags: str, found: str) -> None:
    shop = free.namespace("shop")
    foreign = f"foreign-{shop}"
    free.rabbit("PUT", f"/api/users/{foreign}", {"password": "their-own", "tags": tags})
    free.rabbit("PUT", f"/api/permissions/{{vhost}}/{foreign}", {"configure": "^x$", "write": "^y$", "read": "^z$"})
    before = _snapshot(free, foreign)
    free.cluster.apply(
        free.user(shop, "greedy", username=foreign), free.queue(shop, "orders", consumers=[{"name": "greedy"}])
    )
    _refused(
        free,
        shop,
        "greedy",
        "AdoptionRefused",
        f"User {foreign} exists on the broker already: {found}.",
    )
    free.cluster.wait_ready("Queue", shop, "orders")
    assert _snapshot(free, foreign) == before
    free.cluster.delete("BrokerUser", shop, "greedy")
    free.cluster.wait_gone("BrokerUser", shop, "greedy")
    assert _snapshot(free, foreign) == before


def test_an_adoptable_user_is_taken_over_and_loses_only_its_grants_when_the_manifest_goes(free: Site) -> None:
    shop, legacy = free.namespace("shop"), f"legacy-{free.rabbitmq.amqps_port}"
    free.cluster.apply(
        free.user(shop, "legacy", username=legacy), free.queue(shop, "orders", consumers=[{"name": "legacy"}])
    )
    found = free.cluster.wait_ready("BrokerUser", shop, "legacy")
    assert found["status"]["username"] == legacy
    with free.client(shop, "legacy") as client:
        wait_until(lambda: client.try_get(f"{shop}.orders") is None, "the grant works", describe=free.cluster.evidence)
    free.cluster.delete("BrokerUser", shop, "legacy")
    free.cluster.wait_gone("BrokerUser", shop, "legacy")
    user, *permissions = _snapshot(free, legacy)
    assert (user["name"], user["tags"]) == (legacy, [])
    assert permissions == []


def test_of_two_manifests_with_one_username_the_older_has_it(free: Site) -> None:
    shop = free.namespace("shop")
    name = f"shared-{shop}"
    free.cluster.apply(free.user(shop, "older", username=name))
    free.cluster.wait_ready("BrokerUser", shop, "older")
    free.cluster.wait_older("BrokerUser", shop, "older")
    other = free.namespace("other")
    password = free.binding(shop, "older")["password"]
    free.cluster.apply(free.user(other, "younger", username=name))
    _refused(
        free,
        other,
        "younger",
        "NameConflict",
        f'The user name "{name}" on Broker {free.home}/main belongs to an older object elsewhere. '
        "Choose another metadata.name or spec.username.",
    )
    free.cluster.wait_event(other, "younger", "NameConflict")
    with free.client(shop, "older") as client:
        assert client.connection.is_open
    assert free.binding(shop, "older")["password"] == password

    # The name becomes free: whoever waited for it gets it.
    free.cluster.delete("BrokerUser", shop, "older")
    free.cluster.wait_ready("BrokerUser", other, "younger")
    with free.client(other, "younger") as client:
        assert client.username == name


def test_two_virtual_hosts_of_one_rabbitmq_share_its_user_names(world: World, free: Site) -> None:
    second = world.site(spec={"naming": {"physicalName": "Any"}})
    shop, other = free.namespace("shop"), second.namespace("other")
    name = f"across-{shop}"
    free.cluster.apply(free.user(shop, "older", username=name))
    free.cluster.wait_ready("BrokerUser", shop, "older")
    free.cluster.wait_older("BrokerUser", shop, "older")
    second.cluster.apply(second.user(other, "younger", username=name))
    second.cluster.wait_reason("BrokerUser", other, "younger", "NameConflict")
    assert name not in second.permissions()
