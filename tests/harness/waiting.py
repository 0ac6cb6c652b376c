"""Waiting for a condition in place of a guessed pause. Decides when to give up, never what is right."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["TIMEOUT", "GaveUpError", "wait_until"]

TIMEOUT = 60.0
"""Seconds after which a condition that should hold within one or two is given up. Not a measurement."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
_Found = TypeVar("_Found")


class GaveUpError(AssertionError):
    """A condition did not come true; the text says which, what was there in its place, and what the operator said."""


def wait_until(
    look: Callable[[], _Found | None],
    what: str,
    *,
    timeout: float = TIMEOUT,
    describe: Callable[[], str] = lambda: "",
) -> _Found:
    """Return the first truthy answer of `look`.

    Raises GaveUpError after `timeout` seconds, with `what` was waited for and what `describe` tells then. Whatever
    `look` raises ends the waiting.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise GaveUpError(f"{what}: not within {timeout:.0f} s\n{describe()}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
