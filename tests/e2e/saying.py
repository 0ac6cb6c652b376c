"""Holds what an object says against what a user should read. Shared by the tests of reasons."""

from channel_operator.api.reasons import Reason
from tests.harness.cluster import condition, settled_at
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.lab.binaries import kstatus

__all__ = ["says", "secret"]


def says(
    site: Site, kind: str, namespace: str, name: str, reason: Reason, message: str, *, on: str, stalled: bool = True
) -> Object:
    """Wait for a reason and hold everything a user and a GitOps tool see against it."""
    found = site.cluster.wait_reason(kind, namespace, name, str(reason))
    expected = ("False" if stalled else "Unknown", str(reason), message)
    for which in (on, "Ready"):
        shown = condition(found, which)
        assert shown is not None, which
        assert (shown["status"], shown["reason"], shown["message"]) == expected, which
    marker, other = ("Stalled", "Reconciling") if stalled else ("Reconciling", "Stalled")
    shown = condition(found, marker)
    assert shown is not None
    assert (shown["status"], shown["reason"], shown["message"]) == ("True", str(reason), message)
    assert condition(found, other) is None
    assert settled_at(found)
    assert kstatus([found])[0]["status"] == ("Failed" if stalled else "InProgress")
    return found


def secret(namespace: str, name: str, **entries: str) -> Object:
    """Return a Secret's manifest."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries}
