"""The meanings of an error. Decides nothing; every room raises and catches these and no others.

OperatorError
├── InvalidManifest   the spec cannot be read: one object, one field, what to do
├── Retry             transient: try again, by backoff or after a stated time
│   └── Unreachable   the broker or API server did not answer, or not in time
├── Waiting           a dependency is missing; its event wakes the object
└── Blocked           only a user can fix it: no retry until something relevant changes
    └── CredentialsRefused  the server answered, and refused who we are

Anything else that is raised is a bug: logged with a traceback, counted, retried with exponential backoff,
and other objects go on. Messages reach users in conditions and logs: they carry no secret and no response body.
"""

from typing import Self

__all__ = [
    "Blocked",
    "CredentialsRefused",
    "InvalidManifest",
    "OperatorError",
    "Retry",
    "Unreachable",
    "Waiting",
]


class OperatorError(Exception):
    """Base of all errors with a meaning. `str(error)` is a sentence for the user.

    `told`: what those read of it who need not be able to read the Broker, where the sentence names its address or the
    operator's own user; None = the sentence itself.
    """

    told: str | None = None

    def telling(self, text: str) -> Self:
        """Say what others than the Broker's owner read of it; the Broker's name is put before it."""
        self.told = text
        return self


class InvalidManifest(OperatorError):
    """A spec that cannot be read. `field` is its path, for instance `spec.retry.maxDeliveries`."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class Retry(OperatorError):
    """Transient. `after` is seconds to wait, or None for the engine's own backoff."""

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Unreachable(Retry):
    """No answer, or none in time: says nothing about what the other side did with the request."""


class Waiting(OperatorError):
    """A dependency is missing. What it is stands in the message; its own event wakes the object."""


class Blocked(OperatorError):
    """Only a user can fix it. `reason` is a condition reason of the closed list (`api.reasons.Reason`)."""

    def __init__(self, message: str, *, reason: str, field: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field


class CredentialsRefused(Blocked):
    """The server answered and refused our credentials or our trust: nothing was done."""
