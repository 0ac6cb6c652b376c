"""Which cause of an outage is told, of a broker or of its data plane. Pure; never decides when a broker is tried.

A broker on its way down or up fails each try in another way: refused, silent, broken off, without TLS. Told each time,
the Broker's status would change with every try for as long as the outage lasts. So another cause is told when it came
twice in a row, and only so often.
"""

__all__ = ["OutageCause"]

_AT_ONCE = 2
"""Changes of the cause that are told as soon as they are certain. With beginning and end an outage of less than an hour
takes four status writes, and one more when the channels were counted at its end."""
_PAUSE = 3600.0
"""Seconds between two more."""


class OutageCause:
    """The cause of one outage at a time; `over` ends it."""

    def __init__(self) -> None:
        self.told: str | None = None
        """The cause as the Broker tells it; None = no outage."""
        self._last: str | None = None
        self._generation = 0
        self._changes = 0
        self._changed_at = 0.0

    def hear(self, cause: str, *, generation: int, now: float) -> None:
        """Take in why a try failed. `generation`: of the Broker that was tried; `now`: monotonic, seconds."""
        certain, self._last = cause == self._last, cause
        if self.told is None or generation != self._generation:
            # Whoever edits the Broker waits for what comes of it.
            self._changes = 0
            self._tell(cause, generation, now)
        elif certain and cause != self.told and self._may_change(now):
            self._changes += 1
            self._tell(cause, generation, now)

    def over(self) -> None:
        """Forget it: the broker answers, or something else is wrong."""
        self.told = self._last = None

    def _tell(self, cause: str, generation: int, now: float) -> None:
        self.told, self._generation, self._changed_at = cause, generation, now

    def _may_change(self, now: float) -> bool:
        return self._changes < _AT_ONCE or now - self._changed_at >= _PAUSE
