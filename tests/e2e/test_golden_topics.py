"""What a user reads of a Topic and a Subscription, ready and refused: golden files, read by a person."""

import pytest

from tests.e2e.test_golden import _matches, _normalised
from tests.harness.site import Site
from tests.harness.world import World


@pytest.fixture(scope="module")
def topics(world: World) -> tuple[Site, str]:
    """Make topics of both storages with subscriptions, and what is refused of each."""
    site = world.site(vhost="showcase-topics")
    shop = site.namespace("shop")
    site.cluster.apply(site.user(shop, "app"))
    site.cluster.wait_ready("BrokerUser", shop, "app")
    users = [{"name": "app"}]
    site.cluster.apply(
        site.topic(
            shop, "log", storage="Log", partitions=3, producers=users, retention={"time": "168h", "bytes": "3Gi"}
        ),
        site.topic(shop, "events", producers=users),
        site.topic(shop, "flawed", retention={"time": "24h"}),
    )
    site.cluster.wait_ready("Topic", shop, "log")
    site.cluster.wait_ready("Topic", shop, "events")
    site.cluster.apply(
        site.subscription(shop, "mailer", (shop, "events"), consumers=users, filter={"routingKeys": ["order.#"]}),
        site.subscription(shop, "reader", (shop, "log"), consumers=users, startFrom={"position": "Earliest"}),
        site.subscription(shop, "refused", (shop, "events"), startFrom={"position": "Earliest"}),
        site.subscription(shop, "waiting", (shop, "missing")),
    )
    site.cluster.wait_ready("Subscription", shop, "mailer")
    site.cluster.wait_ready("Subscription", shop, "reader")
    site.cluster.wait_reason("Topic", shop, "flawed", "UnsupportedByBroker")
    site.cluster.wait_reason("Subscription", shop, "refused", "UnsupportedByBroker")
    site.cluster.wait_reason("Subscription", shop, "waiting", "RefNotFound")
    for name in ("log", "mailer", "reader"):
        site.cluster.wait_event(shop, name, "Created")
    return site, shop


@pytest.mark.parametrize("kind", ["topics", "subscriptions"])
def test_get_shows_where_it_is_and_whether_it_is_ready(topics: tuple[Site, str], kind: str) -> None:
    site, shop = topics
    shown = site.cluster.kubectl("get", f"{kind}.channel-operator.dev", "-n", shop, "-o", "wide")
    _matches(f"get-{kind}.txt", _normalised(site, shop, shown))


@pytest.mark.parametrize(
    ("kind", "name"), [("topics", "log"), ("subscriptions", "reader"), ("subscriptions", "waiting")]
)
def test_describe_tells_what_was_made_or_what_is_wrong(topics: tuple[Site, str], kind: str, name: str) -> None:
    site, shop = topics
    shown = site.cluster.kubectl("describe", f"{kind}.channel-operator.dev", "-n", shop, name)
    _matches(f"describe-{kind}-{name}.txt", _normalised(site, shop, shown))
