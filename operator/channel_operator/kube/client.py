"""Single calls to the API server: JSON in, JSON out, bounded in time, errors by their meaning. Decides nothing.

Neither bodies nor tokens are logged or put into messages; a message names what was tried and what the server made
of it.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from yarl import URL

from channel_operator.api.meta import GROUP, PLURALS, VERSION, Kind
from channel_operator.engine.ports import Conflict, Forbidden, Gone
from channel_operator.errors import OperatorError, Retry, Unreachable
from channel_operator.kube.login import Credentials

__all__ = [
    "JSON_PATCH",
    "MERGE_PATCH",
    "METADATA_LIST",
    "METADATA_ONLY",
    "Expired",
    "KubeClient",
    "KubeRecorder",
    "NoKubeRecorder",
    "Rejected",
    "custom_path",
    "path",
]

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_CONNECTIONS = 16
_WRITE_SECONDS = 10.0
_READ_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_STARTING_SECONDS = 30.0
"""After it was away, an API server may forbid everything for so long: it answers before it has read its roles."""
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_METHODS = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


class Expired(Retry):
    """The version a list or watch goes on from is too old for the server: begin again."""


class Rejected(OperatorError):
    """The API server finds the request itself wrong (400, 415, 422).

    `fields` are the paths it complains about: a bug of ours then. Without any, a test in a JSON patch did not hold.
    """

    def __init__(self, message: str, *, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class KubeRecorder(Protocol):
    """Where calls to the API server are counted."""

    def kube_request(self, verb: str, code: str) -> None:
        """Count one call: `patch`, `list`, `watch`…; the HTTP status, or `error` when there was no answer."""


class NoKubeRecorder:
    """Counts nothing."""

    def kube_request(self, verb: str, code: str) -> None:
        """Drop it."""


def path(api: str, namespace: str | None, plural: str, name: str | None = None, subresource: str | None = None) -> str:
    """Return a resource's path, encoded: `path("api/v1", "shop", "secrets", "x")`."""
    parts = [api]
    if namespace is not None:
        parts += ["namespaces", _segment(namespace)]
    parts.append(plural)
    if name is not None:
        parts.append(_segment(name))
    if subresource is not None:
        parts.append(subresource)
    return "/" + "/".join(parts)


def custom_path(kind: Kind, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
    """Return the path of an object, or of the list, of one of our kinds."""
    return path(f"apis/{GROUP}/{VERSION}", namespace, PLURALS[kind], name, subresource)


def _segment(text: str) -> str:
    # Dots alone would be resolved as steps in the path; Kubernetes allows neither them nor these signs in a name.
    if text in {"", ".", ".."} or "/" in text or "%" in text:
        raise Gone(f"{text!r} is not the name of an object")
    return quote(text, safe="")


class KubeClient:
    """One session to the API server, so many calls at a time, in order. `close` it at the end."""

    def __init__(self, credentials: Credentials, recorder: KubeRecorder | None = None) -> None:
        self._credentials = credentials
        # The connector's own limit is not fair: whoever has just given a connection back takes it again before those
        # that wait, so under load a call can wait for ever. A semaphore serves in order.
        self._turn = asyncio.Semaphore(_CONNECTIONS)
        self._session = credentials.session(connections=0)
        self._recorder = recorder or NoKubeRecorder()
        self._away = float("-inf")

    @property
    def is_busy(self) -> bool:
        """Whether a call would have to wait for its turn."""
        return self._turn.locked()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def call(
        self,
        verb: str,
        url_path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> dict[str, Any]:
        """Send one request and return the answer's object.

        `verb` is Kubernetes' own (`get`, `list`, `create`, `update`, `patch`, `delete`). Raises Unreachable, Retry,
        Forbidden, Conflict, Gone or Rejected.
        """
        url = URL(self._credentials.server + url_path, encoded=True)
        url = url.with_query(query) if query else url
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        seconds = _READ_SECONDS if verb in {"get", "list"} else _WRITE_SECONDS
        data = None if body is None else _ENCODER.encode(body).encode()
        try:
            status, content, retry_after = await self._send(_METHODS[verb], url, data, headers, seconds)
        except TimeoutError:
            self._gone(verb)
            raise Unreachable(f"the API server did not answer within {seconds:.0f} s ({verb} {url_path})") from None
        except (aiohttp.ClientError, OSError) as error:
            self._gone(verb)
            raise Unreachable(f"the API server cannot be reached: {_cause(error)}") from error
        self._recorder.kube_request(verb, str(status))
        answer = _parse(content)
        if 200 <= status < 300:  # noqa: PLR2004  # the range of success
            return answer
        failure = _failure(status, answer, what=f"{verb} {url_path}", retry_after=retry_after)
        if isinstance(failure, Unreachable):
            self._away = self._now()
        if isinstance(failure, Forbidden) and self._now() - self._away < _STARTING_SECONDS:
            raise Retry(f"the API server, back since a moment, does not let the operator {verb} {url_path} yet")
        raise failure

    async def _send(
        self, method: str, url: URL, data: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> tuple[int, bytes, str | None]:
        """Send when it is this call's turn; return status, content and `Retry-After`."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        request = self._session.request
        async with (
            self._turn,
            request(method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False) as response,
        ):
            return response.status, await response.read(), response.headers.get("Retry-After")

    def _gone(self, verb: str) -> None:
        self._away = self._now()
        self._recorder.kube_request(verb, "error")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _parse(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _cause(error: Exception) -> str:
    """Name a connection error without the addresses and reprs that libraries put into theirs."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    inner = getattr(error, "os_error", None) or error
    return getattr(inner, "strerror", None) or type(inner).__name__


def _failure(status: int, answer: Mapping[str, Any], *, what: str, retry_after: str | None) -> OperatorError:
    """Turn an error answer into its meaning. Only the machine-readable reason is taken from it, never its text."""
    reason = str(answer.get("reason") or status)
    match status:
        case 401:
            return Retry(f"the API server does not accept the operator's credentials ({what})", after=5.0)
        case 403 if _terminating(answer):
            return Gone(f"the namespace is being deleted ({what})")
        case 403:
            return Forbidden(f"the API server forbids the operator to {what}: check its roles and quotas", after=30.0)
        case 404:
            return Gone(f"there is no such object ({what})")
        case 409:
            return Conflict(f"the object changed meanwhile ({what}: {reason})")
        case 410:
            return Expired(f"the list has expired ({what})", after=0.0)
        case 429:
            seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
            return Retry(f"the API server asks to slow down ({what})", after=seconds)
        case 500 | 502 | 503 | 504:
            return Unreachable(f"the API server is not able to answer now ({what}: {reason})")
        case _:
            fields = tuple(str(cause.get("field") or "") for cause in _causes(answer))
            where = f", at {', '.join(fields[:5])}" if fields else ""
            return Rejected(f"the API server rejects the request ({what}: {status} {reason}{where})", fields=fields)


def _causes(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    causes = (answer.get("details") or {}).get("causes") or []
    return [cause for cause in causes if isinstance(cause, dict)]


def _terminating(answer: Mapping[str, Any]) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(answer))
