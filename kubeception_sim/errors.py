"""Errors of the testbed, and the exit code each one means.

    KubeceptionError        message, hint
    +-- BadInput            exit 3: a scenario or option is wrong
    +-- HarnessError        exit 2: the harness or the environment failed, so nothing is known about the subject
        +-- MissingTool     a program is not installed; the hint is the command that installs it
        +-- CommandFailed   a program ended with an error; carries argv and the tail of its output
        +-- DeadlineExceeded  a wait ran out; carries the last state seen

A failed check or budget is not an error: it is a result (exit 1).
"""


class KubeceptionError(Exception):
    """Something a person can act on. `hint` says how; it may be empty."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(KubeceptionError):
    """A scenario file or an option is wrong."""

    exit_code = 3


class HarnessError(KubeceptionError):
    """The harness or the environment failed: nothing is known about the subject under test."""


class MissingTool(HarnessError):
    """A program is not installed. The hint is the command that installs it."""


class CommandFailed(HarnessError):
    """A program ended with an error."""


class DeadlineExceeded(HarnessError):
    """A wait ran out of time. The message carries the last state seen."""
