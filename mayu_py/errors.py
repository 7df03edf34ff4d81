"""Errors of the provisioning server.

MayuError                   a person can act on it: message, hint; exit 1, no traceback
+-- ConfigError             the config file is wrong; carries every problem found
+-- StoreError              the state file cannot be read or written
+-- StartError              a worker could not start (port taken, no such interface)
+-- IllegalTransition       a host cannot go from this state to that one
+-- RangeExhausted          an address range has no free address left
+-- VerbRefused             an operator asked for something that cannot be done to this host
wire.Malformed              a packet is not what its RFC says; never leaves the service that read it
"""


class MayuError(Exception):
    """Something a person can act on. `hint` says how; it may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(MayuError):
    """The config file is wrong. The message lists every problem, one a line, each with file:line."""


class StoreError(MayuError):
    """The state file cannot be read or written."""


class StartError(MayuError):
    """A worker could not start: port taken, no such interface, no permission."""


class IllegalTransition(MayuError):
    """A host cannot go from its state to the one asked for."""


class RangeExhausted(MayuError):
    """An address range has no free address left."""


class VerbRefused(MayuError):
    """An operator asked for something that cannot be done to this host."""
