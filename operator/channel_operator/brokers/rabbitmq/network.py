"""Which addresses may be reached and whom TLS trusts: the same for the management API and for AMQP.

Decides what is refused before a byte is sent. A name is resolved once for each connection, and what was checked is
what is connected to.
"""

import asyncio
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable, Collection
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult

from channel_operator.api.broker import TlsMode
from channel_operator.api.reasons import Reason
from channel_operator.brokers.base import Connection
from channel_operator.errors import Blocked

__all__ = ["AddressRefusedError", "AddressRules", "CheckingResolver", "resolve", "tls_context"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses at which clouds serve credentials to whoever asks; most are link-local, these are not.
_METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("168.63.129.16")})


_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")


class AddressRefusedError(OSError):
    """The host may not be reached by this operator. An OSError, so that a resolver may raise it."""


def _parse(address: str) -> _Address | None:
    """Return the address, an IPv4 one hidden in IPv6 as what it is; None for a name."""
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _is_dangerous(address: _Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
        or address in _METADATA
        or address in _THIS_NETWORK
    )


class AddressRules:
    """The addresses that a session may connect to."""

    def __init__(self, allowed_hosts: Collection[str], *, only: bool) -> None:
        self._names = frozenset(host.lower() for host in allowed_hosts)
        self._addresses = frozenset(found for host in allowed_hosts if (found := _parse(host)) is not None)
        self._only = only

    def permits(self, host: str, address: str) -> bool:
        """Whether `host`, which resolved to `address`, may be reached."""
        parsed = _parse(address)
        if host.lower() in self._names or (parsed is not None and parsed in self._addresses):
            return True
        return not self._only and parsed is not None and not _is_dangerous(parsed)

    def check_literal(self, host: str) -> None:
        """Raise AddressRefusedError for a forbidden address; a name is checked when it has been resolved."""
        if _parse(host) is not None and not self.permits(host, host):
            raise AddressRefusedError(host)

    def filter(self, host: str, addresses: Collection[str]) -> list[str]:
        """Return the permitted addresses of a resolved name. Raises AddressRefusedError when none is."""
        kept = [address for address in addresses if self.permits(host, address)]
        if addresses and not kept:
            raise AddressRefusedError(host)
        return kept


async def resolve(host: str, port: int, rules: AddressRules) -> list[str]:
    """Resolve a host for a connection of our own making. Raises OSError, AddressRefusedError among them."""
    return rules.filter(host, await _look_up(host, port))


async def _look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver in a thread of its own.

    A name server that is silent holds a thread for many seconds. The event loop's pool has a handful: the names of
    some dead brokers would hold up those of live ones and of the API server, and the end of the process too, which
    waits for that pool.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def work() -> None:
        found: list[str] | OSError
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(info[4][0]) for info in infos))
        except UnicodeError:
            found = socket.gaierror(socket.EAI_NONAME, "not a host name")  # what cannot be encoded for DNS
        except OSError as error:
            found = error
        with suppress(RuntimeError):  # nobody waits any more: the event loop is closed
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
    return await answer


class CheckingResolver(AbstractResolver):
    """Resolves for aiohttp and lets only permitted addresses through."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 (any that the name has)
    ) -> list[ResolveResult]:
        """See aiohttp.abc.AbstractResolver."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await resolve(host, port, self._rules)
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _load_certificate(context: ssl.SSLContext, certificate: str, private_key: str) -> None:
    """Load PEM texts. OpenSSL's binding reads files only: an anonymous one in memory leaves no key on a disk."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{certificate}\n{private_key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _tell_of_certificates(context: ssl.SSLContext, shown: Callable[[str], None]) -> None:
    """Have `shown` called with the server's certificate (PEM) after each handshake, on sockets and on asyncio's side.

    Neither aiohttp nor pika hands it out; classes of one's own are what the ssl module has for that.
    """

    def tell(connection: ssl.SSLObject | ssl.SSLSocket) -> None:
        if certificate := connection.getpeercert(binary_form=True):
            shown(ssl.DER_cert_to_PEM_cert(certificate))

    class Object(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            tell(self)

    class Socket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  # the library's signature
            super().do_handshake(block)
            tell(self)

    context.sslobject_class = Object
    context.sslsocket_class = Socket


def tls_context(connection: Connection, shown: Callable[[str], None]) -> ssl.SSLContext | None:
    """Return the client's side of TLS, None when the Broker has it disabled.

    `shown` is called with the certificate (PEM) that a server shows.

    Raises Blocked (CredentialsInvalid) when a certificate or key cannot be used.
    """
    if connection.spec.tls.mode is TlsMode.DISABLED:
        return None
    try:
        context = ssl.create_default_context(cadata=connection.ca)
    except (ssl.SSLError, ValueError):
        raise Blocked(
            "spec.tls.caRef: the certificates there cannot be read; put certificates in PEM form there",
            reason=Reason.CREDENTIALS_INVALID,
            field="spec.tls.caRef",
        ) from None
    if connection.certificate is not None and connection.private_key is not None:
        try:
            _load_certificate(context, connection.certificate, connection.private_key.reveal())
        except (ssl.SSLError, ValueError, OSError):
            raise Blocked(
                "spec.credentials.certificateSecretRef: certificate and key do not fit together or cannot be read; "
                "put a certificate in tls.crt and its unencrypted key in tls.key, both in PEM form",
                reason=Reason.CREDENTIALS_INVALID,
                field="spec.credentials.certificateSecretRef",
            ) from None
    _tell_of_certificates(context, shown)
    return context
