"""`python -m channel_operator.smoke`: shows that an installation works; what `helm test` runs.

Makes a throwaway BrokerUser and Queue on a Broker, sends one message with the issued credentials over TLS, receives it,
and deletes both. Decides its exit code and one line. Never touches objects that a run of it did not make.
"""

import argparse
import asyncio
import json
import logging
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from channel_operator.api.meta import API_VERSION, Kind
from channel_operator.api.values import seconds
from channel_operator.brokers.registry import round_trip
from channel_operator.engine.ports import Conflict, Gone
from channel_operator.errors import OperatorError, Retry
from channel_operator.kube.client import KubeClient, custom_path
from channel_operator.kube.login import Credentials, LoginError
from channel_operator.kube.secrets import KubeSecrets

__all__ = ["SmokeTest", "main"]

_LABELS = {"app.kubernetes.io/managed-by": "channel-operator-smoke"}
_PAUSE = 0.5
_SECONDS = 20.0
"""How long the broker may take for each step of the message's way."""
_KINDS = (Kind.QUEUE, Kind.BROKER_USER)
"""In the order of deletion."""

_T = TypeVar("_T")


class SmokeTest:
    """One run: two objects named `name` in a namespace that the Broker admits."""

    def __init__(self, client: KubeClient, *, broker: tuple[str, str], namespace: str, name: str) -> None:
        self._client = client
        self._broker = broker
        self._namespace = namespace
        self._name = name
        self.waiting = "an answer"
        """What is waited for, for the message when time is up."""

    async def show(self) -> None:
        """Make both objects, and send and receive a message. Raises OperatorError; `clear` is still to be called."""
        ref = {"namespace": self._broker[0], "name": self._broker[1]}
        me = [{"name": self._name}]
        await self._make(Kind.BROKER_USER, {"brokerRef": ref})
        queue = {"brokerRef": ref, "deletionPolicy": "Delete", "producers": me, "consumers": me}
        await self._make(Kind.QUEUE, queue)
        for kind in reversed(_KINDS):
            await self._ready(kind)
        binding = await self._binding()
        self.waiting = "the message to come back"
        await asyncio.to_thread(round_trip, binding, f"smoke test {secrets.token_hex(8)}", _SECONDS)

    async def clear(self) -> None:
        """Delete what this or an earlier run left. Raises OperatorError for an object that no run of this made."""
        self.waiting = "an answer"
        for kind in _KINDS:
            found = await self._get(kind)
            if found is None:
                continue
            if not _LABELS.items() <= (found["metadata"].get("labels") or {}).items():
                raise OperatorError(f"{self._told(kind)} exists and was not made by this test; choose another name")
            await self._delete(kind)
        for kind in _KINDS:
            self.waiting = f"{self._told(kind)} to be gone; see what its condition Ready says"
            while await self._get(kind) is not None:  # noqa: ASYNC110  # it happens in another process
                await asyncio.sleep(_PAUSE)

    async def _make(self, kind: Kind, spec: dict[str, Any]) -> None:
        metadata = {"name": self._name, "namespace": self._namespace, "labels": _LABELS}
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

        async def create() -> None:
            with suppress(Conflict):  # an attempt without an answer made it: nothing was there before
                await self._client.call("create", custom_path(kind, self._namespace), body)

        await self._until_answered(create, f"{self._told(kind)} to be made")

    async def _delete(self, kind: Kind) -> None:
        async def delete() -> None:
            with suppress(Gone):
                await self._client.call("delete", custom_path(kind, self._namespace, self._name))

        await self._until_answered(delete, f"{self._told(kind)} to be deleted")

    async def _get(self, kind: Kind) -> dict[str, Any] | None:
        async def read() -> dict[str, Any] | None:
            with suppress(Gone):
                return await self._client.call("get", custom_path(kind, self._namespace, self._name))
            return None

        return await self._until_answered(read, self.waiting)

    async def _ready(self, kind: Kind) -> None:
        """Wait until it is Ready; OperatorError at once where only a person can help."""
        while True:
            found = await self._get(kind) or {}
            conditions = _conditions(found)
            told = f"{self._told(kind)}: {conditions.get('Ready', {}).get('message') or 'no status yet'}"
            if conditions.get("Ready", {}).get("status") == "True":
                return
            if conditions.get("Stalled", {}).get("status") == "True":
                raise OperatorError(told)
            self.waiting = f"{self._told(kind)} to be Ready; {told}"
            await asyncio.sleep(_PAUSE)

    async def _binding(self) -> dict[str, str]:
        """Read the binding Secret once it names the queue for both roles."""
        name = f"{self._name}-binding"
        store = KubeSecrets(self._client)
        while True:
            self.waiting = f"Secret {self._namespace}/{name} to name the queue"
            found = await self._until_answered(lambda: store.read_secret(self._namespace, name), self.waiting)
            entries = {} if found is None else {key: value.reveal() for key, value in found.data.items()}
            roles = {one["role"] for one in json.loads(entries.get("channels.json", "[]"))}
            if {"Producer", "Consumer"} <= roles:
                return entries
            await asyncio.sleep(_PAUSE)

    async def _until_answered(self, call: Callable[[], Awaitable[_T]], waiting: str) -> _T:
        """Repeat a call that fails for the moment: an API server may be restarting, a right may be new."""
        while True:
            try:
                answer = await call()
            except Retry as error:
                self.waiting = f"{waiting}; {error}"
                await asyncio.sleep(_PAUSE)
            else:
                self.waiting = waiting
                return answer

    def _told(self, kind: Kind) -> str:
        return f"{kind} {self._namespace}/{self._name}"


def _conditions(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the conditions by type, none while the status speaks of another generation."""
    status = found.get("status") or {}
    if status.get("observedGeneration") != found.get("metadata", {}).get("generation"):
        return {}
    return {one["type"]: one for one in status.get("conditions") or ()}


async def _run(options: argparse.Namespace) -> list[str]:
    """Run it and clean up in any case; return what failed."""
    client = KubeClient(await Credentials.load())
    test = SmokeTest(client, broker=options.broker, namespace=options.namespace, name=options.name)

    async def failure(step: Callable[[], Awaitable[None]]) -> list[str]:
        try:
            async with asyncio.timeout(options.timeout):
                await step()
        except TimeoutError:
            return [f"{options.timeout:.0f} s were not enough for {test.waiting}"]
        except OperatorError as error:
            return [str(error)]
        return []

    try:
        # What another run left goes first; where that fails, nothing was made.
        return await failure(test.clear) or [*await failure(test.show), *await failure(test.clear)]
    finally:
        await client.close()


def _broker(text: str) -> tuple[str, str]:
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not namespace/name")
    return namespace, name


def main(arguments: Sequence[str]) -> int:
    """Return 0 when the message came back and nothing is left, 1 when not, 2 for arguments that cannot be used."""
    parser = argparse.ArgumentParser(prog="channel_operator.smoke", description=__doc__, allow_abbrev=False)
    parser.add_argument("--broker", type=_broker, required=True, metavar="NAMESPACE/NAME", help="the Broker to test")
    parser.add_argument("--namespace", required=True, help="where the objects are made; the Broker must admit it")
    parser.add_argument("--name", default="channel-operator-test", help="their name (default %(default)s)")
    parser.add_argument("--timeout", type=seconds, default="2m", help="for the test, and for cleaning up (default 2m)")
    options = parser.parse_args(arguments)
    logging.disable()  # the AMQP client tells at length what the one line below says
    begun = time.monotonic()
    where = f"Broker {'/'.join(options.broker)}, user and queue {options.namespace}/{options.name}"
    try:
        failures = asyncio.run(_run(options))
    except LoginError as error:
        failures = [str(error)]
    if failures:
        print(f"failed: {where}: {'; '.join(failures)}", file=sys.stderr)  # noqa: T201  # the one line
        return 1
    took = time.monotonic() - begun
    print(f"ok: {where}: one message went and came back over TLS; cleaned up; {took:.1f} s")  # noqa: T201  # the one line
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
