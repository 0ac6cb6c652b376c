"""Connections to real brokers: who is trusted, what a refusal says, what a failing network means."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from channel_operator.brokers.base import Connection
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
)
from channel_operator.brokers.registry import open_session
from channel_operator.core.model import Action, Change, Secret
from channel_operator.errors import Blocked, CredentialsRefused, OperatorError, Unreachable
from tests.contract.targets import Calls, RabbitMQTarget, Scene, connection_to, foreign_queue
from tests.lab.ports import free_port
from tests.lab.proxy import FaultProxy
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.tls import CertificateAuthority
from tests.unit.rabbitmq.samples import resolved_queue


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
