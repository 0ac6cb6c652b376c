"""What traces are made of, and how nothing is made of them when nobody asked. Knows no library of tracing.

A pass over a broker is one span, with a child for each stage and for each call to the broker. Attributes name Brokers,
objects, operations and outcomes; no texts of errors, which anybody may have written.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from channel_operator.engine.ports import Attribute

__all__ = ["NoTracer", "Tracer"]

_NOTHING: Final = nullcontext()


class Tracer(Protocol):
    """Where spans go. No call fails or waits."""

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        """Have what runs inside show as one span, in that of whatever called it."""

    def call(self, broker: str, operation: str, outcome: str, seconds: float) -> None:
        """Show a call to a broker that has just ended, in the span that made it."""


class NoTracer:
    """Tracing is off."""

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        """Show nothing."""
        del name, attributes
        return _NOTHING

    def call(self, broker: str, operation: str, outcome: str, seconds: float) -> None:
        """Show nothing."""
