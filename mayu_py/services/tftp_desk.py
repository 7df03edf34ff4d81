"""What TFTP transfers say of hosts: a peer's address becomes one, and its history goes on."""

import logging
from ipaddress import IPv4Address

from mayu_py.core.exchange import TftpRead
from mayu_py.services.desk import Desk

log = logging.getLogger(__name__)


class TftpRecorder:
    """Brings what the TFTP service sees to the worker's desk: a peer's address becomes a host."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def count(self, name: str, reason: str, n: int = 1) -> None:
        """Add to a counter."""
        self._desk.count(f"tftp.{name}", reason, n)

    def started(self, peer: tuple[str, int], file: str) -> None:
        """A transfer has begun: its host has reached the stage `tftp`."""
        self._desk.answer(TftpRead(IPv4Address(peer[0]), file))

    def finished(self, peer: tuple[str, int], file: str, size: int, seconds: float) -> None:
        """A transfer is complete."""
        self._desk.count("tftp.sent", "files")
        self._desk.count("tftp.sent", "bytes", size)
        # Said again: beside a server that owns the addresses, this one may have been learnt a moment after the request.
        self._desk.answer(TftpRead(IPv4Address(peer[0]), file))
        host = self._desk.snapshot().by_address.get(IPv4Address(peer[0]))
        if host is not None:
            self._desk.happened("tftp", host, file=file, bytes=size, seconds=round(seconds, 3))

    def aborted(self, peer: tuple[str, int], file: str, why: str) -> None:
        """A transfer has ended early; EDK2 does so by design when it only wanted the size."""
        self._desk.count("tftp.aborted", why.partition(":")[0])
        log.debug("tftp: %s gave up %s: %s", peer[0], file, why)
