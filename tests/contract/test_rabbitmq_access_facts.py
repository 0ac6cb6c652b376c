"""Facts about rights on RabbitMQ that the driver relies on, proven on real brokers: where one changes, it must too."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pika
import pytest

from channel_operator.core.accepted import Login, Role
from tests.contract.targets import RabbitMQTarget, Scene
from tests.harness.waiting import wait_until
from tests.lab.management import ManagementError
from tests.unit.rabbitmq.samples import grant, resolved_queue, resolved_user


def status(action: Callable[[], object]) -> int:
    """Return the status of a refused call, 0 when it was not refused."""
    try:
        action()
    except ManagementError as error:
        return error.status
    return 0


async def settled(place: RabbitMQTarget, *objects: Any) -> Scene:
    scene = Scene(place, await place.session.probe())
    await scene.settle(*objects)
    return scene


async def test_failed_logins_and_missing_rights_are_told_apart_by_one_letter(each: RabbitMQTarget) -> None:
    name = f"{each.prefix}.plain"
    each.api("PUT", f"/api/users/{name}", {"password": "x", "tags": "management"})
    mine = (each.rabbitmq.admin_user, each.rabbitmq.admin_password)
    answers = []
    for user, password in ((mine[0], "wrong"), (name, "x")):
        each.rabbitmq.admin_user, each.rabbitmq.admin_password = user, password
        try:
            with pytest.raises(ManagementError) as refused:
                each.api("GET", "/api/users")
            answers.append((refused.value.status, "not_authorised" in str(refused.value)))
        finally:
            each.rabbitmq.admin_user, each.rabbitmq.admin_password = mine
    assert answers == [(401, False), (401, True)]


async def test_permission_patterns_take_1024_bytes(each: RabbitMQTarget) -> None:
    name = f"{each.prefix}.u"
    each.api("PUT", f"/api/users/{name}", {"password": "x", "tags": ""})

    def grant_pattern(size: int) -> int:
        body = {"configure": "^$", "write": "^$", "read": "a" * size}
        return status(lambda: each.api("PUT", each.path("permissions", name), body))

    assert grant_pattern(1024) == 0
    # Older brokers take more; 4.3 draws the line, and the operator keeps to it everywhere.
    newest = (await each.session.probe()).version_numbers >= (4, 3)
    assert grant_pattern(1025) == (400 if newest else 0)


async def test_an_empty_pattern_and_one_that_matches_nothing_both_refuse_everything(each: RabbitMQTarget) -> None:
    await settled(each, resolved_user(f"{each.prefix}.u", "pw"), resolved_queue("a.q"))
    for pattern in ("", "^$"):
        body = {"configure": pattern, "write": pattern, "read": pattern}
        each.api("PUT", each.path("permissions", f"{each.prefix}.u"), body)
        with each.client(resolved_user(f"{each.prefix}.u", "pw")) as client:
            assert client.try_publish("a.q_in") == "ACCESS_REFUSED"
            assert client.try_publish("", "a.q") == "ACCESS_REFUSED"
            assert client.try_get("a.q") == "ACCESS_REFUSED"


async def test_a_producer_and_a_consumer_can_do_their_own_and_nothing_else(each: RabbitMQTarget) -> None:
    both = resolved_user(f"{each.prefix}.both", "pw")
    name = both.subject.name
    await settled(
        each,
        both,
        resolved_queue("a.q", grant(name, Role.PRODUCER), grant(name, Role.CONSUMER), deadLetter={}),
        resolved_queue("a.q2"),
    )
    with each.client(both) as client:
        assert client.try_publish("a.q_in") is None
        assert client.receive("a.q") == ["x"]
        for refused in (
            lambda channel: channel.queue_bind("a.q", "a.q_in", "again"),
            lambda channel: channel.queue_unbind("a.q", "a.q_in"),
            lambda channel: channel.exchange_bind("a.q_in", "amq.topic"),
            lambda channel: channel.queue_declare("mine"),
            lambda channel: channel.queue_declare(""),
            lambda channel: channel.exchange_declare("mine"),
            lambda channel: channel.queue_delete("a.q"),
            lambda channel: channel.queue_purge("a.q2"),
            lambda channel: channel.basic_get("a.q2"),
            lambda channel: channel.basic_get("a.q_dead"),
        ):
            assert client.attempt(refused) == "ACCESS_REFUSED"
        for exchange, key in (("", "a.q"), ("", "a.q2"), ("a.q2_in", ""), ("amq.topic", "x"), ("a.q_dlx", "")):
            assert client.try_publish(exchange, key) == "ACCESS_REFUSED", (exchange, key)


async def test_an_open_consumer_survives_a_revocation_until_its_connection_is_closed(each: RabbitMQTarget) -> None:
    user = resolved_user(f"{each.prefix}.u", "pw")
    await settled(each, user, resolved_queue("a.q", grant(user.subject.name, Role.CONSUMER)))
    with each.client(user) as client:
        _, arrived = client.consume("a.q")
        body = {"configure": "^$", "write": "^$", "read": "^$"}
        each.api("PUT", each.path("permissions", user.subject.name), body)
        await each.send("a.q", 1)

        def message_came() -> bool:
            client.pump()
            return bool(arrived)

        wait_until(message_came, "the message still arrives")
        wait_until(
            lambda: [c for c in each.api("GET", "/api/connections") if c.get("user") == user.subject.name],
            "the management API knows the connection",
        )
        each.api("DELETE", f"/api/connections/username/{user.subject.name}")
        with pytest.raises(pika.exceptions.ConnectionClosed):
            wait_until(client.pump, "the connection closes")


async def test_our_tag_grants_nothing(each: RabbitMQTarget) -> None:
    user = resolved_user(f"{each.prefix}.u", "pw")
    await settled(each, user)
    mine = (each.rabbitmq.admin_user, each.rabbitmq.admin_password)
    each.rabbitmq.admin_user, each.rabbitmq.admin_password = user.subject.name, "pw"
    try:
        assert status(lambda: each.api("GET", "/api/overview")) == 401
    finally:
        each.rabbitmq.admin_user, each.rabbitmq.admin_password = mine


async def test_tags_put_on_our_user_by_hand_go_and_its_password_stays(each: RabbitMQTarget) -> None:
    """The password is not known at that moment, and a user written without one would have none."""
    user = resolved_user(f"{each.prefix}.u", "pw")
    scene = await settled(each, user)
    about = f"/api/users/{user.subject.name}"
    found = each.api("GET", about)
    hashes = {name: found[name] for name in ("password_hash", "hashing_algorithm")}
    each.api("PUT", about, {**hashes, "tags": ",".join([*found["tags"], "administrator"])})
    await scene.settle(replace(user, logins=(Login(user.subject.name),)))
    assert each.api("GET", about)["tags"] == found["tags"]
    with each.client(user) as client:
        assert client.connection.is_open
