"""Watching a real API server through kopf: what arrives, what survives an outage, what is left alone."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from channel_operator.engine.ports import Body
from channel_operator.kube.login import Credentials
from channel_operator.kube.runtime import WatchHealth, WatchStopped, watch
from tests.kube.conftest import Kube
from tests.kube.connected import Requests, connected, delete_queue, eventually, make_queue
from tests.lab.proxy import FaultProxy

Seen = tuple[str | None, str, str]


class Sink:
    """Keeps (type, kind, namespace/name) of what arrives."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.knows_queues = False
        self.failures = 0

    def knows(self, kind: str, version: str) -> bool:
        return self.knows_queues and kind == "Queue" and version.isdigit()

    def event(self, type: str | None, body: Body) -> None:  # noqa: A002 - as in the protocol
        if self.failures:
            self.failures -= 1
            raise RuntimeError("a bug")
        meta = body["metadata"]
        self.seen.append((type, body["kind"], f"{meta.get('namespace', '')}/{meta['name']}"))

    def of(self, namespace: str) -> list[Seen]:
        """Return what concerns one namespace, in order."""
        return [seen for seen in self.seen if namespace in seen[2]]


class Watching:
    def __init__(self, namespaces: Sequence[str], *, knows_queues: bool = False) -> None:
        self.sink = Sink()
        self.sink.knows_queues = knows_queues
        self.stop = asyncio.Event()
        self.requests = Requests()
        self.health = WatchHealth(namespaces, self.requests)
        self.signals: list[bool] = []


@asynccontextmanager
async def watching(kubeconfig: Path, *namespaces: str, knows_queues: bool = False) -> AsyncIterator[Watching]:
    one = Watching(namespaces, knows_queues=knows_queues)
    task = asyncio.create_task(
        watch(
            one.sink,
            connection=await Credentials.load(kubeconfig=kubeconfig),
            namespaces=namespaces,
            stop=one.stop,
            health=one.health,
            on_signal=lambda: one.signals.append(True),
        )
    )
    await eventually(one.health.ready.is_set)
    yield one
    one.stop.set()
    await asyncio.wait_for(task, 20)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(number)


async def test_what_exists_comes_first_and_every_change_after_it(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        await make_queue(client, namespace, "old")
        async with watching(kube.kubeconfig) as one:
            old, new = f"{namespace}/old", f"{namespace}/new"
            await eventually(lambda: (None, "Queue", old) in one.sink.seen)
            await make_queue(client, namespace, "new")
            kube.kubectl("annotate", "queues.channel-operator.dev", "new", "-n", namespace, "by=somebody")
            await delete_queue(client, namespace, "new")
            await eventually(lambda: ("DELETED", "Queue", new) in one.sink.seen)
            about_new = [kind for kind, _, name in one.sink.seen if name == new]
            assert about_new == ["ADDED", "MODIFIED", "DELETED"]
            assert (None, "Namespace", f"/{namespace}") in one.sink.seen
            kube.kubectl("label", "namespace", namespace, "team=shop")
            await eventually(lambda: ("MODIFIED", "Namespace", f"/{namespace}") in one.sink.seen)


async def test_what_is_known_does_not_come_again(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        await make_queue(client, namespace, "listed")
        async with watching(kube.kubeconfig, knows_queues=True) as one:
            await eventually(lambda: (None, "Namespace", f"/{namespace}") in one.sink.seen)
            await make_queue(client, namespace, "known")
            kube.kubectl("annotate", "queues.channel-operator.dev", "known", "-n", namespace, "by=somebody")
            await delete_queue(client, namespace, "known")
            await eventually(lambda: ("DELETED", "Queue", f"{namespace}/known") in one.sink.seen)
            one.sink.knows_queues = False
            kube.kubectl("annotate", "queues.channel-operator.dev", "listed", "-n", namespace, "by=somebody")
            await eventually(lambda: ("MODIFIED", "Queue", f"{namespace}/listed") in one.sink.seen)
            assert [seen for seen in one.sink.of(namespace) if seen[1] == "Queue"] == [
                ("DELETED", "Queue", f"{namespace}/known"),
                ("MODIFIED", "Queue", f"{namespace}/listed"),
            ]


async def test_a_label_that_is_called_like_the_version_hides_no_change(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client, watching(kube.kubeconfig, knows_queues=True) as one:
        await make_queue(client, namespace)
        kube.kubectl("label", "queues.channel-operator.dev", "invoices", "-n", namespace, "resourceVersion=1")
        await eventually(lambda: ("MODIFIED", "Queue", f"{namespace}/invoices") in one.sink.seen)


async def test_watching_writes_nothing(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client, watching(kube.kubeconfig) as one:
        made = await make_queue(client, namespace)
        await eventually(lambda: bool(one.sink.of(namespace)))
        await make_queue(client, namespace, "later")  # what kopf might do to the first would be done by now
        await eventually(lambda: ("ADDED", "Queue", f"{namespace}/later") in one.sink.seen)
        stored = kube.get("queues.channel-operator.dev", "invoices", "-n", namespace)
        assert stored["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert {verb for verb, _ in one.requests.seen} <= {"get", "list", "watch"}


async def test_listed_namespaces_are_watched_and_no_others(kube: Kube, namespace: str) -> None:
    other = kube.namespace()
    async with connected(kube.kubeconfig) as client, watching(kube.kubeconfig, namespace) as one:
        await make_queue(client, other)
        await make_queue(client, namespace)
        await eventually(lambda: ("ADDED", "Queue", f"{namespace}/invoices") in one.sink.seen)
        assert {name for _, _, name in one.sink.seen} == {f"{namespace}/invoices"}


async def test_an_outage_is_known_and_what_was_missed_arrives_afterwards(
    kube: Kube, namespace: str, tmp_path: Path
) -> None:
    with FaultProxy("127.0.0.1", kube.control_plane.port) as proxy:
        binding = ("--clusterrole=cluster-admin", f"--serviceaccount={namespace}:default")
        kube.kubectl("create", "clusterrolebinding", f"{namespace}-admin", *binding)
        url = f"https://127.0.0.1:{proxy.port}"
        account = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig", url=url)
        async with connected(kube.kubeconfig) as client, watching(account) as one:
            proxy.refuse()
            proxy.cut()
            await eventually(lambda: not one.health.ready.is_set())
            assert any("/queues" in path for path in one.health.down)
            await make_queue(client, namespace, "missed")
            proxy.forward()
            await eventually(one.health.ready.is_set)
            await eventually(lambda: any(name == f"{namespace}/missed" for _, _, name in one.sink.seen))


async def test_missing_rights_end_nothing_and_are_not_ready(kube: Kube, namespace: str, tmp_path: Path) -> None:
    account = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig")
    one = Watching([namespace])
    credentials = await Credentials.load(kubeconfig=account)
    task = asyncio.create_task(
        watch(one.sink, connection=credentials, namespaces=[namespace], stop=one.stop, health=one.health)
    )
    await eventually(lambda: one.requests.seen["list", "403"] >= 5)
    assert not task.done()
    assert not one.health.ready.is_set()
    assert len(one.health.down) == 5
    role = ("--clusterrole=cluster-admin", f"--serviceaccount={namespace}:default")
    kube.kubectl("create", "rolebinding", "all", "-n", namespace, *role)
    await eventually(one.health.ready.is_set)
    one.stop.set()
    await asyncio.wait_for(task, 20)


class _Broken(WatchHealth):
    """Breaks the last watch request in a way nobody foresaw."""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.url.query.get("watch") == "true" and request.url.path.endswith("/queues"):
            await eventually(lambda: len(self.down) == 1)
            raise ValueError("nobody foresaw this")
        return await super().__call__(request, handler)


async def test_watching_that_ends_by_itself_is_an_error(kube: Kube) -> None:
    credentials = await Credentials.load(kubeconfig=kube.kubeconfig)
    with pytest.raises(WatchStopped, match="watching the API server ended: ValueError"):
        await watch(Sink(), connection=credentials, stop=asyncio.Event(), health=_Broken())


async def test_a_sink_that_fails_once_hears_of_the_next_change(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client, watching(kube.kubeconfig) as one:
        one.sink.failures = 1
        await make_queue(client, namespace, "first")
        await eventually(lambda: one.sink.failures == 0)
        await make_queue(client, namespace, "second")
        await eventually(lambda: ("ADDED", "Queue", f"{namespace}/second") in one.sink.seen)


async def test_our_own_tasks_and_signals_stay_ours(kube: Kube) -> None:
    started = asyncio.Event()

    async def ours() -> None:
        started.set()
        await asyncio.get_running_loop().create_future()

    async with watching(kube.kubeconfig) as one:
        late = asyncio.create_task(ours())
        await started.wait()
        signal.raise_signal(signal.SIGTERM)
        await eventually(lambda: bool(one.signals))
        assert one.health.ready.is_set()  # the signal is for us to act on; watching goes on until told
    assert not late.done()
    late.cancel()
