"""Errors of the provisioning server.

MayuError                   a person can act on it: message, hint; exit 1, no traceback
+-- ConfigError             the config file is wrong; carries every problem found
+-- StoreError              the state file cannot be read or written
+-- StartError              a worker could not start (port taken, no such interface)
+-- IllegalTransition       a host cannot go from this state to that one
+-- RangeExhausted          an address range has no free address left
|   +-- AddressTaken        the address chosen for a machine went to another
+-- VerbRefused             an operator asked for something that cannot be done to this host
|   +-- Outdated            the host is no longer as the operator saw it
+-- DiscoveryFull           there is no room for another token of etcd's discovery
+-- Unidentified            nobody knows who asks
+-- Forbidden               who asks may not do this
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


class AddressTaken(RangeExhausted):
    """The address that was chosen for a machine went to another before it could be written down."""


class VerbRefused(MayuError):
    """An operator asked for something that cannot be done to this host."""


class Outdated(VerbRefused):
    """The host is no longer as the operator saw it when deciding."""


class DiscoveryFull(MayuError):
    """There is no room for another token of etcd's discovery."""


class Unidentified(MayuError):
    """A request brings no credentials, or wrong ones."""


class Forbidden(MayuError):
    """The sender of a request is known, and may not do this."""
