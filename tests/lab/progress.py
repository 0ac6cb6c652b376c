"""Signs of life for work that takes long: a moving line on a terminal, a plain line now and then elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.status import Status

LINE_EVERY = 20.0  # seconds between plain lines, well under the patience of any CI system

Report = Callable[[str], None]


@contextmanager
def step(title: str) -> Iterator[Report]:
    """Announce a step on stderr, show that it goes on, and say how long it took.

    Yields a function that sets a short remark shown behind the title.
    """
    console = Console(file=sys.stderr, highlight=False)
    begin = time.monotonic()
    remark = ""

    def text() -> str:
        return f"{title} ({time.monotonic() - begin:.0f} s{', ' + remark if remark else ''})"

    def report(news: str) -> None:
        nonlocal remark
        remark = news

    ended = threading.Event()

    def tick() -> None:
        with Status(text(), console=console) if console.is_terminal else _Plain(console, title) as display:
            while not ended.wait(0.5 if console.is_terminal else LINE_EVERY):
                display.update(text())

    ticker = threading.Thread(target=tick, name="lab-progress", daemon=True)
    ticker.start()
    try:
        yield report
    except BaseException as error:
        ended.set()
        ticker.join()
        how = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        console.print(f"{title}: {how} after {time.monotonic() - begin:.1f} s", soft_wrap=True)
        raise
    ended.set()
    ticker.join()
    console.print(f"{title}: done in {time.monotonic() - begin:.1f} s", soft_wrap=True)


class _Plain:
    """What Status offers, as plain lines."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title

    def __enter__(self) -> Self:
        self._console.print(f"{self._title} ...", soft_wrap=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind: the line about the end is the step's."""

    def update(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)
