"""Finds annotations of ours that do nothing because of a typing error: nothing is ignored in silence.

Decides what is said of them. What a correct one does is decided where it is asked for.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from channel_operator.api import meta
from channel_operator.api.common import DeletionPolicy
from channel_operator.api.meta import CHANNEL_KINDS, GROUP, Kind
from channel_operator.core.view import Manifest, NamespaceInfo

__all__ = ["without_effect"]

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    meta.RECONCILE: ("Disabled",),
    meta.FORCE_RELEASE: ("true", "false"),
    meta.RECREATE: ("IfEmpty",),
}
_ANY_VALUE: Final = frozenset({meta.OWNED, meta.RECONCILE_AT})
_OF: Final[Mapping[str, frozenset[Kind]]] = {
    meta.RELEASE_BRAKE: frozenset({Kind.BROKER}),
    meta.ROTATE: frozenset({Kind.BROKER_USER}),
    meta.RECREATE: CHANNEL_KINDS,
}
"""Those that mean something to some kinds only."""
_SHOWN: Final = 40
"""Characters of a wrong value or key that are repeated."""


def without_effect(manifest: Manifest, namespace: NamespaceInfo | None) -> tuple[str, ...]:
    """Return a sentence for each annotation of ours, on the object or its namespace, that has no effect."""
    found = [*_own(manifest)]
    if manifest.key.kind in CHANNEL_KINDS and getattr(manifest.spec, "deletion_policy", None) is None:
        found += _of_namespace(namespace)
    return tuple(found)


def _own(manifest: Manifest) -> Iterator[str]:
    known = _WORDS.keys() | _ANY_VALUE | _OF.keys()
    for name, value in sorted(manifest.annotations.items()):
        if not name.startswith(f"{GROUP}/"):
            continue
        words, kinds = _WORDS.get(name), _OF.get(name)
        if name == meta.DELETION_POLICY:
            yield f"The annotation {name} belongs on the namespace; here it is spec.deletionPolicy."
        elif name not in known:
            yield f"There is no annotation {_cut(name)}."
        elif kinds is not None and manifest.key.kind not in kinds:
            yield f"The annotation {name} has no effect on a {manifest.key.kind}."
        elif words is not None and value not in words:
            yield f'The annotation {name}: "{_cut(value)}" has no effect; it takes {words[0]}.'


def _of_namespace(namespace: NamespaceInfo | None) -> Iterator[str]:
    value = namespace.annotations.get(meta.DELETION_POLICY) if namespace is not None else None
    if value is not None and value not in set(DeletionPolicy):
        yield (
            f'The annotation {meta.DELETION_POLICY}: "{_cut(value)}" of the namespace is none of '
            f"{', '.join(DeletionPolicy)}, so Retain holds."
        )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
