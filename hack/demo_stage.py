"""What the demo says and how: one line a fact, one named line a promise; colours on a terminal only.

Decides the exit code: 0 only if every promise was shown.
"""

import textwrap
import time
from collections.abc import Callable

from pika.exceptions import AMQPError
from rich.console import Console
from rich.text import Text

from tests.harness.waiting import GaveUpError

__all__ = ["NotShownError", "Stage", "expect", "require"]

_WIDTH = 118
_INDENT = " " * 11


class NotShownError(Exception):
    """What a promise says could not be seen; the text is what was seen in its place."""


class Stage:
    """Where the demo happens."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._begin = time.monotonic()
        self.shown: list[int] = []
        self.missed: list[int] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._begin

    def begin(self) -> None:
        """Count the time from now on."""
        self._begin = time.monotonic()

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line as it is."""
        if self._console.is_terminal:
            self._console.print(Text(text, style=style))
        else:
            print(text, flush=True)

    def fact(self, word: str, text: str) -> None:
        """Print a fact behind a word in the left column, wrapped."""
        for number, piece in enumerate(textwrap.wrap(text, _WIDTH - len(_INDENT), break_on_hyphens=False)):
            self.line((f"{word:<11}" if number == 0 else _INDENT) + piece)

    def command(self, text: str, output: str) -> None:
        """Print a command and what it printed."""
        self.line(f"$ {text}", "cyan")
        for line in output.splitlines():
            self.line(f"  {line}")

    def promise(self, number: int, title: str, show: Callable[[], list[str]]) -> None:
        """Print the promise's line and, below it, what was seen of it."""
        try:
            seen = show()
        except (NotShownError, GaveUpError, AMQPError) as error:
            self.missed.append(number)
            self.line(f"promise {number}  {title}: NOT SHOWN", "bold red")
            for line in f"{type(error).__name__}: {error}".splitlines():
                self.line(_INDENT + line)
            return
        self.shown.append(number)
        self.line(f"promise {number}  {title}: shown", "bold green")
        for sentence in seen:
            self.fact("", sentence)

    def verdict(self) -> int:
        """Print how many promises were shown and return the exit code."""
        total = len(self.shown) + len(self.missed)
        self.line()
        self.line(f"{len(self.shown)} of {total} promises shown in {self.elapsed:.0f} s", "bold")
        return 1 if self.missed else 0


def expect(found: object, expected: object, what: str) -> None:
    """Raise NotShownError unless the two are equal."""
    if found != expected:
        raise NotShownError(f"{what}: expected {expected}, found {found}")


def require(found: object, what: str) -> None:
    """Raise NotShownError unless it is true."""
    if not found:
        raise NotShownError(f"not so: {what}")
