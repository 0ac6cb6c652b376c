"""A binding Secret as an application meets it: entries, or a folder as a pod would mount it. Decides nothing."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until

__all__ = ["BindingFolder", "wait_binding"]


def wait_binding(cluster: Cluster, namespace: str, user: str, *, channels: int = 0) -> dict[str, str]:
    """Return the entries of a BrokerUser's binding Secret as soon as it is there and names so many channels."""

    def look() -> dict[str, str] | None:
        try:
            found = cluster.secret(namespace, f"{user}-binding")
        except KeyError:
            return None
        return found if len(json.loads(found["channels.json"])) >= channels else None

    what = f"Secret {namespace}/{user}-binding with {channels} channels"
    return wait_until(look, what, describe=cluster.evidence)


class BindingFolder:
    """One file per entry, readable by the owner alone."""

    def __init__(self, path: Path, entries: Mapping[str, str]) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        for name, value in entries.items():
            file = path / name
            file.touch(0o600)
            file.write_text(value)

    @classmethod
    def of(cls, cluster: Cluster, namespace: str, user: str, path: Path, *, channels: int = 1) -> "BindingFolder":
        """Write the binding Secret of a BrokerUser, once it is there and names so many channels."""
        return cls(path, wait_binding(cluster, namespace, user, channels=channels))
