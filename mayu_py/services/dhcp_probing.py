"""Whether somebody has an address already: probes in the manner of RFC 5227, many at a time, and nobody waits for them.

The RFC's own times would keep a client waiting for seven seconds; it has given up by then. No socket and no clock in here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Generic, TypeVar

from mayu_py.wire.arp import Operation, Packet

T = TypeVar("T")

PROBES = 3
GAP_SECONDS = 0.15
"""From one probe to the next, and from the last one to the verdict: 0.45 s in all."""
REMEMBER_SECONDS = 600.0
MOST_AT_ONCE = 1000


class Conflicts:
    """Addresses that somebody else was found at; they are avoided for ten minutes."""

    def __init__(self) -> None:
        self._until: dict[IPv4Address, float] = {}

    def note(self, address: IPv4Address, now: float) -> None:
        """Somebody has it."""
        self._until[address] = now + REMEMBER_SECONDS

    def current(self, now: float) -> set[IPv4Address]:
        """Those that are to be avoided."""
        self._until = {address: until for address, until in self._until.items() if until > now}
        return set(self._until)


@dataclass(slots=True)
class _Attempt(Generic[T]):
    address: IPv4Address
    hardware: bytes
    subject: T
    sent: int
    next_at: float


class Prober(Generic[T]):
    """Probes under way: for each hardware address one, about the address that it is to have. `send` sends a probe."""

    def __init__(self, send: Callable[[IPv4Address], None]) -> None:
        self._send = send
        self._attempts: dict[bytes, _Attempt[T]] = {}

    def __contains__(self, hardware: object) -> bool:
        return hardware in self._attempts

    def __len__(self) -> int:
        return len(self._attempts)

    @property
    def addresses(self) -> set[IPv4Address]:
        """What is being probed."""
        return {attempt.address for attempt in self._attempts.values()}

    def begin(self, hardware: bytes, address: IPv4Address, subject: T, now: float) -> None:
        """Start to ask for an address on behalf of `hardware`."""
        self._attempts[hardware] = _Attempt(address, hardware, subject, 1, now + GAP_SECONDS)
        self._send(address)

    def update(self, hardware: bytes, change: Callable[[T], T]) -> None:
        """Change the subject of a probe under way."""
        attempt = self._attempts[hardware]
        attempt.subject = change(attempt.subject)

    def heard(self, packet: Packet) -> list[tuple[T, IPv4Address]]:
        """End the probes that an ARP packet answers: somebody else has the address, or wants it too."""
        claimed = packet.target_address if packet.is_probe else packet.sender_address
        if packet.operation is not Operation.REPLY and not packet.is_probe:
            return []
        lost = [a for a in self._attempts.values() if a.address == claimed and a.hardware != packet.sender]
        for attempt in lost:
            del self._attempts[attempt.hardware]
        return [(attempt.subject, attempt.address) for attempt in lost]

    def due(self, now: float) -> list[tuple[T, IPv4Address]]:
        """Send the probes whose time has come; returns what nobody has claimed until now."""
        free = []
        for attempt in [attempt for attempt in self._attempts.values() if attempt.next_at <= now]:
            if attempt.sent < PROBES:
                attempt.sent += 1
                attempt.next_at = now + GAP_SECONDS
                self._send(attempt.address)
            else:
                del self._attempts[attempt.hardware]
                free.append((attempt.subject, attempt.address))
        return free

    def wait(self, now: float) -> float | None:
        """Seconds until something is due; None while nothing is probed."""
        return max(0.0, min(attempt.next_at for attempt in self._attempts.values()) - now) if self._attempts else None
