"""A start with a thousand objects in place, seen piece by piece: nothing is written, nobody's rights are narrowed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.harness.cluster import is_ready
from tests.harness.counting_proxy import CountingProxy, Request
from tests.harness.definitions import broker_state
from tests.harness.kubeapi import Object
from tests.harness.observed import management_proxy, observed_replica
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

USERS, QUEUES = 600, 400
LATE = 0.7
"""Seconds by which a page of a list comes later than the others."""


@dataclass
class Full:
    """A Broker with a thousand objects, all Ready, and no operator running."""

    operator: Operator
    kubernetes: CountingProxy
    management: CountingProxy
    site: Site
    names: dict[str, str]
    state: Object


@pytest.fixture(scope="module")
def full(rough: World) -> Iterator[Full]:
    """Make a thousand objects: every queue is used by three users, in two namespaces."""
    with observed_replica(rough) as (operator, kubernetes), management_proxy(rough) as management:
        operator.start()
        site = rough.site(management_port=management.port, spec={"resyncInterval": "1s"})
        one, two = site.namespace(), site.namespace()
        users = [site.user(one if number % 2 else two, f"user-{number}") for number in range(USERS)]
        queues = []
        for number in range(QUEUES):
            producers = [{"name": f"user-{n}", "namespace": one if n % 2 else two} for n in (number, number + 1)]
            consumers = [{"name": f"user-{2 * (number // 2) + 201}"}]
            queues.append(site.queue(one, f"queue-{number}", producers=producers, consumers=consumers))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(rough.cluster.apply, [*users, *queues]))

        def all_ready() -> bool:
            found = [*rough.cluster.objects("BrokerUser"), *rough.cluster.objects("Queue")]
            states = {grant["state"] for one in found for grant in one["status"].get("grants", ()) if "state" in grant}
            # The Broker counts its channels a little later than they come: what it has yet to say is no idle write.
            broker = rough.cluster.get("Broker", site.home, "main")
            counted = broker is not None and broker["status"].get("channels", {}).get("ready") == QUEUES
            return counted and all(map(is_ready, found)) and states == {"Granted"}

        wait_until(all_ready, "a thousand objects are Ready", timeout=180, describe=rough.last_words)
        operator.stop()
        names = {one: "one", two: "two"}
        yield Full(operator, kubernetes, management, site, names, broker_state(site, names))


def _is_list(request: Request, plural: str) -> bool:
    path, _, query = request.path.partition("?")
    return request.method == "GET" and path.endswith(f"/{plural}") and "watch" not in query


LATECOMERS: dict[str, Callable[[Request], float]] = {
    "queues": lambda request: 3 * LATE * _is_list(request, "queues"),
    "users": lambda request: LATE * _is_list(request, "brokerusers"),
    "namespaces": lambda request: 3 * LATE * _is_list(request, "namespaces"),
    "everything": lambda request: LATE * any(_is_list(request, one) for one in ("queues", "brokerusers", "brokers")),
}


@pytest.mark.parametrize("late", LATECOMERS)
def test_a_start_with_slow_lists_writes_nothing_and_narrows_no_right(full: Full, late: str) -> None:
    full.kubernetes.delay = LATECOMERS[late]
    kubernetes, management = len(full.kubernetes.writes), len(full.management.writes)
    full.operator.start()
    try:
        seen: set[float] = set()

        def looked_twice() -> bool:
            broker = f"{full.site.home}/main"
            seen.add(full.operator.metrics().total("channel_operator_broker_observed_timestamp_seconds", broker=broker))
            return len(seen - {0.0}) > 1

        wait_until(looked_twice, "the whole broker is looked at", describe=full.operator.last_words)
        wait_until(
            lambda: full.operator.metrics().total("channel_operator_workqueue_depth") == 0,
            "nothing is left to do",
            describe=full.operator.last_words,
        )
    finally:
        full.kubernetes.delay = lambda _: 0.0
        full.operator.stop()
    assert full.management.writes[management:] == []
    assert full.kubernetes.writes[kubernetes:] == []
    assert broker_state(full.site, full.names) == full.state
