"""Runs kopf as a list-and-watch engine and nothing more, and knows whether its streams are up.

Decides when watching counts as ready. kopf gets a registry, settings and sessions of its own; it writes nothing, and
what it starts is stopped here, so that it never cancels tasks that are not its own.
"""

import asyncio
import random
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence

import aiohttp
import kopf
import structlog

from channel_operator.api.meta import GROUP, Kind
from channel_operator.engine.ports import EventSink
from channel_operator.errors import OperatorError
from channel_operator.kube.client import KubeRecorder, NoKubeRecorder, custom_path, path
from channel_operator.kube.echoes import without_echoes
from channel_operator.kube.handlers import build_registry
from channel_operator.kube.login import Credentials

__all__ = ["WatchHealth", "WatchStopped", "watch"]

_log = structlog.get_logger("channel_operator.watch")
_LOGIN_PAUSE = 2.0
_OK = 200


class WatchStopped(OperatorError):
    """Watching ended although nobody asked: the process must end, since its store no longer follows the cluster."""


def _kinds(namespaces: Sequence[str]) -> dict[str, str]:
    """Return what is watched: the path of each list → the kind of its objects."""
    found = {custom_path(kind, one): kind.value for kind in Kind for one in (tuple(namespaces) or (None,))}
    if not namespaces:
        found[path("api/v1", None, "namespaces")] = "Namespace"
    return found


class WatchHealth:
    """Knows of each watch stream whether its last request was answered, and says so when that changes."""

    def __init__(self, namespaces: Sequence[str] = (), recorder: KubeRecorder | None = None) -> None:
        paths = _kinds(namespaces)
        self.ready = asyncio.Event()
        """Set while every stream is up."""
        self._up = dict.fromkeys(paths, False)
        self._told_down: set[str] = set()
        self._recorder = recorder or NoKubeRecorder()

    @property
    def down(self) -> list[str]:
        """The paths whose stream is not up."""
        return [name for name, up in self._up.items() if not up]

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Let a request of kopf's pass and note what became of it (an aiohttp client middleware)."""
        watching = request.url.query.get("watch") == "true"
        verb = "watch" if watching else "list" if request.url.path in self._up else "get"
        try:
            response = await handler(request)
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._recorder.kube_request(verb, "error")
            self._note(request.url.path, up=False, reason="no answer")
            raise
        self._recorder.kube_request(verb, str(response.status))
        if response.status != _OK:
            self._note(request.url.path, up=False, reason=f"HTTP status {response.status}")
        elif watching:
            self._note(request.url.path, up=True, reason="")
        return response

    def _note(self, name: str, *, up: bool, reason: str) -> None:
        if name not in self._up:
            return
        if up and name in self._told_down:
            _log.info("the watch is back", path=name)
            self._told_down.discard(name)
        elif not up and name not in self._told_down:
            _log.warning("the watch is interrupted", path=name, reason=reason)
            self._told_down.add(name)
        self._up[name] = up
        if all(self._up.values()):
            self.ready.set()
        else:
            self.ready.clear()


class _Backoffs:
    """Pauses between tries, without end: an API server that is away must not end the operator."""

    def __iter__(self) -> Iterator[float]:
        pause = 0.2
        while True:
            yield pause * (0.75 + random.random() / 2)  # noqa: S311  # spreads replicas, no secret
            pause = min(pause * 1.7, 5.0)


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no copy of the last configuration anywhere, and spares the comparison with it."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        pass


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    # A worker keeps its slot while it idles, so many workers need a short idling.
    settings.queueing.worker_limit = 200
    settings.queueing.idle_timeout = 0.1
    settings.queueing.exit_timeout = 1.0
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Backoffs()
    # Not our finalizer: kopf removes its own from objects when none of its handlers asks for one.
    settings.persistence.finalizer = f"{GROUP}/unused-by-kopf"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.process.ultimate_exiting_timeout = None
    return settings


async def watch(
    sink: EventSink,
    *,
    connection: Credentials,
    namespaces: Sequence[str] = (),
    stop: asyncio.Event,
    health: WatchHealth,
    on_signal: Callable[[], None] | None = None,
) -> None:
    """Feed every change of the five kinds (and of Namespaces, without `namespaces`) to `sink`, until `stop` is set.

    First hands on everything that exists and that the sink does not know, as events of type None. `on_signal` is
    called on SIGTERM and SIGINT: kopf takes both over when it starts, and they are taken back here. Raises
    WatchStopped if kopf ends by itself.
    """
    registry = build_registry(sink, namespaces=not namespaces)
    response = without_echoes(sink, _kinds(namespaces))
    sessions = _login(registry, connection, health, response)
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(),
        memo=kopf.Memo(),
        clusterwide=not namespaces,
        namespaces=namespaces,
    )
    _take_signals_back(on_signal)
    stopper = asyncio.create_task(stop.wait(), name="watch-stop")
    try:
        done, _ = await asyncio.wait({*tasks, stopper}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopper.cancel()
        await _end(tasks, sessions)
        health.ready.clear()
    if stopper not in done:
        failed = next((task for task in done if not task.cancelled() and task.exception()), None)
        error = failed.exception() if failed else None
        raise WatchStopped(
            f"watching the API server ended: {type(error).__name__ if error else 'no reason'}"
        ) from error


def _login(
    registry: kopf.OperatorRegistry,
    connection: Credentials,
    health: WatchHealth,
    response: type[aiohttp.ClientResponse],
) -> list[aiohttp.ClientSession]:
    """Have kopf get its sessions from us; they are in the list, to be closed at the end."""
    sessions: list[aiohttp.ClientSession] = []
    last = -_LOGIN_PAUSE

    async def login(**_: object) -> kopf.AiohttpSession:
        # kopf asks again whenever the server refused our token: the session renews it by itself, so only wait a little.
        nonlocal last
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, last + _LOGIN_PAUSE - loop.time()))
        last = loop.time()
        session = connection.session(connections=0, middlewares=[health], response_class=response)
        sessions[:] = [open_one for open_one in sessions if not open_one.closed] + [session]
        return kopf.AiohttpSession(
            server=connection.server, default_namespace=connection.namespace, aiohttp_session=session
        )

    kopf.on.login(registry=registry, id="login")(login)
    return sessions


def _take_signals_back(on_signal: Callable[[], None] | None) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        if on_signal is not None:
            loop.add_signal_handler(number, on_signal)


async def _end(tasks: Collection[asyncio.Task[None]], sessions: Collection[aiohttp.ClientSession]) -> None:
    # When one watcher fails, kopf leaves the others behind; they are known by their names alone.
    watchers = [task for task in asyncio.all_tasks() if task.get_name().startswith("watcher for ")]
    everything = {*tasks, *watchers}
    for task in everything:
        task.cancel()
    # Closed right after cancelling: later, a watcher that ends would leave its connection half closed.
    for session in sessions:
        await session.close()
    if everything:
        await asyncio.wait(everything)
    for task in everything:
        if not task.cancelled() and task.exception() is not None:
            _log.debug("a task of kopf's ended with an error", task=task.get_name())
