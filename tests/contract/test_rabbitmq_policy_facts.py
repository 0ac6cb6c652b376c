"""How RabbitMQ combines arguments with policies, proven on real brokers: `arguments` and `shadows` rely on it.

What follows from a number is seen by what becomes of messages, never by what the broker says of itself.
"""

from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.resources import Binding, Exchange, Policy, policy_id
from tests.contract.targets import RabbitMQTarget, foreign_queue
from tests.contract.test_rabbitmq_facts import reject, status
from tests.harness.waiting import wait_until

LATEST_PATTERN_LIMIT = (4, 3)


def policy(name: str, pattern: str, apply_to: str = "queues", priority: int = 100, **definition: Any) -> Policy:
    stated = tuple(sorted((key.replace("_", "-"), value) for key, value in definition.items()))
    return Policy(name, pattern, apply_to, priority, stated)


def applied(place: RabbitMQTarget, queue: str, name: str | None) -> None:
    """Wait until the broker has the queue under this policy."""

    def look() -> bool:
        listed = place.api("GET", place.path("queues") + "?disable_stats=true&enable_queue_totals=false")
        return [one.get("policy") for one in listed if one["name"] == queue] == [name]

    wait_until(look, f"{queue} is under policy {name}")


async def under(place: RabbitMQTarget, arguments: dict[str, Any], kind: str = "quorum", **definition: Any) -> None:
    """Declare queue `q` with these arguments and put it under a policy of its own."""
    await place.plant(foreign_queue("q", **{"x-queue-type": kind, **arguments}))
    await place.plant(policy("q_policy", "^q$", **definition))
    applied(place, "q", "q_policy")


def publish(place: RabbitMQTarget, count: int, body: str = "0123456789") -> int:
    """Publish to `q` by its name; return how many the broker took."""
    with place.client() as client:
        return sum(client.try_publish("", "q", body.encode()) is None for _ in range(count))


def ready(place: RabbitMQTarget, queue: str = "q") -> int:
    with place.client() as client:
        return int(client.connection.channel().queue_declare(queue, passive=True).method.message_count)


@pytest.mark.parametrize("kind", ["quorum", "classic"])
@pytest.mark.parametrize(("argument", "by_policy", "expected"), [(10, 3, 3), (3, 10, 3), (None, 3, 3)])
async def test_of_two_lengths_the_lower_holds(
    each: RabbitMQTarget, kind: str, argument: int | None, by_policy: int, expected: int
) -> None:
    await under(each, {} if argument is None else {"x-max-length": argument}, kind, max_length=by_policy)
    publish(each, 12)
    wait_until(lambda: ready(each) == expected, f"{expected} messages are left")


@pytest.mark.parametrize(("argument", "by_policy"), [(100, 30), (30, 100)])
async def test_of_two_lengths_in_bytes_the_lower_holds(each: RabbitMQTarget, argument: int, by_policy: int) -> None:
    await under(each, {"x-max-length-bytes": argument}, max_length_bytes=by_policy)
    publish(each, 12)
    wait_until(lambda: ready(each) <= 5, "at most 30 bytes and what their headers take")


async def test_a_length_that_is_lowered_drops_the_oldest_at_once(each: RabbitMQTarget) -> None:
    await each.plant(foreign_queue("q"))
    publish(each, 8)
    await each.plant(policy("q_policy", "^q$", max_length=3))
    wait_until(lambda: ready(each) == 3, "three messages are left")


@pytest.mark.parametrize(
    ("argument", "by_policy", "deliveries"), [(5, 2, 3), (2, 5, 3), (-1, 2, 3), (2, -1, 3), (None, 2, 3)]
)
async def test_of_two_delivery_limits_the_lower_holds_and_minus_one_yields(
    each: RabbitMQTarget, argument: int | None, by_policy: int, deliveries: int
) -> None:
    await under(each, {} if argument is None else {"x-delivery-limit": argument}, delivery_limit=by_policy)
    publish(each, 1)
    assert reject(each, "q", 10) == deliveries


async def test_without_an_argument_a_policy_lifts_the_brokers_own_limit_of_twenty(each: RabbitMQTarget) -> None:
    await under(each, {}, delivery_limit=-1)
    publish(each, 1)
    assert reject(each, "q", 25) == 25


@pytest.mark.parametrize("kind", ["quorum", "classic"])
@pytest.mark.parametrize(("argument", "by_policy"), [(3_600_000, 1), (1, 3_600_000), (None, 1)])
async def test_of_two_times_to_live_the_shorter_holds(
    each: RabbitMQTarget, kind: str, argument: int | None, by_policy: int
) -> None:
    await under(each, {} if argument is None else {"x-message-ttl": argument}, kind, message_ttl=by_policy)
    publish(each, 2)
    wait_until(lambda: ready(each) == 0, "both messages expire")


async def test_what_waits_already_keeps_its_time_to_live(each: RabbitMQTarget) -> None:
    await each.plant(foreign_queue("q"))
    publish(each, 1)
    await each.plant(policy("q_policy", "^q$", message_ttl=1))
    applied(each, "q", "q_policy")
    publish(each, 1)
    with each.client() as client:
        # Messages expire at the head only: the new one goes as soon as the old one is out of its way.
        assert client.get("q") == "0123456789"
    wait_until(lambda: ready(each) == 0, "the new message expires")


@pytest.mark.parametrize(
    ("kind", "argument", "by_policy", "on_full"),
    [
        ("quorum", "reject-publish", "drop-head", "drops"),
        ("quorum", "drop-head", "reject-publish", "refuses"),
        ("quorum", None, "reject-publish", "refuses"),
        ("classic", "reject-publish", "drop-head", "refuses"),
        ("classic", "drop-head", "reject-publish", "drops"),
        ("classic", None, "reject-publish", "refuses"),
    ],
)
async def test_what_a_full_queue_does_is_the_policys_say_on_quorum_and_the_arguments_on_classic(
    each: RabbitMQTarget, kind: str, argument: str | None, by_policy: str, on_full: str
) -> None:
    stated = {"x-max-length": 2} if argument is None else {"x-max-length": 2, "x-overflow": argument}
    await under(each, stated, kind, overflow=by_policy)
    assert ("refuses" if publish(each, 8) < 8 else "drops") == on_full


@pytest.mark.parametrize("kind", ["quorum", "classic"])
@pytest.mark.parametrize(("argument", "expected"), [("other", "to_other"), (None, "to_own")])
async def test_a_dead_letter_exchange_that_was_declared_stays(
    each: RabbitMQTarget, kind: str, argument: str | None, expected: str
) -> None:
    for name in ("other", "own"):
        await each.plant(Exchange(name, "fanout"))
        await each.plant(foreign_queue(f"to_{name}"))
        await each.plant(Binding(name, f"to_{name}"))
    stated = {"x-max-length": 1} if argument is None else {"x-max-length": 1, "x-dead-letter-exchange": argument}
    await under(each, stated, kind, dead_letter_exchange="own")
    publish(each, 3)
    wait_until(lambda: ready(each, expected) == 2, "two messages were dead-lettered")


async def test_of_two_delays_of_a_retry_the_shorter_holds_and_the_policy_says_whether_there_is_one(
    place: RabbitMQTarget,
) -> None:
    long, short = 3_600_000, 1
    stated = {"x-delayed-retry-type": "disabled", "x-delayed-retry-min": long, "x-delayed-retry-max": long}
    await under(place, stated, delayed_retry_type="all", delayed_retry_min=long, delayed_retry_max=long)
    publish(place, 1)
    assert reject(place, "q", 1) == 1
    assert ready(place) == 0, "it is delayed, as the policy says"
    await place.plant(foreign_queue("r", **{**stated, "x-delayed-retry-type": "all"}))
    await place.plant(policy("r", "^r$", delayed_retry_type="all", delayed_retry_min=short, delayed_retry_max=short))
    applied(place, "r", "r")
    with place.client() as client:
        client.connection.channel().basic_publish("", "r", b"m")
    for _ in range(3):
        wait_until(lambda: reject(place, "r", 1), "it comes back after a millisecond")


async def test_the_policy_of_the_highest_priority_holds_alone(each: RabbitMQTarget) -> None:
    await under(each, {}, max_length=2)
    await each.plant(policy("theirs", "q", priority=200, message_ttl=3_600_000))
    applied(each, "q", "theirs")
    publish(each, 5)
    assert ready(each) == 5, "nothing of the other policy is left"


async def test_a_policy_with_a_key_of_another_type_does_not_apply_at_all(each: RabbitMQTarget) -> None:
    await each.plant(policy("theirs", "^q$", "all", 200, max_age="1h"))
    await under(each, {}, max_length=2)
    publish(each, 5)
    wait_until(lambda: ready(each) == 2, "ours holds")


async def test_an_operator_policy_holds_beside_ours(each: RabbitMQTarget) -> None:
    await under(each, {}, message_ttl=3_600_000)
    body = {"pattern": "^q$", "apply-to": "queues", "priority": 0, "definition": {"max-length": 2}}
    each.api("PUT", each.path("operator-policies", "theirs"), body)
    publish(each, 2)
    wait_until(lambda: (publish(each, 1), ready(each) <= 2)[1], "the operator policy holds")


@pytest.mark.parametrize("name", ["x" * 255, "a b", "ü%2F/ +#", "billing.q_policy"])
async def test_a_policy_of_any_name_is_written_read_and_deleted(each: RabbitMQTarget, name: str) -> None:
    wanted = policy(name, "^q$", "quorum_queues", max_length=5)
    await each.plant(wanted)
    assert (await each.session.observe(None)).resources[policy_id(name)] == wanted
    assert (await each.session.observe([policy_id(name)])).resources == {policy_id(name): wanted}
    await each.uproot(policy_id(name))
    assert policy_id(name) not in (await each.session.observe(None)).resources


async def test_a_pattern_may_have_1024_bytes_from_4_3_on_and_every_queue_name_of_ours_fits(
    each: RabbitMQTarget,
) -> None:
    def put(pattern: str) -> int:
        body = {"pattern": pattern, "apply-to": "queues", "priority": 0, "definition": {"max-length": 2}}
        return status(lambda: each.api("PUT", each.path("policies", "p"), body))

    assert put("^" + "a" * 1022 + "$") == 0
    version = tuple(int(part) for part in each.rabbitmq.version.split("."))
    assert put("^" + "a" * 1023 + "$") == (400 if version >= LATEST_PATTERN_LIMIT else 0)


@pytest.mark.parametrize("definition", [{}, {"single_active_consumer": True}, {"max_priority": 5}])
async def test_what_no_policy_can_state_is_refused(each: RabbitMQTarget, definition: dict[str, Any]) -> None:
    stated = dict(policy("p", "^q$", **definition).definition)
    body = {"pattern": "^q$", "apply-to": "queues", "priority": 0, "definition": stated}
    assert status(lambda: each.api("PUT", each.path("policies", "p"), body)) == 400


async def test_policies_are_seen_where_the_virtual_hosts_name_is_not_ascii(newest: Any, operator_id: str) -> None:
    place = RabbitMQTarget(newest, operator_id, vhost="contract-ü")
    try:
        wanted = policy("p", "^q$", max_length=5)
        await place.plant(wanted)
        assert (await place.session.observe(None)).resources[wanted.id] == wanted
    finally:
        await place.remove()
