"""Takes secrets out of what is about to be logged. Decides what looks like a secret; never what is logged.

The second line of defence: the first is that secrets are `Secret` values and that nobody logs bodies.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from typing import Any

from channel_operator.core.model import Secret

__all__ = ["MASK", "Redactor"]

MASK = "***"
_KEYS = re.compile(
    r"passw|secret(?!s?$|_?name|_?ref)|token|authorization|private.?key|tls\.key|jaas|credential|cookie",
    re.IGNORECASE,
)
_IN_TEXT = (
    (re.compile(r"(\w+://[^\s:/@]*:)[^\s/@]+(?=@)"), rf"\1{MASK}"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9+/_=.~-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b(password|passwd|token)(=[\"']?|[\"']\s*:\s*[\"'])[^\s\"',;}]+"), rf"\1\2{MASK}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL), MASK),
)
_REMEMBERED = 1000
_SHORTEST = 6
"""Characters; a shorter secret would mask ordinary words."""
_DEPTH = 6


class Redactor:
    """A structlog processor; `remember` adds strings that must not appear whatever they look like."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def remember(self, secret: Secret | str) -> None:
        """Mask this string from now on. The newest thousand are kept."""
        text = secret.reveal() if isinstance(secret, Secret) else secret
        if len(text) < _SHORTEST:
            return
        self._known[text] = None
        self._known.move_to_end(text)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the log line without secrets."""
        for key, value in event.items():
            event[key] = self._clean(key, value, 0)
        return event

    def _clean(self, key: str, value: Any, depth: int) -> Any:
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, Secret | bytes) or _KEYS.search(key):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if depth >= _DEPTH:
            return self.text(repr(value))
        if isinstance(value, Mapping):
            return {str(name): self._clean(str(name), inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean("", inner, depth + 1) for inner in value]
        return self.text(str(value))

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for known in self._known:
            if known in text:
                text = text.replace(known, MASK)
        for pattern, replacement in _IN_TEXT:
            text = pattern.sub(replacement, text)
        return text
