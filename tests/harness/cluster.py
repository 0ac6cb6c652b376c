"""The hands of a Kubernetes user in tests: apply, read, wait, delete, watch. Decides nothing about what is right."""

import base64
import itertools
import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.harness.kubeapi import ApiError, KubeApi, Object, resource_path
from tests.harness.waiting import TIMEOUT, wait_until
from tests.lab.kubernetes import ControlPlane

__all__ = ["Cluster", "condition", "documents", "is_ready", "settled_at"]

Manifest = str | Path | Mapping[str, Any]

_MERGE, _APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
_NOT_FOUND = 404
# Names stay unique in this process, so that tests which share a cluster never meet.
_numbers = itertools.count(1)


def documents(manifest: Manifest) -> list[Object]:
    """Return the objects of a YAML text, a YAML file or one object."""
    if isinstance(manifest, Mapping):
        return [dict(manifest)]
    text = manifest.read_text() if isinstance(manifest, Path) else manifest
    return [one for one in yaml.safe_load_all(text) if one]


def condition(found: Mapping[str, Any] | None, kind: str) -> Object | None:
    """Return one condition of an object, None if it is absent."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), None)


def settled_at(found: Mapping[str, Any]) -> bool:
    """Whether the status speaks of the present generation."""
    observed = (found.get("status") or {}).get("observedGeneration")
    return bool(observed == found["metadata"]["generation"])


def is_ready(found: Mapping[str, Any]) -> bool:
    """Whether the object is Ready at its present generation."""
    ready = condition(found, "Ready")
    return settled_at(found) and ready is not None and ready["status"] == "True"


class Cluster:
    """One cluster, as its administrator. `evidence` is told with every failure: the operator's last words."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane
        self.api = KubeApi(control_plane.kubeconfig)
        self.evidence: Callable[[], str] = lambda: ""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl; raise LabError with its complaint."""
        return self.control_plane.kubectl(*arguments, stdin=stdin)

    # -- writing -------------------------------------------------------------------------------------------------

    def apply(self, *manifests: Manifest, manager: str = "tests", force: bool = True) -> list[Object]:
        """Apply server-side, one after the other. Raises ApiError with what the API server says."""
        return [self._apply(one, manager, force=force) for manifest in manifests for one in documents(manifest)]

    def _apply(self, manifest: Object, manager: str, *, force: bool) -> Object:
        metadata = manifest["metadata"]
        path = resource_path(manifest["kind"], metadata.get("namespace"), metadata["name"])
        options = {"fieldManager": manager, "force": str(force).lower()}
        return self.api.request("PATCH", path, manifest, content_type=_APPLY, **options)

    def patch(self, kind: str, namespace: str | None, name: str, body: Mapping[str, Any]) -> Object:
        """Merge a patch."""
        return self.api.request("PATCH", resource_path(kind, namespace, name), body, content_type=_MERGE)

    def annotate(self, kind: str, namespace: str | None, name: str, annotations: Mapping[str, str | None]) -> Object:
        """Set annotations; None removes one."""
        return self.patch(kind, namespace, name, {"metadata": {"annotations": dict(annotations)}})

    def look_now(self, namespace: str, name: str, *, kind: str = "Broker") -> None:
        """Have the operator look at the object, and at a Broker's whole broker, again."""
        self.annotate(kind, namespace, name, {"channel-operator.dev/reconcile-at": f"look-{next(_numbers)}"})

    def delete(self, kind: str, namespace: str | None, name: str) -> None:
        """Ask for deletion; an object that is not there is fine."""
        try:
            self.api.request("DELETE", resource_path(kind, namespace, name))
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise

    def namespace(self, prefix: str = "test", labels: Mapping[str, str] | None = None) -> str:
        """Make a namespace that nothing else uses and return its name."""
        name = f"{prefix}-{next(_numbers)}"
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}})
        return name

    # -- reading -------------------------------------------------------------------------------------------------

    def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """Return an object, None if there is none."""
        try:
            return self.api.request("GET", resource_path(kind, namespace, name))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def objects(self, kind: str, namespace: str | None = None, **query: str) -> list[Object]:
        """Return all objects of a kind."""
        found = self.api.request("GET", resource_path(kind, namespace), **query)
        return [{"kind": kind, **one} for one in found["items"]]

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """Return a Secret's entries, decoded; KeyError if it is not there."""
        found = self.get("Secret", namespace, name)
        if found is None:
            raise KeyError(f"{namespace}/{name}")
        return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}

    def events(self, namespace: str, name: str) -> list[Object]:
        """Return the Events about an object, oldest first."""
        found = self.objects("Event", namespace, fieldSelector=f"involvedObject.name={name}")
        return sorted(found, key=lambda one: int(one["metadata"]["resourceVersion"]))

    # -- waiting -------------------------------------------------------------------------------------------------

    def wait_for(
        self,
        kind: str,
        namespace: str | None,
        name: str,
        predicate: Callable[[Object], Any],
        what: str,
        *,
        timeout: float = TIMEOUT,
    ) -> Object:
        """Wait until the object is there and `predicate` holds; return it. GaveUpError shows its status."""

        def look() -> Object | None:
            found = self.get(kind, namespace, name)
            return found if found is not None and predicate(found) else None

        where = f"{kind} {namespace}/{name}"
        return wait_until(
            look, f"{where} {what}", timeout=timeout, describe=lambda: self._describe(kind, namespace, name)
        )

    def wait_ready(self, kind: str, namespace: str, name: str, *, timeout: float = TIMEOUT) -> Object:
        """Wait until the object is Ready at its present generation."""
        return self.wait_for(kind, namespace, name, is_ready, "becomes Ready", timeout=timeout)

    def wait_reason(self, kind: str, namespace: str, name: str, reason: str, *, timeout: float = TIMEOUT) -> Object:
        """Wait until Ready speaks of the present generation and has this reason."""

        def says(found: Object) -> bool:
            return settled_at(found) and (condition(found, "Ready") or {}).get("reason") == reason

        return self.wait_for(kind, namespace, name, says, f"says {reason}", timeout=timeout)

    def wait_event(self, namespace: str, name: str, reason: str, *, timeout: float = TIMEOUT) -> Object:
        """Wait for an Event about an object and return it."""

        def look() -> Object | None:
            return next((one for one in self.events(namespace, name) if one["reason"] == reason), None)

        return wait_until(look, f"Event {reason} about {namespace}/{name}", timeout=timeout, describe=self.evidence)

    def wait_gone(self, kind: str, namespace: str | None, name: str, *, timeout: float = TIMEOUT) -> None:
        """Wait until there is no such object."""
        wait_until(
            lambda: self.get(kind, namespace, name) is None,
            f"{kind} {namespace}/{name} goes away",
            timeout=timeout,
            describe=lambda: self._describe(kind, namespace, name),
        )

    def wait_older(self, kind: str, namespace: str, name: str) -> None:
        """Wait until whatever is made next is younger: ages count in whole seconds, and within one the uid decides."""
        made = self.wait_for(kind, namespace, name, bool, "is there")["metadata"]["creationTimestamp"]
        wait_until(lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") > made, "the next second begins")

    def _describe(self, kind: str, namespace: str | None, name: str) -> str:
        found = self.get(kind, namespace, name)
        if found is None:
            return f"it is not there\n{self.evidence()}"
        shown = {"metadata": {**found["metadata"], "managedFields": None}, "status": found.get("status")}
        return f"{json.dumps(shown, indent=1)}\n{self.evidence()}"

    def record(self, *kinds: str) -> "Recording":
        """Watch these kinds from now on; see Recording."""
        return Recording(self.api, kinds)


class Recording:
    """Every version of every object of some kinds, as the watch brought it. Ends with `stop`."""

    def __init__(self, api: KubeApi, kinds: tuple[str, ...]) -> None:
        self._api = api
        self._versions: dict[tuple[str, str, str], list[Object]] = {}
        self._ended = threading.Event()
        self._threads = []
        for kind in kinds:
            path = resource_path(kind, None)
            since = api.request("GET", path, limit="1")["metadata"]["resourceVersion"]
            self._threads.append(threading.Thread(target=self._follow, args=(path, since), daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop watching; what was recorded stays."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def versions(self, kind: str, namespace: str, name: str) -> list[Object]:
        """Return the versions of one object, oldest first."""
        return list(self._versions.get((kind, namespace, name), ()))

    def _follow(self, path: str, since: str) -> None:
        while not self._ended.is_set():
            for event in self._api.watch(path, since, seconds=1):
                found = event["object"]
                since = found["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                metadata = found["metadata"]
                key = (found["kind"], metadata.get("namespace", ""), metadata["name"])
                self._versions.setdefault(key, []).append(found)
