"""Leaves out of what kopf reads the objects that the store knows already in the very same version.

Each event costs kopf half a millisecond and each object a record that stays, and most events are echoes of our own
writes; at a start all objects were listed a moment ago. Decides only what is left out, and when in doubt nothing is.
"""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp

from channel_operator.engine.ports import EventSink

__all__ = ["without_echoes"]

_VERSION: Final = re.compile(rb'"resourceVersion":"([^"]*)"')
_CHANGES: Final = (b'{"type":"ADDED"', b'{"type":"MODIFIED"')
"""How the API server begins a line; deletions, bookmarks and errors are always news."""
_OK: Final = 200


class _Lines:
    """The body of a watch response without the lines that say nothing new; all else is the reader's own."""

    def __init__(self, reader: aiohttp.StreamReader, sink: EventSink, kind: str) -> None:
        self._reader = reader
        self._sink = sink
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Give whole lines."""
        rest: list[bytes] = []
        async for data in self._reader.iter_chunked(size):
            head, newline, tail = data.rpartition(b"\n")
            if not newline:
                rest.append(data)
                continue
            lines = b"".join((*rest, head)).split(b"\n")
            rest = [tail]
            news = [line for line in lines if not self._is_known(line)]
            if news:
                yield b"\n".join((*news, b""))
        if any(rest):
            yield b"".join(rest)

    def _is_known(self, line: bytes) -> bool:
        if not line.startswith(_CHANGES):
            return False
        # Anybody may call a label or a field like that: then it is not clear which one is the object's.
        versions = _VERSION.findall(line)
        return len(versions) == 1 and self._sink.knows(self._kind, versions[0].decode())


def without_echoes(sink: EventSink, kinds: Mapping[str, str]) -> type[aiohttp.ClientResponse]:
    """Return the class of responses for kopf's session. `kinds`: path of a list or watch → kind of its objects."""

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            kind = kinds.get(self.url.path)
            if kind is not None and self.status == _OK and self.url.query.get("watch") == "true":
                self.content = _Lines(self.content, sink, kind)  # type: ignore[assignment]  # stands in for it
            return self

        async def json(self, **options: Any) -> Any:
            answer = await super().json(**options)
            kind = kinds.get(self.url.path)
            if kind is not None and self.status == _OK and isinstance(answer.get("items"), list):
                answer["items"] = [one for one in answer["items"] if not _is_listed(one, sink, kind)]
            return answer

    return Response


def _is_listed(body: Mapping[str, Any], sink: EventSink, kind: str) -> bool:
    return sink.knows(kind, body["metadata"]["resourceVersion"])
