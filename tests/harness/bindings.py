"""A binding Secret as an application meets it: entries, or a folder as a pod would mount it. Decides nothing."""

from collections.abc import Mapping
from pathlib import Path

from tests.harness.cluster import Cluster
from tests.harness.waiting import wait_until

__all__ = ["BindingFolder", "wait_binding"]


def wait_binding(cluster: Cluster, namespace: str, user: str) -> dict[str, str]:
    """Return the entries of a BrokerUser's binding Secret as soon as it is there."""

    def look() -> dict[str, str] | None:
        try:
            return cluster.secret(namespace, f"{user}-binding")
        except KeyError:
            return None

    return wait_until(look, f"Secret {namespace}/{user}-binding appears", describe=cluster.evidence)


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
    def of(cls, cluster: Cluster, namespace: str, user: str, path: Path) -> "BindingFolder":
        """Write the binding Secret of a BrokerUser, once it is there."""
        return cls(path, wait_binding(cluster, namespace, user))
