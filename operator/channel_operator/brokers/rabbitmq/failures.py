"""What went wrong with a call, in a user's words. Decides which meaning an error has; keeps every response body out."""

import json
import re
import socket
import ssl
from http import HTTPStatus
from typing import Final

import aiohttp

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.network import AddressRefusedError
from channel_operator.errors import Blocked, CredentialsRefused, OperatorError, Retry, Unreachable

__all__ = ["from_exception", "from_status", "inequivalent_argument", "is_about_rights", "tls_failure"]

_INEQUIVALENT: Final = re.compile(r"inequivalent arg '([A-Za-z0-9_-]{1,64})'")
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_TLS_ALERT = "\\x15\\x03"


def tls_failure(error: BaseException) -> str | None:
    """Say what is wrong with TLS, None if the error has nothing to do with it."""
    if isinstance(error, aiohttp.ClientError):
        return None  # it only wraps, and is an SSLError itself without saying which
    if isinstance(error, ssl.SSLCertVerificationError):
        match error.verify_code:  # OpenSSL's X509_V_ERR_* codes
            case 10:
                return "its certificate has expired; renew the broker's certificate"
            case 9:
                return "its certificate is not valid yet; check the clocks and the broker's certificate"
            case 62 | 64:
                return (
                    "its certificate is for another host name; use the name of the certificate in the address, or "
                    "state it in spec.tls.serverName"
                )
            case _:
                return (
                    "its certificate is not signed by an authority the operator trusts; put the authority's "
                    "certificate where spec.tls.caRef points"
                )
    if isinstance(error, ssl.SSLError):
        words = (error.reason or "") + str(error)
        if "WRONG_VERSION_NUMBER" in words or "RECORD_LAYER_FAILURE" in words or "HTTP_REQUEST" in words:
            return "it does not speak TLS; use the TLS port, or http with spec.tls.mode: Disabled"
        if "ALERT" in words:
            return "it refused the operator's client certificate; check spec.credentials.certificateSecretRef"
        return "the TLS handshake failed; check the TLS settings of the broker"
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and what it wraps, whichever way a library does that."""
    found: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        current = queue.pop(0)
        if current is None or current in found:
            continue
        found.append(current)
        queue += [current.__cause__, getattr(current, "certificate_error", None), getattr(current, "os_error", None)]
    return found


def from_exception(error: BaseException, where: str) -> Unreachable:
    """Turn a failed connection or a broken answer into what the user reads. `where` names Broker and address."""
    for cause in _causes(error):
        tls = tls_failure(cause)
        if tls is not None:
            return Unreachable(f"{where}: {tls}")
        match cause:
            case AddressRefusedError():
                return Unreachable(
                    f"{where}: the operator may not connect to this address; use an address that is neither loopback "
                    "nor link-local, or have it listed in operator.allowedBrokerHosts of the chart "
                    "(--allowed-broker-hosts)"
                )
            case socket.gaierror():
                return Unreachable(f"{where}: the host name is not known to DNS; correct it, or wait for its Service")
            case ConnectionRefusedError():
                return Unreachable(f"{where}: nothing listens there; check that the broker runs, and the port")
            case TimeoutError():
                return Unreachable(f"{where}: no answer in time; check that the broker runs and is not overloaded")
            case aiohttp.ClientResponseError():
                return Unreachable(f"{where}: {_not_http(cause.message)}")
    return Unreachable(f"{where}: the connection broke; check that the broker runs")


def _not_http(text: str) -> str:
    """Say what answered instead of HTTP; the bytes are looked at, never shown."""
    if _TLS_ALERT in text:
        return "the port speaks TLS; use https in spec.rabbitmq.managementUrls"
    return "the answer is not HTTP; use the port of the management API in spec.rabbitmq.managementUrls"


def is_about_rights(body: bytes) -> bool:
    """Whether a 401 is about rights. RabbitMQ says `not_authorized` for a failed login, `not_authorised` for rights."""
    try:
        return bool(json.loads(body).get("error") == "not_authorised")
    except (ValueError, AttributeError):
        return False


def inequivalent_argument(body: bytes) -> str | None:
    """Return the property that differs when a declaration meets an existing object; the text is not kept."""
    found = _INEQUIVALENT.search(body.decode("utf-8", "replace"))
    return found.group(1) if found else None


def from_status(status: int, body: bytes, where: str, username: str) -> OperatorError:
    """Turn an answer that is no success into what the user reads."""
    if status == HTTPStatus.UNAUTHORIZED and not is_about_rights(body):
        return CredentialsRefused(
            f'{where}: refused the login of user "{username}"; correct the Secret that '
            "spec.credentials.passwordSecretRef names",
            reason=Reason.CREDENTIALS_INVALID,
            field="spec.credentials.passwordSecretRef",
        )
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Blocked(
            f'{where}: user "{username}", with whom the operator logs in, lacks rights; give it the tag administrator '
            "and all permissions on the virtual host",
            reason=Reason.BROKER_REFUSED,
        ).telling("the operator lacks rights there; ask the owner of the Broker, the operator's log says more")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Unreachable(f"{where}: answers with a redirect, which is not followed; state the final address")
    if status == HTTPStatus.NOT_FOUND:
        what = "what was asked for is not there (HTTP 404)"
        return Retry(f"{where}: {what}").telling(what)
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        what = f"cannot answer at the moment (HTTP {status}); look at the broker's log"
        return Retry(f"{where}: {what}").telling(what)
    what = f"refused the change (HTTP {status}); usually a limit of the broker: its log says why"
    return Blocked(f"{where}: {what}", reason=Reason.BROKER_REFUSED).telling(what)
