"""Connects the code that talks to the API server with the tests' real one."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from channel_operator.api.meta import API_VERSION, Kind
from channel_operator.core.model import Key
from channel_operator.kube.client import KubeClient, custom_path
from channel_operator.kube.login import Credentials

FINALIZERS = ("channel-operator.dev/cleanup",)


class Requests:
    """Counts calls to the API server."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()

    def kube_request(self, verb: str, code: str) -> None:
        self.seen[verb, code] += 1

    @property
    def total(self) -> int:
        return self.seen.total()


@asynccontextmanager
async def connected(kubeconfig: Path, requests: Requests | None = None) -> AsyncIterator[KubeClient]:
    """Open a client with the credentials of a kubeconfig."""
    client = KubeClient(await Credentials.load(kubeconfig=kubeconfig), requests)
    try:
        yield client
    finally:
        await client.close()


async def make_queue(client: KubeClient, namespace: str, name: str = "invoices") -> dict[str, Any]:
    """Create a Queue and return it as stored."""
    body = {
        "apiVersion": API_VERSION,
        "kind": "Queue",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"brokerRef": {"name": "main"}},
    }
    return await client.call("create", custom_path(Kind.QUEUE, namespace), body)


async def read_queue(client: KubeClient, namespace: str, name: str = "invoices") -> dict[str, Any]:
    """Read a Queue."""
    return await client.call("get", custom_path(Kind.QUEUE, namespace, name))


async def delete_queue(client: KubeClient, namespace: str, name: str = "invoices") -> None:
    """Delete a Queue."""
    await client.call("delete", custom_path(Kind.QUEUE, namespace, name))


def queue_key(namespace: str, name: str = "invoices") -> Key:
    """Return the key of a Queue."""
    return Key(Kind.QUEUE, namespace, name)


async def eventually(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Wait until a condition holds that another task or process brings about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in another process
            await asyncio.sleep(0.02)
