"""What a RabbitMQ session takes away on real brokers: objects, users, rights and open connections."""

import asyncio
import dataclasses
from typing import Any
from urllib.parse import quote

import pika
import pytest

from channel_operator.brokers.rabbitmq.access import CLOSING
from channel_operator.brokers.rabbitmq.amqp import DataPlane
from channel_operator.brokers.rabbitmq.http import ManagementClient
from channel_operator.brokers.rabbitmq.messages import STATISTICS_TICK, is_empty
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
    Permission,
    User,
    permission_id,
    queue_id,
)
from channel_operator.core.accepted import Role
from channel_operator.core.model import (
    Action,
    Change,
    Removal,
    Secret,
)
from channel_operator.errors import Blocked
from tests.contract.targets import Calls, RabbitMQTarget, Scene, foreign_queue
from tests.harness.waiting import wait_until
from tests.lab.rabbitmq import RabbitMQ
from tests.unit.rabbitmq.samples import grant, resolved_queue, resolved_user


@pytest.mark.parametrize("key", ["plain", "a+b", "a b", "50%", "%2F", "a/b", "~", "#", "*.x.#", "ü", ""])
async def test_a_binding_with_any_routing_key_is_found_and_removed(each: RabbitMQTarget, key: str) -> None:
    await each.plant(foreign_queue("q"))
    await each.plant(Exchange("x", "topic"))
    binding = Binding("x", "q", routing_key=key, arguments=(("note", "n"),) if key == "a+b" else ())
    await each.plant(binding)
    seen = (await each.session.observe(None)).resources
    assert binding.id in seen
    change = Change(binding.id, Action.DELETE, None, binding, frozenset(), 6)
    assert [outcome.error for outcome in await each.session.apply([change])] == [None]
    assert binding.id not in (await each.session.observe(None)).resources


async def test_a_queue_whose_message_a_consumer_holds_is_not_empty(each: RabbitMQTarget) -> None:
    scene = Scene(each, await each.session.probe())
    queue = resolved_queue(scene.name("q"), removal=Removal.DELETE_IF_EMPTY)
    await scene.settle(queue)
    await each.send(scene.name("q"), 1)
    with each.client() as client:
        channel = client.connection.channel()
        method, _, _ = channel.basic_get(scene.name("q"))
        assert method is not None
        outcomes = await scene.settle(gone=[queue.subject])
        assert any(outcome.kept for outcome in outcomes)
    assert queue_id(scene.name("q")) in await scene.picture()
    await each.send(scene.name("q"), 1)  # its entry is back


async def test_a_queue_that_stays_gets_back_the_entry_that_a_broken_off_deletion_took(each: RabbitMQTarget) -> None:
    scene = Scene(each, await each.session.probe())
    queue = resolved_queue(scene.name("q"), removal=Removal.DELETE_IF_EMPTY)
    await scene.settle(queue)
    await each.send(scene.name("q"), 1)
    entry = Binding(scene.name("q") + "_in", scene.name("q"))
    cut = Change(entry.id, Action.DELETE, None, entry, frozenset(), 6)
    assert [outcome.error for outcome in await each.session.apply([cut])] == [None]
    outcomes = await scene.settle(gone=[queue.subject])
    assert any(outcome.kept for outcome in outcomes)
    assert {queue_id(scene.name("q")), entry.id} <= (await scene.picture()).keys()


async def test_both_planes_are_asked_whether_a_queue_is_empty(each: RabbitMQTarget) -> None:
    scene = Scene(each, await each.session.probe())
    await scene.settle(resolved_queue(scene.name("q")))
    await each.send(scene.name("q"), 1)
    management = ManagementClient(each.connection, Calls())
    data_plane = DataPlane(each.connection, Calls())

    async def looks_empty(*, asks_data_plane: bool) -> bool:
        passive = data_plane.declared if asks_data_plane else None
        return await is_empty(management, scene.name("q"), passive, tick=STATISTICS_TICK)

    try:
        assert not await looks_empty(asks_data_plane=True)
        with each.client() as client:
            channel = client.connection.channel()
            method, _, _ = channel.basic_get(scene.name("q"))
            assert method is not None
            declared = await data_plane.declared(scene.name("q"))
            assert declared is not None
            assert declared.messages == 0, "the data plane knows ready messages only"
            assert not await looks_empty(asks_data_plane=False), "management knows the message that is held"
            channel.basic_ack(method.delivery_tag)
        where = each.path("queues", scene.name("q"))
        await asyncio.to_thread(
            wait_until, lambda: each.api("GET", where).get("messages") == 0, "the statistics have ticked"
        )
        assert await looks_empty(asks_data_plane=True)
        assert await data_plane.declared(scene.name("none")) is None
    finally:
        await management.close()


async def consuming(place: RabbitMQTarget, scene: Scene, user: Any) -> tuple[Any, list[str]]:
    client = await asyncio.to_thread(place.client, user)
    _, arrived = client.consume(scene.name("q"))

    def is_known() -> bool:
        found = place.api("GET", f"/api/vhosts/{quote(place.vhost, safe='')}/connections")
        return any(one.get("user") == user.subject.name for one in found)

    await asyncio.to_thread(wait_until, is_known, "the broker lists the connection")
    return client, arrived


async def test_a_withdrawn_right_ends_an_open_consumer(each: RabbitMQTarget) -> None:
    scene = Scene(each, await each.session.probe())
    user = resolved_user(scene.name("u"), "pw")
    await scene.settle(user, resolved_queue(scene.name("q"), grant(user.subject.name, Role.CONSUMER)))
    client, _ = await consuming(each, scene, user)
    await scene.settle(user, resolved_queue(scene.name("q")))
    with pytest.raises(pika.exceptions.ConnectionClosed):
        await asyncio.to_thread(wait_until, client.pump, "the connection closes")


async def test_with_keep_an_open_consumer_goes_on(newest: RabbitMQ, operator_id: str) -> None:
    place = RabbitMQTarget(newest, operator_id, spec={"rabbitmq": {"onRevoke": "Keep"}})
    try:
        scene = Scene(place, await place.session.probe())
        user = resolved_user(scene.name("u"), "pw")
        await scene.settle(user, resolved_queue(scene.name("q"), grant(user.subject.name, Role.CONSUMER)))
        client, arrived = await consuming(place, scene, user)
        await scene.settle(user, resolved_queue(scene.name("q")))
        await place.send(scene.name("q"), 1)

        def message_came() -> bool:
            client.pump()
            return bool(arrived)

        await asyncio.to_thread(wait_until, message_came, "the message still arrives")
        client.close()
    finally:
        await place.remove()


async def test_a_revocation_that_was_cut_short_is_finished_by_whoever_comes_next(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    user = resolved_user(scene.name("u"), "pw")
    await scene.settle(user)
    await place.plant(Permission(user.subject.name, CLOSING, "^$", "^$"))
    (change,) = await scene.changes(user)
    assert change.narrows
    place.calls.clear()
    await scene.settle(user)
    assert "close_connections" in place.calls.writes
    assert await scene.changes(user) == []


async def test_rights_are_not_written_for_a_user_of_somebody_else(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    stranger = User(scene.name("u"), ("monitoring",))
    await place.plant(stranger)
    await place.plant(Permission(stranger.name, "", "", ".*"))
    before = dict(await scene.picture())
    wanted = Permission(stranger.name, "^$", "^$", "^$")
    change = Change(permission_id(stranger.name), Action.UPDATE, wanted, before[wanted.id], frozenset(), 1)
    (outcome,) = await place.session.apply([change])
    assert isinstance(outcome.error, Blocked)
    (outcome,) = await place.session.apply([dataclasses.replace(change, action=Action.DELETE, desired=None)])
    assert outcome.kept
    assert await scene.picture() == before


async def test_the_operators_own_user_is_never_touched(place: RabbitMQTarget, newest: RabbitMQ) -> None:
    own = User(newest.admin_user, ())
    before = newest.api("GET", f"/api/users/{newest.admin_user}")
    for action, desired in ((Action.DELETE, None), (Action.UPDATE, own._replace(password=Secret("stolen")))):
        (outcome,) = await place.session.apply([Change(own.id, action, desired, own, frozenset(), 0)])
        assert outcome.kept or isinstance(outcome.error, Blocked)
    assert newest.api("GET", f"/api/users/{newest.admin_user}") == before


async def test_a_listed_user_is_adopted_and_keeps_its_name_when_let_go(newest: RabbitMQ, operator_id: str) -> None:
    name = f"{operator_id}.legacy"
    place = RabbitMQTarget(newest, operator_id, spec={"adoptableUsers": [name]})
    place.prefix = operator_id
    try:
        scene = Scene(place, await place.session.probe())
        await place.plant(User(name))
        user = resolved_user(name, "new")
        await scene.settle(user)
        assert await scene.changes(user) == []
        assert newest.api("GET", f"/api/users/{name}")["tags"] == []
        assert scene.driver.leftovers(await scene.picture()) == []
        await scene.settle(gone=[user.subject])
        seen = await scene.picture()
        assert User(name).id in seen, "an adopted user stays"
        assert permission_id(name) not in seen, "its rights go"
    finally:
        await place.remove()
