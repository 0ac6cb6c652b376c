"""Which objects are known whole, and in which version: what an event of such a version says is known already.

Decides whether an event has to be taken in at all. Never does I/O.
"""

from channel_operator.api.meta import Kind

__all__ = ["Versions", "older"]


def older(version: str, than: str) -> bool:
    """Whether a resourceVersion is certainly older; versions that are not numbers are never called older."""
    return version.isdigit() and than.isdigit() and int(version) < int(than)


class Versions:
    """The resourceVersions of the objects whose every field is known as the API server has it in that version.

    A version that came from a write of ours counts only if nothing of somebody else's can have come between.
    """

    def __init__(self) -> None:
        self._whole: dict[str, set[str]] = {kind: set() for kind in Kind}

    def move(self, kind: Kind, before: str | None, after: str | None) -> None:
        """Note that an object went from one version to another; None: it was not there, or is not known whole."""
        if before is not None:
            self._whole[kind].discard(before)
        if after is not None:
            self._whole[kind].add(after)

    def knows(self, kind: str, version: str) -> bool:
        """Whether an object of this kind is known whole in this version. Versions are unique among those of a kind."""
        return version in self._whole.get(kind, ())
