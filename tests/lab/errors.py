"""Errors of the lab: each message is one line that says what to do."""


class LabError(Exception):
    """The lab cannot do what was asked; the message names the reason and the remedy."""


class MissingToolError(LabError):
    """A program or setting this machine lacks, with the package or variable that provides it."""


class ExternalPartError(LabError):
    """The part was given from outside, so the lab does not stop, pause, kill or empty it."""
