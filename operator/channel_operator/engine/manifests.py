"""Turns API server bodies into manifests: parsed once, stripped of what nobody needs. Decides nothing."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from channel_operator import api
from channel_operator.api.meta import GROUP, Kind
from channel_operator.api.status_reading import read_status
from channel_operator.core.model import Key
from channel_operator.core.view import Manifest, NamespaceInfo, References
from channel_operator.errors import InvalidManifest

__all__ = ["Fingerprint", "Known", "fingerprint", "key_of", "manifest_of", "namespace_of"]

Body = Mapping[str, Any]
Fingerprint = tuple[str, int, str | None, tuple[str, ...], tuple[tuple[str, str], ...]]


class Known(NamedTuple):
    """What the store knew at a moment."""

    uids: Mapping[Key, str]
    namespaces: frozenset[str]


def key_of(body: Body) -> Key:
    """Return the key of one of our objects."""
    meta = body["metadata"]
    return Key(Kind(body["kind"]), meta["namespace"], meta["name"])


def _own_annotations(meta: Body) -> dict[str, str]:
    return {k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith(GROUP + "/")}


def fingerprint(manifest: Manifest) -> Fingerprint:
    """Return what has to differ for a manifest to count as changed by somebody else than our status writer."""
    return (
        manifest.uid,
        manifest.generation,
        manifest.deleted,
        manifest.finalizers,
        tuple(sorted(manifest.annotations.items())),
    )


def _ref(value: Any, kind: Kind, namespace: str) -> Key | None:
    """Read a reference leniently: the rest of the spec may be unreadable."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return None
    other = value.get("namespace")
    return Key(kind, other if isinstance(other, str) and other else namespace, value["name"])


def _refs_in(lists: Any, namespace: str) -> list[Key]:
    found = [_ref(item, Kind.BROKER_USER, namespace) for item in lists] if isinstance(lists, list) else []
    return [key for key in found if key is not None]


def _references(spec: Body, kind: Kind, namespace: str) -> References:
    dead = spec.get("deadLetter")
    dead = dead if isinstance(dead, Mapping) else {}
    others = [
        *_refs_in(spec.get("producers"), namespace),
        *_refs_in(spec.get("consumers"), namespace),
        *_refs_in(dead.get("consumers"), namespace),
    ]
    target = _ref(dead.get("queueRef"), Kind.QUEUE, namespace)
    topic = _ref(spec.get("topicRef"), Kind.TOPIC, namespace)
    others += [key for key in (target, topic) if key is not None]
    stated = spec.get("username" if kind is Kind.BROKER_USER else "physicalName")
    authentication = spec.get("authentication")
    authentication = authentication if isinstance(authentication, Mapping) else {}
    return References(
        broker=_ref(spec.get("brokerRef"), Kind.BROKER, namespace) if kind is not Kind.SUBSCRIPTION else None,
        topic=topic if kind is Kind.SUBSCRIPTION else None,
        dead_letter=target,
        name=stated if isinstance(stated, str) and stated else None,
        by_certificate=kind is Kind.BROKER_USER and authentication.get("type") == "TLS",
        others=tuple(dict.fromkeys(others)),
    )


def manifest_of(body: Body, previous: Manifest | None = None) -> Manifest:
    """Parse a body; an unchanged spec (same uid and generation) is taken over from `previous`."""
    key = key_of(body)
    meta = body["metadata"]
    raw = body.get("spec")
    raw = raw if isinstance(raw, Mapping) else {}
    if previous is not None and previous.uid == meta["uid"] and previous.generation == meta["generation"]:
        spec, refs = previous.spec, previous.refs
    else:
        refs = _references(raw, key.kind, key.namespace)
        try:
            spec = api.parse(key.kind, raw)
        except InvalidManifest as error:
            spec = error
    return Manifest(
        key=key,
        uid=meta["uid"],
        generation=meta["generation"],
        created=meta["creationTimestamp"],
        resource_version=meta["resourceVersion"],
        spec=spec,
        refs=refs,
        status=read_status(key.kind, body.get("status")),
        annotations=_own_annotations(meta),
        finalizers=tuple(meta.get("finalizers") or ()),
        deleted=meta.get("deletionTimestamp"),
    )


def namespace_of(body: Body) -> NamespaceInfo:
    """Parse a Namespace body."""
    meta = body["metadata"]
    return NamespaceInfo(meta["name"], dict(meta.get("labels") or {}), _own_annotations(meta))
