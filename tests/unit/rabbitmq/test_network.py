"""Which addresses may be reached, and what a failure says."""

import asyncio
import socket
import ssl
import threading
from typing import Any

import pytest

from channel_operator.api.broker import TlsMode
from channel_operator.brokers.base import Connection
from channel_operator.brokers.rabbitmq.failures import from_status, inequivalent_argument
from channel_operator.brokers.rabbitmq.http import path
from channel_operator.brokers.rabbitmq.network import AddressRefusedError, AddressRules, resolve, tls_context
from channel_operator.core.model import Secret
from channel_operator.errors import Blocked, CredentialsRefused, Retry, Unreachable
from tests.unit.rabbitmq.samples import broker_spec

DANGEROUS = [
    "127.0.0.1",
    "127.8.9.1",
    "::1",
    "::ffff:127.0.0.1",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "0.0.0.0",  # noqa: S104 (refused, not bound)
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "255.255.255.255",
]


@pytest.mark.parametrize("address", DANGEROUS)
def test_addresses_of_the_machine_itself_and_of_clouds_are_refused(address: str) -> None:
    rules = AddressRules((), only=False)
    assert not rules.permits("broker.example", address)
    with pytest.raises(AddressRefusedError):
        rules.check_literal(address)


def test_cluster_and_public_addresses_may_be_reached() -> None:
    rules = AddressRules((), only=False)
    for address in ("10.0.0.1", "192.168.1.1", "93.184.216.34", "2606:2800::1", "fd12::1"):
        assert rules.permits("broker.example", address), address


def test_a_listed_name_or_address_may_be_reached_all_the_same() -> None:
    by_name = AddressRules({"LocalHost"}, only=False)
    assert by_name.permits("localhost", "127.0.0.1")
    assert not by_name.permits("other", "127.0.0.1")
    by_address = AddressRules({"127.0.0.1"}, only=False)
    assert by_address.permits("anything", "127.0.0.1")
    assert by_address.permits("anything", "::ffff:127.0.0.1")
    assert not by_address.permits("anything", "127.0.0.2")


def test_with_a_closed_list_nothing_else_is_reached() -> None:
    rules = AddressRules({"broker.example"}, only=True)
    assert rules.permits("broker.example", "10.0.0.1")
    assert not rules.permits("other.example", "10.0.0.1")


async def test_a_name_that_leads_to_a_refused_address_is_refused() -> None:
    with pytest.raises(AddressRefusedError):
        await resolve("localhost", 443, AddressRules((), only=False))
    assert "127.0.0.1" in await resolve("localhost", 443, AddressRules({"localhost"}, only=False))


async def test_names_that_nobody_answers_for_hold_up_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    silence, real = threading.Event(), socket.getaddrinfo

    def answer(host: str, *arguments: Any, **options: Any) -> Any:
        if host.startswith("dead"):
            silence.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    rules = AddressRules({"localhost"}, only=False)
    dead = [asyncio.create_task(resolve(f"dead-{number}", 443, rules)) for number in range(100)]
    try:
        assert "127.0.0.1" in await resolve("localhost", 443, rules)
        # The event loop's own pool is free: the API server's name is looked up there.
        assert await asyncio.to_thread(lambda: True)
        assert not any(task.done() for task in dead)
    finally:
        silence.set()
    found = await asyncio.gather(*dead, return_exceptions=True)
    assert {type(one) for one in found} == {socket.gaierror}


async def test_a_host_that_cannot_be_a_name_is_not_known() -> None:
    with pytest.raises(socket.gaierror):
        await resolve("a" * 64 + ".example", 443, AddressRules((), only=False))


def test_every_segment_of_a_path_is_encoded() -> None:
    assert path("queues", "/", "a b/%ü..") == "/api/queues/%2F/a%20b%2F%25%C3%BC.."
    for name in ("", ".", ".."):
        with pytest.raises(Blocked, match="cannot be asked about"):
            path("vhosts", name)


def test_only_the_name_of_a_differing_argument_is_taken_from_an_answer() -> None:
    body = b'{"error":"bad_request","reason":"inequivalent arg \'x-max-length\' for queue \'secret\' in vhost \'/\'"}'
    assert inequivalent_argument(body) == "x-max-length"
    assert inequivalent_argument(b"something else") is None
    error = from_status(400, body, "RabbitMQ at x", "admin")
    assert isinstance(error, Blocked)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (401, b'{"error":"not_authorized","reason":"Not_Authorized"}', CredentialsRefused),
        (401, b"", CredentialsRefused),
        (401, b'{"error":"not_authorised","reason":"Not administrator user"}', Blocked),
        (403, b"", Blocked),
        (302, b"", Unreachable),
        (429, b"", Retry),
        (503, b"", Retry),
        (404, b"", Retry),
        (400, b"", Blocked),
    ],
)
def test_each_status_has_one_meaning(status: int, body: bytes, meaning: type[Exception]) -> None:
    assert type(from_status(status, body, "RabbitMQ at x", "admin")) is meaning


def connection(**fields: object) -> Connection:
    return Connection("messaging/main", broker_spec(), "admin", Secret("pw"), "op", **fields)  # type: ignore[arg-type]  # fields of many types


def test_tls_verifies_by_default_and_is_off_only_when_told() -> None:
    context = tls_context(connection(), list[str]().append)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    disabled = Connection(
        "messaging/main",
        broker_spec(tls={"mode": TlsMode.DISABLED}, rabbitmq={"managementUrls": ["http://r.svc:15672"]}),
        "admin",
        Secret("pw"),
        "op",
    )
    assert tls_context(disabled, list[str]().append) is None


def test_unreadable_certificates_are_named_by_their_field() -> None:
    with pytest.raises(Blocked, match=r"spec\.tls\.caRef: the certificates there cannot be read"):
        tls_context(connection(ca="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"), list[str]().append)
    with pytest.raises(Blocked, match=r"spec\.credentials\.certificateSecretRef"):
        tls_context(connection(certificate="x", private_key=Secret("y")), list[str]().append)
