"""Events on a real API server: told once, counted up, and never in anybody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from yarl import URL

from channel_operator.api.reasons import EventReason
from channel_operator.engine.clock import SystemClock
from channel_operator.kube import events as events_module
from channel_operator.kube.client import KubeClient
from channel_operator.kube.events import EventPoster
from tests.kube.conftest import Kube
from tests.kube.connected import Requests, connected, eventually, make_queue, queue_key
from tests.lab.proxy import FaultProxy


@asynccontextmanager
async def posting(client: KubeClient) -> AsyncIterator[EventPoster]:
    poster = EventPoster(client, SystemClock(), instance="replica-1")
    task = asyncio.create_task(poster.run())
    yield poster
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def events(kube: Kube, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kube.get("events", "-n", namespace)["items"]
    return found


def tell(
    poster: EventPoster, namespace: str, uid: str, message: str, reason: EventReason = EventReason.CREATED
) -> None:
    poster.post(queue_key(namespace), uid, reason=reason, message=message, warning=False)


async def test_an_event_shows_on_its_object(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client, posting(client) as poster:
        uid = (await make_queue(client, namespace))["metadata"]["uid"]
        poster.post(queue_key(namespace), uid, reason=EventReason.GRANT_MISSING, message="No such user.", warning=True)
        await eventually(lambda: bool(events(kube, namespace)))
        (event,) = events(kube, namespace)
        assert (event["type"], event["reason"], event["message"]) == ("Warning", "GrantMissing", "No such user.")
        assert event["source"]["component"] == "channel-operator"
        assert event["involvedObject"]["uid"] == uid
        described = kube.kubectl("describe", "queues.channel-operator.dev", "invoices", "-n", namespace).stdout
        assert "No such user." in described


async def test_a_repeat_raises_the_count_of_one_event(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client, posting(client) as poster:
        uid = (await make_queue(client, namespace))["metadata"]["uid"]
        for _ in range(3):
            tell(poster, namespace, uid, "Changed.")
        await eventually(lambda: [e["count"] for e in events(kube, namespace)] == [3])
        tell(poster, namespace, uid, "Changed.")
        await eventually(lambda: [e["count"] for e in events(kube, namespace)] == [4])
        tell(poster, namespace, uid, "Changed again.")
        await eventually(lambda: len(events(kube, namespace)) == 2)


async def test_a_very_long_message_is_cut_and_still_told(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client, posting(client) as poster:
        uid = (await make_queue(client, namespace))["metadata"]["uid"]
        tell(poster, namespace, uid, "ö" * 2000)
        await eventually(lambda: bool(events(kube, namespace)))
        assert events(kube, namespace)[0]["message"].endswith("ö…")


async def test_one_object_cannot_flood_the_others(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client, posting(client) as poster:
        uid = (await make_queue(client, namespace))["metadata"]["uid"]
        for number in range(200):
            tell(poster, namespace, uid, f"Change {number}.")
        tell(poster, namespace, "another-uid", "Mine.")
        await eventually(lambda: any(e["message"] == "Mine." for e in events(kube, namespace)))
        assert len(events(kube, namespace)) == events_module._PER_OBJECT + 1


async def test_what_is_told_while_the_api_server_is_away_is_posted_when_it_is_back(
    kube: Kube, namespace: str, tmp_path: Path
) -> None:
    requests = Requests()
    config = yaml.safe_load(kube.kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    server = URL(cluster["server"])
    with FaultProxy(str(server.host), int(server.port or 0)) as proxy:
        cluster["server"] = str(server.with_port(proxy.port))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config))
        async with connected(kubeconfig, requests) as client, posting(client) as poster:
            uid = (await make_queue(client, namespace))["metadata"]["uid"]
            proxy.refuse()
            proxy.cut()
            before = requests.seen["create", "error"]
            tell(poster, namespace, uid, "Told while nobody listened.")
            await eventually(lambda: requests.seen["create", "error"] > before)  # it is tried
            await eventually(lambda: bool(poster._waiting))  # and waits again
            for number in range(5000):
                tell(poster, namespace, f"uid-{number}", "Created.")
            assert len(poster._waiting) <= events_module._WAITING
            proxy.forward()
            await eventually(
                lambda: "Told while nobody listened." in {event["message"] for event in events(kube, namespace)}
            )


async def test_what_an_api_server_forbids_that_has_just_started_is_posted_once_it_knows_its_roles(
    kube: Kube, namespace: str, tmp_path: Path
) -> None:
    requests = Requests()
    with FaultProxy("127.0.0.1", kube.control_plane.port) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        account = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig", url=url)
        async with connected(account, requests) as client, posting(client) as poster:
            proxy.refuse()
            tell(poster, namespace, "uid", "Told while nobody listened.")
            await eventually(lambda: requests.seen["create", "error"] > 0)
            proxy.forward()
            await eventually(lambda: requests.seen["create", "403"] > 0)
            role = ("--clusterrole=cluster-admin", f"--serviceaccount={namespace}:default")
            kube.kubectl("create", "rolebinding", "all", "-n", namespace, *role)
            await eventually(lambda: bool(events(kube, namespace)))


async def test_what_waits_is_posted_on_a_clean_exit(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        poster = EventPoster(client, SystemClock(), instance="replica-1")
        uid = (await make_queue(client, namespace))["metadata"]["uid"]
        tell(poster, namespace, uid, "Last words.", EventReason.DELETED)
        await poster.flush(5.0)
        assert [event["reason"] for event in events(kube, namespace)] == ["Deleted"]
