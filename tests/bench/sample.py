"""What the operator wrote for one Queue and its two users, taken from a real run, to be written again N times.

So the raw limit sends requests of the same size and sort without knowing how the operator comes to them.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channel_operator.api.meta import Kind
from tests.bench.servers import custom_path, path
from tests.bench.stage import Stage
from tests.bench.work import QUEUES_PER_PAIR, Workload

__all__ = ["Sample", "take"]

_SECTIONS = ("queues", "exchanges", "bindings")


@dataclass(frozen=True, slots=True)
class Sample:
    """JSON texts of the workload `prefix`, pair 0; the methods return them for another workload and number."""

    prefix: str
    texts: Mapping[str, str]

    def claim(self, work: Workload, number: int) -> dict[str, Any]:
        """Return finalizers and annotations as the operator's first patch sets them."""
        found: dict[str, Any] = self._of("claim", work, number)
        return found

    def queue_status(self, work: Workload, number: int) -> dict[str, Any]:
        """Return the status of a Ready Queue."""
        found: dict[str, Any] = self._of("queue", work, number)
        return found

    def native(self, work: Workload, number: int) -> dict[str, list[dict[str, Any]]]:
        """Return what is declared at the broker for one Queue, in the form of a definitions document."""
        found: dict[str, list[dict[str, Any]]] = self._of("native", work, number)
        return found

    def user_status(self, work: Workload, user: str) -> dict[str, Any]:
        """Return the status of a user with all its grants."""
        found: dict[str, Any] = self._of(f"status-{user[0]}", work, int(user[2:]) * QUEUES_PER_PAIR)
        return found

    def channels(self, work: Workload, user: str) -> str:
        """Return the entry channels.json of a user's binding Secret."""
        found: str = self._of(f"channels-{user[0]}", work, int(user[2:]) * QUEUES_PER_PAIR)
        return found

    def _of(self, text: str, work: Workload, number: int) -> Any:
        pair = number // QUEUES_PER_PAIR

        def renamed(match: re.Match[str]) -> str:
            if match[1] is None:
                return work.name
            return f"q-{number + int(match[2]):04d}" if match[1] == "q" else f"{match[1]}-{pair:04d}"

        return json.loads(re.sub(rf"{self.prefix}|\b([qpc])-(\d{{4}})", renamed, self.texts[text]))


async def take(stage: Stage, work: Workload) -> Sample:
    """Read what the operator made of the first pair's Queues, all of them Ready."""
    native = await stage.broker.definitions(work.name)
    queue = await stage.kube.call("GET", custom_path(Kind.QUEUE, work.name, "q-0000"))
    mine = (f"{work.name}.q-0000", f"{work.name}.q-0000_in")
    meta = queue["metadata"]
    found: dict[str, Any] = {
        "claim": {"finalizers": meta["finalizers"], "annotations": meta["annotations"]},
        "queue": queue["status"],
        "native": {
            section: [
                {k: v for k, v in entry.items() if k != "vhost"}
                for entry in native[section]
                if mine[0] in {entry.get("name"), entry.get("destination")} or entry.get("name") == mine[1]
            ]
            for section in _SECTIONS
        },
    }
    for role in "pc":
        user = await stage.kube.call("GET", custom_path(Kind.BROKER_USER, work.name, f"{role}-0000"))
        secret = await stage.kube.call("GET", path("api/v1", work.name, "secrets", f"{role}-0000-binding"))
        found[f"status-{role}"] = user["status"]
        found[f"channels-{role}"] = base64.b64decode(secret["data"]["channels.json"]).decode()
    return Sample(work.name, {name: json.dumps(value) for name, value in found.items()})
