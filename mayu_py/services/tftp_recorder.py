"""What a TFTP server reports, and to whom."""

from enum import StrEnum
from typing import Protocol

Peer = tuple[str, int]
"""Address and port of a client."""


class Recorder(Protocol):
    """Where a server reports to. All calls come from the thread that serves, and should return at once."""

    def count(self, name: str, reason: str, n: int = 1) -> None:
        """`n` more of `name` because of `reason`; both come from small fixed sets (`Counter`)."""

    def started(self, peer: Peer, file: str) -> None:
        """The first block is on its way. A request that only asked for the size does not get here."""

    def finished(self, peer: Peer, file: str, size: int, seconds: float) -> None:
        """The peer has acknowledged all `size` bytes, `seconds` after its request."""

    def aborted(self, peer: Peer, file: str, why: str) -> None:
        """A transfer that had started ends early. `why` begins with an `Ending`."""


class Counter(StrEnum):
    """Names of what is counted; every datagram that has no effect is in one of them, with its reason."""

    DROPPED = "dropped"
    """Datagrams at the listener that got no answer."""
    REFUSED = "refused"
    """Datagrams answered by an ERROR."""
    IGNORED = "ignored"
    """Datagrams from the peer of a transfer that changed nothing, repeated ACKs above all."""
    RESENT = "resent"
    """Timeouts that made us send again."""
    UNSTARTED = "unstarted"
    """Requests that were answered but never took a block, with their Ending."""


class Ending(StrEnum):
    """Why a transfer is over."""

    FINISHED = "finished"
    PROBE = "probe"
    PEER_ERROR = "peer-error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    SUPERSEDED = "superseded"
    STALE = "stale"
    FILE_CHANGED = "file-changed"
    READ_ERROR = "read-error"
    STOPPED = "stopped"
    INTERNAL = "internal"
