"""The RabbitMQ session on real brokers: what it refuses, what it survives, what it says."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pika
import pytest

from channel_operator.api.reasons import Reason
from channel_operator.brokers.base import Connection, Session
from channel_operator.brokers.rabbitmq.access import CLOSING
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
    Permission,
    Queue,
    User,
    exchange_id,
    permission_id,
    queue_id,
)
from channel_operator.brokers.registry import open_session
from channel_operator.core.model import Action, Change, Removal, Resource, Role, Secret
from channel_operator.errors import Blocked, CredentialsRefused, OperatorError, Retry, Unreachable
from tests.contract.targets import Calls, RabbitMQTarget, Scene, connection_to, foreign_queue
from tests.harness.waiting import wait_until
from tests.lab.ports import free_port
from tests.lab.proxy import FaultProxy
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.tls import CertificateAuthority
from tests.unit.rabbitmq.samples import grant, resolved_queue, resolved_user


async def said(connection: Connection) -> str:
    """Probe both planes over this connection; return the meaning and the message of the first failure."""
    session = open_session(connection, Calls())
    try:
        await session.probe()
    except OperatorError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await session.close()
    return "well"


async def said_by_clients_side(connection: Connection) -> str | None:
    session = open_session(connection, Calls())
    try:
        return await session.probe_data_plane()
    finally:
        await session.close()


def other_management(rabbitmq: RabbitMQ, *urls: str, **changes: Any) -> Connection:
    return connection_to(rabbitmq, "op", spec={"rabbitmq": {"managementUrls": list(urls)}}, **changes)


@pytest.fixture
async def proxy(newest: RabbitMQ) -> AsyncIterator[FaultProxy]:
    with FaultProxy(newest.host, newest.management_port) as running:
        yield running


@pytest.fixture
async def through(newest: RabbitMQ, proxy: FaultProxy, operator_id: str) -> AsyncIterator[RabbitMQTarget]:
    """Give a place whose session goes through the fault proxy."""
    urls = {"rabbitmq": {"managementUrls": [f"https://{proxy.url_host}"]}}
    target = RabbitMQTarget(newest, operator_id, spec=urls)
    yield target
    proxy.forward()
    await target.remove()


# -- who is on the other side ------------------------------------------------------------------------------------------


async def test_a_broker_with_a_certificate_of_an_unknown_authority_is_not_talked_to(newest: RabbitMQ) -> None:
    stranger = connection_to(newest, "op", ca=CertificateAuthority.create("stranger").pem)
    assert await said(stranger) == (
        f"Unreachable: RabbitMQ at {newest.management_url} (Broker messaging/main): its certificate is not signed by "
        "an authority the operator trusts; put the authority's certificate where spec.tls.caRef points"
    )
    assert "not signed by an authority the operator trusts" in (await said_by_clients_side(stranger) or "")
    assert "not signed by an authority the operator trusts" in await said(connection_to(newest, "op", ca=None))


async def test_a_certificate_for_another_name_is_refused_and_may_be_expected(newest: RabbitMQ) -> None:
    expecting = connection_to(newest, "op", spec={"tls": {"serverName": "rabbitmq.example"}})
    assert "its certificate is for another host name" in await said(expecting)
    assert "its certificate is for another host name" in (await said_by_clients_side(expecting) or "")
    assert await said(connection_to(newest, "op", spec={"tls": {"serverName": "localhost"}})) == "well"


async def test_http_where_https_is_expected_and_the_reverse_are_told_apart(newest: RabbitMQ) -> None:
    urls = {"managementUrls": [newest.management_url.replace("https:", "http:")]}
    plain = connection_to(newest, "op", spec={"rabbitmq": urls, "tls": {"mode": "Disabled"}})
    assert "the port speaks TLS; use https in spec.rabbitmq.managementUrls" in await said(plain)
    server = await asyncio.start_server(_plain_http, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        assert "it does not speak TLS" in await said(other_management(newest, f"https://127.0.0.1:{port}"))
    finally:
        server.close()
    amqp = other_management(newest, f"https://127.0.0.1:{newest.amqps_port}")
    assert "the answer is not HTTP; use the port of the management API" in await said(amqp)


async def _plain_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_a_redirect_is_not_followed(newest: RabbitMQ) -> None:
    server = await asyncio.start_server(_plain_http, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fields = {"rabbitmq": {"managementUrls": [f"http://127.0.0.1:{port}"]}, "tls": {"mode": "Disabled"}}
    try:
        assert "answers with a redirect, which is not followed" in await said(connection_to(newest, "op", spec=fields))
    finally:
        server.close()


async def test_a_port_where_nothing_listens_and_a_name_that_is_not_known_are_told_apart(newest: RabbitMQ) -> None:
    nobody = f"https://127.0.0.1:{free_port()}"
    assert "nothing listens there" in await said(other_management(newest, nobody))
    unknown = other_management(newest, "https://rabbitmq.invalid:15671")
    assert "the host name is not known to DNS" in await said(unknown)


async def test_addresses_of_the_machine_itself_are_refused_unless_listed(newest: RabbitMQ) -> None:
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254"):
        connection = other_management(newest, f"https://{host}:{newest.management_port}", allowed_hosts=frozenset())
        assert "the operator may not connect to this address" in await said(connection), host
        assert "the operator may not connect to this address" in (await said_by_clients_side(connection) or "")


async def test_of_several_addresses_the_first_that_answers_is_used(newest: RabbitMQ) -> None:
    connection = other_management(newest, f"https://127.0.0.1:{free_port()}", newest.management_url)
    assert await said(connection) == "well"


# -- who we are --------------------------------------------------------------------------------------------------------


async def test_a_refused_login_names_the_user_and_the_field_and_shows_no_password(newest: RabbitMQ) -> None:
    canary = "canary-password"
    connection = dataclasses.replace(connection_to(newest, "op"), password=Secret(canary))
    message = await said(connection)
    assert message.startswith("CredentialsRefused: ")
    assert 'refused the login of user "admin"; correct the Secret that spec.credentials.passwordSecretRef' in message
    data_plane = await said_by_clients_side(connection)
    assert data_plane is not None
    assert 'refused the login of user "admin"' in data_plane
    assert canary not in message + data_plane + repr(connection)


async def test_a_user_without_rights_is_told_apart_from_a_wrong_password(place: RabbitMQTarget) -> None:
    name = f"{place.prefix}.operator"
    place.api("PUT", f"/api/users/{name}", {"password": "x", "tags": "management"})
    connection = dataclasses.replace(place.connection, username=name, password=Secret("x"))
    session = open_session(connection, Calls())
    try:
        with pytest.raises(Blocked, match="lacks rights; give it the tag administrator") as refused:
            await session.observe(None)
        assert refused.value.reason == Reason.BROKER_REFUSED
        assert not isinstance(refused.value, CredentialsRefused)
    finally:
        await session.close()


async def test_a_virtual_host_that_does_not_exist_is_waited_for(newest: RabbitMQ) -> None:
    message = await said(connection_to(newest, "op", vhost="nowhere"))
    assert message.startswith("Retry: ")
    assert 'there is no virtual host "nowhere" (spec.rabbitmq.vhost); create it at the broker' in message


@pytest.mark.parametrize("vhost", ["/", "%2F", "a b+c", "ünïcödé-€", "a/../b", "..."])
async def test_the_name_of_a_virtual_host_is_just_a_name(rabbitmq: RabbitMQ, operator_id: str, vhost: str) -> None:
    place = RabbitMQTarget(rabbitmq, operator_id, vhost=vhost)
    try:
        scene = Scene(place, await place.session.probe())
        queues = [resolved_queue(scene.name(f"q{i}"), deadLetter={}) for i in range(20)]
        await scene.settle(*queues)
        assert await scene.changes(*queues) == []
        assert await place.session.probe_data_plane() is None
        await place.send(scene.name("q0"), 1)
        stranger = foreign_queue(scene.name("taken"), **{"x-max-length": 1})
        changes = await scene.changes(resolved_queue(scene.name("taken"), limits={"maxMessages": 9}))
        await place.plant(stranger)
        errors = [outcome.error for outcome in await place.session.apply(changes)]
        assert any(isinstance(error, Blocked) for error in errors), errors
        await scene.settle(gone=[queue.subject for queue in queues])
    finally:
        await place.remove()


async def test_a_name_that_the_broker_takes_for_a_step_in_the_path_is_never_sent(place: RabbitMQTarget) -> None:
    assert await said(dataclasses.replace(connection_to(place.rabbitmq, "op", vhost=".."))) == (
        "Blocked: RabbitMQ's management API cannot be asked about objects or virtual hosts without a name or named . "
        "or .."
    )
    await place.plant(foreign_queue("q"))
    await place.plant(Exchange("x", "topic"))
    binding = Binding("x", "q", routing_key="..")
    await place.plant(binding)
    before = dict((await place.session.observe(None)).resources)
    (outcome,) = await place.session.apply([Change(binding.id, Action.DELETE, None, binding, frozenset(), 6)])
    assert isinstance(outcome.error, Blocked)
    assert (await place.session.observe(None)).resources == before


# -- when the network fails --------------------------------------------------------------------------------------------


async def test_a_broker_that_accepts_and_says_nothing_is_given_up_and_used_again(
    through: RabbitMQTarget, proxy: FaultProxy
) -> None:
    scene = Scene(through, await through.session.probe())
    changes = await scene.changes(resolved_queue("a.q"))
    proxy.black_hole()
    outcomes = await through.session.apply(changes)
    assert {type(outcome.error) for outcome in outcomes} == {Unreachable}
    assert "no answer in time" in str(outcomes[0].error)
    proxy.forward()
    await scene.settle(resolved_queue("a.q"))


async def test_a_connection_cut_in_the_middle_of_an_answer_is_a_broker_that_is_not_reachable(
    through: RabbitMQTarget, proxy: FaultProxy
) -> None:
    await through.session.probe()
    proxy.cut_after(40)
    with pytest.raises(Unreachable):
        await through.session.observe(None)
    proxy.forward()
    assert (await through.session.observe(None)).complete


async def test_connections_that_broke_while_idle_are_replaced_without_a_word(
    through: RabbitMQTarget, proxy: FaultProxy
) -> None:
    scene = Scene(through, await through.session.probe())
    changes = await scene.changes(resolved_queue("a.q"))
    proxy.cut()
    assert [outcome.error for outcome in await through.session.apply(changes)] == [None] * len(changes)


async def test_a_slow_broker_is_waited_for(through: RabbitMQTarget, proxy: FaultProxy) -> None:
    scene = Scene(through, await through.session.probe())
    proxy.delay(0.2)
    await scene.settle(resolved_queue("a.q"))


async def test_a_broker_that_freezes_leaves_no_plane_waiting_for_ever(newest: RabbitMQ) -> None:
    session = open_session(connection_to(newest, "op"), Calls())
    try:
        assert await session.probe_data_plane() is None
        newest.pause()
        try:
            assert "no answer in time" in (await session.probe_data_plane() or "")
            with pytest.raises(Unreachable, match="no answer in time"):
                await session.probe()
        finally:
            newest.resume()
        assert await session.probe_data_plane() is None
    finally:
        await session.close()


# -- what is written ---------------------------------------------------------------------------------------------------


async def test_many_exchanges_and_bindings_go_in_a_few_calls_and_a_conflict_among_them_is_found(
    each: RabbitMQTarget,
) -> None:
    scene = Scene(each, await each.session.probe())
    queues = [resolved_queue(scene.name(f"q{i:03}"), messageTTL="1h") for i in range(60)]
    changes = await scene.changes(*queues)
    strangers: list[Resource] = [
        foreign_queue(scene.name("q007"), **{"x-message-ttl": 5}),
        Exchange(scene.name("q008_in"), "topic"),
    ]
    for stranger in strangers:
        await each.plant(stranger)
    each.calls.clear()
    outcomes = await each.session.apply(changes)
    failed = {outcome.change.id: outcome.error for outcome in outcomes if outcome.error is not None}
    assert {type(error) for error in failed.values()} == {Blocked}
    assert {error.reason for error in failed.values() if isinstance(error, Blocked)} == {Reason.ADOPTION_REFUSED}
    assert {stranger.id for stranger in strangers} <= set(failed)
    assert {rid.path[0][: len(scene.name("q007"))] for rid in failed} == {scene.name("q007"), scene.name("q008")}
    assert each.calls.writes.count("post_definitions") == 2
    assert not {"put_exchange", "post_binding"} & set(each.calls.writes)
    seen = await scene.picture()
    assert {stranger.id: seen[stranger.id] for stranger in strangers} == {s.id: s for s in strangers}
    done = [queue for queue in queues if queue.subject.name not in {scene.name("q007"), scene.name("q008")}]
    assert await scene.changes(*done) == []


async def test_one_bad_entry_in_a_document_costs_that_entry_only(each: RabbitMQTarget) -> None:
    scene = Scene(each, await each.session.probe())
    queues = [resolved_queue(scene.name(f"q{i:03}")) for i in range(60)]
    changes = await scene.changes(*queues)
    bad = next(c for c in changes if c.id == exchange_id(scene.name("q030_in")))
    changes[changes.index(bad)] = dataclasses.replace(bad, desired=Exchange(scene.name("q030_in"), "no-such-type"))
    outcomes = await each.session.apply(changes)
    failed = {outcome.change.id for outcome in outcomes if outcome.error is not None}
    binding = Binding(scene.name("q030_in"), scene.name("q030"))
    assert failed == {bad.id, queue_id(scene.name("q030")), binding.id}, "and what belongs to the same channel"


async def test_a_queue_that_failed_gets_no_entry(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    changes = await scene.changes(resolved_queue(scene.name("q"), messageTTL="1h"))
    await place.plant(foreign_queue(scene.name("q"), **{"x-message-ttl": 5}))
    await place.session.apply(changes)
    assert Binding(scene.name("q_in"), scene.name("q")).id not in await scene.picture()


async def test_an_existing_queue_that_differs_by_a_default_only_is_taken_as_it_is(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    wanted = resolved_queue(scene.name("q"), defaults={"replicas": 3})
    changes = await scene.changes(wanted)
    await scene.settle(resolved_queue(scene.name("q")))
    assert [outcome.error for outcome in await place.session.apply(changes)] == [None] * len(changes)


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


async def test_a_stream_is_never_deleted_as_empty(each: RabbitMQTarget) -> None:
    stream = Queue("s", "stream", arguments=(("x-queue-type", "stream"),))
    await each.plant(stream)
    change = Change(stream.id, Action.DELETE, None, stream, frozenset(), 5, removal=Removal.DELETE_IF_EMPTY)
    (outcome,) = await each.session.apply([change])
    assert outcome.kept
    assert outcome.error is None
    assert stream.id in (await each.session.observe(None)).resources


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


# -- revocation --------------------------------------------------------------------------------------------------------


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


async def test_closing_a_session_twice_is_harmless(newest: RabbitMQ) -> None:
    session: Session = open_session(connection_to(newest, "op"), Calls())
    await session.probe()
    await session.close()
    await session.close()


async def test_a_whole_broker_is_read_in_three_calls_whatever_it_holds(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    await scene.settle(*(resolved_queue(scene.name(f"q{i}")) for i in range(30)))
    place.calls.clear()
    await place.session.observe(None)
    assert sorted(place.calls.seen) == [("definitions", "ok"), ("permissions", "ok"), ("users", "ok")]


async def test_errors_that_pass_are_told_from_those_that_stay(place: RabbitMQTarget) -> None:
    binding = Binding("nowhere", "nothing")
    change = Change(binding.id, Action.CREATE, binding, None, frozenset(), 2)
    (outcome,) = await place.session.apply([change])
    assert isinstance(outcome.error, Retry)
    assert not isinstance(outcome.error, Unreachable)
