"""What counts as a difference, what RabbitMQ cannot change, and what takes a right away."""

import base64
import hashlib
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.access import CLOSING, render
from channel_operator.brokers.rabbitmq.compare import same_password
from channel_operator.brokers.rabbitmq.declarations import hashed
from channel_operator.brokers.rabbitmq.resources import Exchange, Permission, Queue, User, queue_id, user_id
from channel_operator.core.model import Part, Secret
from tests.unit.rabbitmq.samples import NEWEST, driver, resolved_queue, resolved_user, resources


def wanted(defaults: dict[str, Any] | None = None, **fields: Any) -> Queue:
    compiled = driver().compile(resolved_queue("billing.q", defaults=defaults, **fields), NEWEST)
    queue = resources(compiled)[queue_id("billing.q")]
    assert isinstance(queue, Queue)
    return queue


def foreign(**arguments: Any) -> Queue:
    """Return a quorum queue that somebody else declared."""
    stated = {"x-queue-type": "quorum", **{name.replace("_", "-"): value for name, value in arguments.items()}}
    return Queue("billing.q", "quorum", arguments=tuple(sorted(stated.items())))


def fields(desired: Any, observed: Any) -> tuple[str, ...]:
    difference = driver().diff(desired, observed)
    return () if difference is None else difference.fields


def test_a_queue_is_equal_to_itself() -> None:
    assert driver().diff(wanted(retry={"maxDeliveries": 3}), wanted(retry={"maxDeliveries": 3})) is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"retry": {"maxDeliveries": 3}}, {"retry": {"maxDeliveries": 5}}, "spec.retry.maxDeliveries 3 → 5"),
        ({"retry": {"maxDeliveries": 5}}, {}, "spec.retry.maxDeliveries 5 → none"),
        ({"messageTTL": "1s"}, {"messageTTL": "2s"}, "spec.messageTTL 1s → 2s"),
        ({"messageTTL": "90m"}, {}, "spec.messageTTL 1h30m → none"),
        ({"limits": {"maxMessages": 100}}, {"limits": {"maxMessages": 200}}, "spec.limits.maxMessages 100 → 200"),
        ({"limits": {"maxBytes": "1Ki"}}, {"limits": {"maxBytes": "2Ki"}}, "spec.limits.maxBytes 1024 → 2048"),
        ({"replicas": 3}, {"replicas": 5}, "spec.replicas 3 → 5"),
        ({}, {"replicas": 5}, "spec.replicas none → 5"),
    ],
)
def test_an_edit_that_the_broker_cannot_make_is_blocked(before: Any, after: Any, expected: str) -> None:
    difference = driver().diff(wanted(**after), wanted(**before))
    assert difference is not None
    assert difference.blocked
    assert difference.recreatable
    assert difference.fields == (expected,)


def test_a_changed_default_makes_no_existing_queue_wrong() -> None:
    before = wanted({"retry": {"maxDeliveries": 5}, "replicas": 3})
    after = wanted({"retry": {"maxDeliveries": 9}, "replicas": 5})
    assert driver().diff(after, before) is None
    assert driver().diff(after, wanted()) is None, "a default that came later"


def test_a_queue_of_another_making_fits_where_the_manifest_states_nothing() -> None:
    assert driver().diff(wanted(), foreign()) is None
    assert driver().diff(wanted(), foreign(x_message_ttl=5, x_delivery_limit=3, x_expires=100)) is None
    assert driver().diff(wanted(messageTTL="5ms"), foreign(x_message_ttl=5)) is None


def test_a_queue_of_another_making_does_not_fit_where_the_manifest_states_otherwise() -> None:
    assert fields(wanted(messageTTL="9ms"), foreign(x_message_ttl=5)) == ("spec.messageTTL 5ms → 9ms",)
    theirs = foreign(x_dead_letter_exchange="theirs")
    assert fields(wanted(deadLetter={}), theirs) == ("spec.deadLetter theirs → billing.q_dlx",)
    assert fields(wanted(), Queue("billing.q", "classic")) == ("type classic → quorum",)
    assert fields(wanted(), Queue("billing.q", "stream")) == ("type stream → quorum",)


def test_an_exchange_of_another_type_cannot_be_changed() -> None:
    difference = driver().diff(Exchange("x_in", "fanout"), Exchange("x_in", "topic", durable=False))
    assert difference is not None
    assert difference.blocked
    assert difference.fields == ("type topic → fanout", "durable False → True")


def test_passwords_are_compared_by_the_salted_hash_and_not_sent_again() -> None:
    mine = Secret("pässword")
    assert same_password(mine, Secret(hashed(mine)), "rabbit_password_hashing_sha256")
    assert not same_password(Secret("other"), Secret(hashed(mine)), "rabbit_password_hashing_sha256")
    salt = b"salt"
    sha512 = base64.b64encode(salt + hashlib.sha512(salt + b"x").digest()).decode()
    assert same_password(Secret("x"), Secret(sha512), "rabbit_password_hashing_sha512")
    for damaged in ("", "not base64!", base64.b64encode(b"abcd").decode()):
        assert not same_password(mine, Secret(damaged), "rabbit_password_hashing_sha256")
    assert not same_password(mine, Secret(hashed(mine)), "an_algorithm_of_the_future")


def test_two_hashes_of_one_password_differ() -> None:
    assert hashed(Secret("x")) != hashed(Secret("x"))


def user_difference(observed: User, *, adoptable: bool = False) -> Any:
    pure = driver(adoptableUsers=["shop.checkout"] if adoptable else [])
    compiled = pure.compile(resolved_user("shop.checkout", "pw"), NEWEST)
    rid = user_id("shop.checkout")
    parts: list[Part] = [part for part in compiled.parts if part.id == rid]
    desired = pure.assemble(rid, parts, {rid: observed}, ()).resource
    assert desired is not None
    return pure.diff(desired, observed)


def test_our_user_with_another_password_gets_ours() -> None:
    observed = User("shop.checkout", ("channel-operator-op",), None, Secret(hashed(Secret("old"))), "")
    assert user_difference(observed).fields == ("password",)


@pytest.mark.parametrize(
    "tags", [(), ("administrator",), ("channel-operator-other",), ("channel-operator-op", "channel-operator-other")]
)
def test_a_user_of_another_making_is_refused(tags: tuple[str, ...]) -> None:
    difference = user_difference(User("shop.checkout", tags, None, Secret(hashed(Secret("pw"))), ""))
    assert difference.blocked
    assert difference.reason is Reason.ADOPTION_REFUSED


def test_a_tag_put_on_our_user_by_hand_goes_again_and_counts_as_a_right_taken_away() -> None:
    observed = User("shop.checkout", ("administrator", "channel-operator-op"), None, Secret(hashed(Secret("pw"))), "")
    difference = user_difference(observed)
    assert difference == (("tags without administrator",), False, None, True, False)


def test_a_listed_user_is_adopted_without_our_mark() -> None:
    assert user_difference(User("shop.checkout", (), None, Secret(hashed(Secret("pw"))), ""), adoptable=True) is None


def test_a_listed_user_with_tags_is_refused_all_the_same() -> None:
    difference = user_difference(User("shop.checkout", ("administrator",), None, Secret(""), ""), adoptable=True)
    assert difference.blocked


def permission(*write: str, configure: str = "^$") -> Permission:
    return Permission("u", configure, render(write), "^$")


@pytest.mark.parametrize(
    ("desired", "observed", "expected", "narrows"),
    [
        (permission("a.x"), permission(), ("write +a.x",), False),
        (permission(), permission("a.x"), ("write -a.x",), True),
        (permission("a.y"), permission("a.x"), ("write +a.y -a.x",), True),
        (
            permission(),
            Permission("u", "^$", ".*", "^$"),
            ("write replaces a pattern that is not the operator's",),
            True,
        ),
        (
            permission(),
            Permission("u", ".*", "^$", ""),
            ("configure replaces a pattern that is not the operator's",),
            True,
        ),
        (permission(), permission(configure=CLOSING), ("open connections are still to be closed",), True),
    ],
)
def test_a_permission_says_what_is_given_and_what_is_taken(
    desired: Permission, observed: Permission, expected: tuple[str, ...], *, narrows: bool
) -> None:
    difference = driver().diff(desired, observed)
    assert difference is not None
    assert (difference.fields, difference.narrows, difference.blocked) == (expected, narrows, False)


def test_an_empty_pattern_means_the_same_as_one_that_matches_nothing() -> None:
    assert driver().diff(permission(), Permission("u", "^$", "", "^$")) is None
