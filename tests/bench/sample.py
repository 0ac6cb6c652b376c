"""What the operator wrote for one channel of each kind and its users, taken from a real run, to be written again.

So the raw limit sends requests of the same size and sort without knowing how the operator comes to them.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channel_operator.api.meta import Kind
from tests.bench.servers import MERGE_PATCH, custom_path, path
from tests.bench.stage import Stage
from tests.bench.watching import Watch, ready_at
from tests.bench.work import Workload, kind_of

__all__ = ["TTL", "Sample", "take", "take_policy"]

TTL = "1h"
"""The setting that is changed: a new time to live comes by a policy."""
_SECTIONS = ("queues", "exchanges", "bindings")


@dataclass(frozen=True, slots=True)
class Sample:
    """JSON texts of the first objects of the workload `prefix`; the methods return them for another object."""

    prefix: str
    texts: Mapping[str, str]

    def claim(self, work: Workload, name: str) -> dict[str, Any]:
        """Return finalizers and annotations as the operator's first patch sets them."""
        found: dict[str, Any] = self._of("claim", work, name)
        return found

    def status(self, work: Workload, name: str) -> dict[str, Any]:
        """Return the status of a Ready channel, or that of a user with all its grants."""
        found: dict[str, Any] = self._of("status", work, name)
        return found

    def native(self, work: Workload, name: str) -> dict[str, list[dict[str, Any]]]:
        """Return what is declared at the broker for one channel, in the form of a definitions document."""
        found: dict[str, list[dict[str, Any]]] = self._of("native", work, name)
        return found

    def policy(self, work: Workload, name: str) -> dict[str, Any]:
        """Return the policy that gives a Queue another time to live."""
        found: dict[str, Any] = self._of("policy", work, name)
        return found

    def channels(self, work: Workload, user: str) -> str:
        """Return the entry channels.json of a user's binding Secret."""
        found: str = self._of("channels", work, user)
        return found

    def _of(self, what: str, work: Workload, name: str) -> Any:
        shift = work.shift(name)

        def renamed(match: re.Match[str]) -> str:
            if match[1] is None:
                return work.name
            return f"{match[1]}-{int(match[2]) + shift[match[1]]:04d}"

        return json.loads(re.sub(rf"{self.prefix}|\b([qtspc])-(\d{{4}})", renamed, self.texts[f"{what}-{name[0]}"]))


async def take(stage: Stage, work: Workload) -> Sample:
    """Read what the operator made of the first group's channels, all of them Ready."""
    found: dict[str, Any] = {}
    firsts = {name[0]: name for name in reversed(work.names)}
    definitions = await stage.broker.definitions(work.name)
    for letter, name in firsts.items():
        body = await stage.kube.call("GET", custom_path(kind_of(name), work.name, name))
        meta = body["metadata"]
        found[f"claim-{letter}"] = {"finalizers": meta["finalizers"], "annotations": meta["annotations"]}
        found[f"status-{letter}"] = body["status"]
        mine = {f"{work.name}.{name}", f"{work.name}.{name}_in"}
        found[f"native-{letter}"] = {
            section: [
                {k: v for k, v in entry.items() if k != "vhost"}
                for entry in definitions[section]
                if not mine.isdisjoint({entry.get("name"), entry.get("destination")})
            ]
            for section in _SECTIONS
        }
    for letter in "pc":
        user = await stage.kube.call("GET", custom_path(Kind.BROKER_USER, work.name, f"{letter}-0000"))
        secret = await stage.kube.call("GET", path("api/v1", work.name, "secrets", f"{letter}-0000-binding"))
        found[f"status-{letter}"] = user["status"]
        found[f"channels-{letter}"] = base64.b64decode(secret["data"]["channels.json"]).decode()
    return Sample(work.name, {name: json.dumps(value) for name, value in found.items()})


async def take_policy(stage: Stage, work: Workload, sample: Sample) -> Sample:
    """Change the first Queue's time to live, read the policy that the operator makes of it, and add it."""
    name = work.names[0]
    url_path = custom_path(Kind.QUEUE, work.name, name)
    async with Watch(stage.kube, Kind.QUEUE, work.name) as queues:
        patch = {"spec": {"messageTTL": TTL}}
        body = await stage.kube.call("PATCH", url_path, patch, content_type=MERGE_PATCH)
        await queues.until([name], ready_at(body["metadata"]["generation"]))
    policies = await stage.broker.call("GET", "policies", work.name)
    policy = {k: v for k, v in policies[0].items() if k != "vhost"}
    return Sample(sample.prefix, {**sample.texts, "policy-q": json.dumps(policy)})
