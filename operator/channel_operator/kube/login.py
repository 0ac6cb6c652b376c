"""Who the operator is towards the API server, and the HTTP sessions that say so. Decides nothing about objects.

The official client reads the credentials (a pod's ServiceAccount, or a kubeconfig with certificates, tokens, token
files or login plugins); the sessions send them, renewed as they change, for kopf and for our own calls alike.
"""

import asyncio
import inspect
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from kubernetes.aio import config as official
from kubernetes.aio.client import Configuration
from yarl import URL

from channel_operator import __version__
from channel_operator.errors import OperatorError

__all__ = ["Credentials", "LoginError"]

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_UNAUTHORIZED = 401
_RELOAD_PAUSE = 5.0
"""Seconds between two forced reloads: a token that stays refused must not make us hammer."""


class LoginError(OperatorError):
    """There are no credentials, or they cannot be read; the message says where was looked."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where credentials are read from. `kubeconfig` None = the pod's ServiceAccount."""

    kubeconfig: str | None
    context: str | None

    def __str__(self) -> str:
        return f"kubeconfig {self.kubeconfig}" if self.kubeconfig else "the pod's ServiceAccount"


class Credentials:
    """The API server's address, our token or certificate, and the namespace we live in. Make it with `load`."""

    def __init__(self, source: _Source) -> None:
        self.server = ""
        self.namespace = "default"
        self._source = source
        self._configuration = Configuration()
        self._tls: ssl.SSLContext | None = None
        self._reload = asyncio.Lock()
        self._reloaded_at = 0.0

    @classmethod
    async def load(
        cls, *, kubeconfig: Path | None = None, context: str | None = None, namespace: str | None = None
    ) -> "Credentials":
        """Find and read the credentials. `namespace` overrides the one they name. Raises LoginError."""
        path = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG")
        if not path and not os.environ.get("KUBERNETES_SERVICE_HOST"):
            path = str(Path.home() / ".kube" / "config")
        self = cls(_Source(path or None, context))
        await self._read()
        self.namespace = namespace or self.namespace
        return self

    async def _read(self) -> None:
        configuration = Configuration()
        try:
            if self._source.kubeconfig is None:
                official.load_incluster_config(client_configuration=configuration)
                self.namespace = (_SERVICE_ACCOUNT / "namespace").read_text("utf-8").strip()
            else:
                self.namespace = await self._read_kubeconfig(self._source.kubeconfig, configuration)
            self._tls = self._trust(configuration)
        except (official.ConfigException, OSError, ValueError, AttributeError, TypeError) as error:
            # The loader fails in many ways on a file it does not understand; none of them names a secret's value.
            raise LoginError(f"no usable credentials in {self._source}: {error}") from error
        self._configuration = configuration
        self.server = configuration.host.rstrip("/")

    async def _read_kubeconfig(self, path: str, configuration: Configuration) -> str:
        if not _exists(path):
            raise ValueError("there is no such file")
        loader = await official.load_kube_config(
            config_file=path,
            context=self._source.context,
            client_configuration=configuration,
            persist_config=False,
        )
        return str(loader.current_context["context"].get("namespace") or "default")

    def _trust(self, configuration: Configuration) -> ssl.SSLContext:
        """Make the TLS context, or renew the one in use: open sessions hold on to it."""
        context = self._tls or ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
        if configuration.ssl_ca_cert:
            context.load_verify_locations(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    async def _authorization(self) -> str | None:
        hook = self._configuration.refresh_api_key_hook
        if hook is not None:
            try:
                renewed = hook(self._configuration)
                if inspect.isawaitable(renewed):
                    await renewed
            except (official.ConfigException, OSError):
                pass  # the file is being replaced: the token we have serves until the next look
        token: str | None = self._configuration.api_key.get("BearerToken")
        return token

    async def _refused(self) -> None:
        """Read everything again, because the server did not take what we sent; others wait for the same read."""
        async with self._reload:
            now = asyncio.get_running_loop().time()
            if now - self._reloaded_at < _RELOAD_PAUSE:
                return
            self._reloaded_at = now
            namespace = self.namespace
            try:
                await self._read()
            except LoginError:
                return  # the answer stays 401, and the caller says so
            finally:
                self.namespace = namespace

    async def _authenticate(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the newest token; after a refusal read it again and try once more."""
        if self._configuration.tls_server_name:
            request.server_hostname = self._configuration.tls_server_name
        await self._sign(request)
        response = await handler(request)
        if response.status == _UNAUTHORIZED:
            await self._refused()
            await self._sign(request)
            response.release()
            response = await handler(request)
        return response

    async def _sign(self, request: aiohttp.ClientRequest) -> None:
        authorization = await self._authorization()
        if authorization:
            request.headers["Authorization"] = authorization

    def session(
        self,
        *,
        connections: int,
        middlewares: Sequence[aiohttp.ClientMiddlewareType] = (),
        response_class: type[aiohttp.ClientResponse] | None = None,
    ) -> aiohttp.ClientSession:
        """Open a session of at most so many connections (0 = no limit); close it when done."""
        connector = aiohttp.TCPConnector(limit=connections, ssl=self._tls or True, keepalive_timeout=60)
        return aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": f"channel-operator/{__version__}"},
            proxy=URL(self._configuration.proxy) if self._configuration.proxy else None,
            middlewares=(*middlewares, self._authenticate),
            response_class=response_class or aiohttp.ClientResponse,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


def _exists(paths: str) -> bool:
    return any(Path(part).expanduser().exists() for part in paths.split(os.pathsep) if part)
