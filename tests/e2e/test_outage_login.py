"""The operator cannot log in or does not trust what answers: each mistake has its own words, and each is recovered."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.teams import make_team, queue
from tests.harness.cluster import condition, is_ready
from tests.harness.counting_proxy import CountingProxy
from tests.harness.kubeapi import Object
from tests.harness.process import Operator
from tests.harness.site import Site, platform_objects
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.tls import Certificate, CertificateAuthority


@pytest.fixture(scope="module")
def operator(rough: World) -> Operator:
    """Run one operator for all tests of this module."""
    return rough.replica().start()


@pytest.fixture
def site(rough: World, operator: Operator) -> Iterator[Site]:
    """Lend a Broker that is looked at every second."""
    yield rough.site(spec={"resyncInterval": "1s"})
    assert operator.running


def _message(found: Object, kind: str = "Ready") -> str:
    told = condition(found, kind)
    assert told is not None
    return str(told["message"])


def test_a_changed_password_is_told_and_the_new_secret_picked_up_by_itself(rough: World, site: Site) -> None:
    team = make_team(site, {"orders": {}})
    rough.rabbitmq.set_admin_password("another-password-4711")
    found = site.cluster.wait_reason("Broker", site.home, "main", "CredentialsInvalid")
    assert "refused the login of user" in _message(found)
    assert "another-password-4711" not in str(found)
    assert condition(found, "Stalled") is not None
    queue_then = site.cluster.get("Queue", team, "orders")
    assert queue_then is not None
    assert is_ready(queue_then), "what was Ready stays Ready"
    site.cluster.apply(queue(site, team, "new"))
    site.cluster.wait_reason("Queue", team, "new", "RefNotReady")

    site.cluster.apply(platform_objects(rough.rabbitmq, site.home)[0])
    site.cluster.wait_ready("Broker", site.home, "main")
    site.cluster.wait_ready("Queue", team, "new")


def test_another_administrator_in_the_secret_takes_over_without_an_outage(rough: World, site: Site) -> None:
    team = make_team(site, {"orders": {}})
    site.rabbit("PUT", "/api/users/second-admin", {"password": "second-password", "tags": "administrator"})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    site.rabbit("PUT", "/api/permissions/{vhost}/second-admin", everything)
    secret = platform_objects(rough.rabbitmq, site.home)[0]
    secret["stringData"] = {"username": "second-admin", "password": "second-password"}
    site.cluster.apply(secret)
    wait_until(lambda: _logged(rough, "connecting anew", f"{site.home}/main"), "the operator takes the new credentials")
    # From now on the second administrator is the one that nobody may ask for as a user.
    site.cluster.apply(site.user(team, "thief", username="second-admin"))
    site.cluster.wait_reason("BrokerUser", team, "thief", "NameNotAllowed")
    site.cluster.apply(queue(site, team, "new"))
    site.cluster.wait_ready("Queue", team, "new")
    found = site.cluster.get("Broker", site.home, "main")
    assert found is not None
    assert is_ready(found)


def _logged(world: World, text: str, broker: str) -> bool:
    return any(text in str(line.get("msg")) and line.get("broker") == broker for line in world.operator.log_lines())


UNKNOWN = CertificateAuthority.create("unknown-ca")
Maker = Callable[[CertificateAuthority], Certificate | None]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(
            lambda _: UNKNOWN.issue("rabbitmq"), "not signed by an authority the operator trusts", id="unknown"
        ),
        pytest.param(
            lambda ca: ca.issue("rabbitmq", valid=-dt.timedelta(days=1)), "its certificate has expired", id="expired"
        ),
        pytest.param(
            lambda ca: ca.issue("rabbitmq", ["rabbitmq.example.org"]), "is for another host name", id="wrong-name"
        ),
        pytest.param(lambda _: None, "it does not speak TLS", id="no-tls"),
    ],
)
def test_a_broker_that_cannot_be_trusted_gets_no_password_and_says_why(
    rough: World, operator: Operator, make: Maker, says: str
) -> None:
    assert operator.running
    rabbitmq = rough.rabbitmq
    with CountingProxy(rabbitmq.management_url, trust=rabbitmq.ca_pem, certificate=make(rough.lab.ca)) as proxy:
        site = Site(rough.cluster, rabbitmq, management_port=proxy.port).start(wait=False)
        found = site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
        assert says in _message(found)
        assert proxy.requests == []
    # The same Broker comes to life as soon as its address leads to the right place.
    _correct(site, rough)


def _correct(site: Site, world: World, **changes: Any) -> None:
    broker = Site(world.cluster, world.rabbitmq, vhost=site.vhost)
    broker.home, broker.label = site.home, site.label
    site.cluster.apply(broker.broker(**changes))
    site.cluster.wait_ready("Broker", site.home, "main")


def test_http_towards_a_port_that_speaks_tls_is_told(rough: World, operator: Operator) -> None:
    assert operator.running
    site = Site(rough.cluster, rough.rabbitmq)
    site.make_vhost()
    site.home = rough.cluster.namespace("messaging", site.label)
    broker = site.broker(tls={"mode": "Disabled"})
    broker["spec"]["rabbitmq"]["managementUrls"] = [f"http://localhost:{rough.rabbitmq.management_port}"]
    site.cluster.apply(*platform_objects(rough.rabbitmq, site.home), broker)
    found = site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    assert "use https in spec.rabbitmq.managementUrls" in _message(found)
    _correct(site, rough)


def test_a_corrected_authority_is_picked_up_by_itself(rough: World, operator: Operator) -> None:
    assert operator.running
    site = Site(rough.cluster, rough.rabbitmq)
    site.make_vhost()
    site.home = rough.cluster.namespace("messaging", site.label)
    secret, authority = platform_objects(rough.rabbitmq, site.home)
    site.cluster.apply(secret, {**authority, "data": {"ca.crt": UNKNOWN.pem}}, site.broker())
    found = site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    assert "not signed by an authority" in _message(found)
    site.cluster.apply(authority)
    site.cluster.wait_ready("Broker", site.home, "main")


def test_a_missing_virtual_host_is_named_and_its_coming_noticed(rough: World, operator: Operator) -> None:
    assert operator.running
    site = Site(rough.cluster, rough.rabbitmq, vhost="not there yet")
    site.home = rough.cluster.namespace("messaging", site.label)
    site.cluster.apply(*platform_objects(rough.rabbitmq, site.home), site.broker())
    found = site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    assert 'there is no virtual host "not there yet" (spec.rabbitmq.vhost)' in _message(found)
    site.make_vhost()
    site.cluster.wait_ready("Broker", site.home, "main")
    make_team(site, {"orders": {}})


def test_a_second_address_serves_when_the_first_is_gone(rough: World, operator: Operator) -> None:
    assert operator.running
    proxy = rough.proxy(rough.rabbitmq.management_port)
    site = rough.site(spec={"resyncInterval": "1s"})
    broker = site.broker()
    urls = [f"https://localhost:{proxy.port}", f"https://localhost:{rough.rabbitmq.management_port}"]
    broker["spec"]["rabbitmq"]["managementUrls"] = urls
    site.cluster.apply(broker)
    site.cluster.wait_ready("Broker", site.home, "main")
    wait_until(lambda: proxy.accepted, "the first address is used")
    team = make_team(site, {"orders": {}})
    proxy.refuse()
    proxy.cut()
    site.cluster.apply(queue(site, team, "new"))
    site.cluster.wait_ready("Queue", team, "new")
    found = site.cluster.get("Broker", site.home, "main")
    assert found is not None
    assert is_ready(found)
