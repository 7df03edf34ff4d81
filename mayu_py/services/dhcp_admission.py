"""Addresses for machines that have none: enrolment, the check that nobody has the address, and another after a conflict."""

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from time import monotonic

from mayu_py.core.enrolment import Newcomer, candidate
from mayu_py.core.exchange import Conflict
from mayu_py.core.hosts import Host
from mayu_py.core.networks import Network
from mayu_py.errors import AddressTaken, RangeExhausted, StoreError
from mayu_py.services import packet_sockets
from mayu_py.services.desk import Desk
from mayu_py.services.dhcp_messages import Packet
from mayu_py.services.dhcp_probing import MOST_AT_ONCE, Conflicts, Prober
from mayu_py.wire import Malformed, arp

log = logging.getLogger(__name__)

BATCH = 64


def listen(interface: str) -> socket.socket:
    """A socket that probes addresses on a link. Raises OSError."""
    return packet_sockets.listen(interface, packet_sockets.ETH_P_ARP, packet_sockets.ABOUT_ADDRESSES)


@dataclass(frozen=True, slots=True)
class _Applicant:
    """Who is to have an address: a machine that is not enrolled, or a host whose address somebody else has."""

    hardware: bytes
    packet: Packet | None = None  # what is to be answered then
    newcomer: Newcomer | None = None
    conflict: Conflict | None = None


class Admission:
    """For one network. `answer` answers a packet once its machine has an address; `probes` is None where nothing is checked."""

    def __init__(self, network: Network, desk: Desk, answer: Callable[[Packet], None], probes: socket.socket | None) -> None:
        self.socket = probes
        self._network = network
        self._desk = desk
        self._answer = answer
        self._conflicts = Conflicts()
        self._prober: Prober[_Applicant] = Prober(self._probe)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for a verdict."""
        return not len(self._prober)

    def holds(self, packet: Packet) -> bool:
        """Whether the packet's machine waits for a verdict; then the packet is what is answered after it."""
        hardware = packet.message.chaddr
        if hardware not in self._prober:
            return False
        self._prober.update(hardware, lambda applicant: replace(applicant, packet=packet))
        return True

    def admit(self, unknown: Sequence[tuple[Packet, Newcomer]]) -> None:
        """Enrol machines, and answer their packets."""
        at_once = []
        for packet, newcomer in unknown:
            if self.socket is None or newcomer.network.name != self._network.name:
                at_once.append((packet, newcomer))
            elif not self.holds(packet):
                self._apply(_Applicant(packet.message.chaddr, packet, newcomer))
        if at_once:
            self._enrol(at_once)

    def declined(self, conflict: Conflict, hardware: bytes) -> None:
        """A host has found somebody else at its address."""
        host, address = conflict.host, conflict.address
        self._in_conflict(address, host, "decline")
        if host.is_configured:
            log.error("%s is %s's by the config (%s), and somebody else uses it", address, host.name, host.origin)
        elif self.socket is not None and conflict.network.name == self._network.name:
            self._apply(_Applicant(hardware, conflict=conflict))
        else:
            self._readdress(conflict, None)

    def hear(self) -> None:
        """Read what waits in the socket of the probes, at most `BATCH` packets."""
        assert self.socket is not None
        for _ in range(BATCH):
            try:
                packet = arp.parse(self.socket.recv(64))
            except BlockingIOError:
                return
            except Malformed as error:
                self._desk.count("dhcp.overheard", error.reason)
                continue
            except OSError as error:
                log.warning("%s: %s", self._network.interface, error)
                return
            for applicant, address in self._prober.heard(packet):
                host = applicant.conflict.host if applicant.conflict else None
                self._in_conflict(address, host, "probe", packet.sender.hex(":"))
                self._apply(applicant)

    def wait(self) -> float | None:
        """Seconds until `settle` has something to do; None for nothing."""
        return self._prober.wait(monotonic())

    def settle(self) -> None:
        """Send the probes that are due, and give out the addresses that nobody claims."""
        free = self._prober.due(monotonic())
        newcomers = []
        for applicant, address in free:
            if applicant.newcomer is not None and applicant.packet is not None:
                newcomers.append((applicant.packet, replace(applicant.newcomer, address=address)))
            elif applicant.conflict is not None:
                self._readdress(applicant.conflict, address)
                if applicant.packet is not None:
                    self._answer(applicant.packet)
        if newcomers:
            self._enrol(newcomers)

    def _apply(self, applicant: _Applicant) -> None:
        """Begin to probe the next address for who needs one."""
        if len(self._prober) >= MOST_AT_ONCE:
            self._desk.count("dhcp.drop", "probes-full")
            return
        now = monotonic()
        avoid = self._conflicts.current(now) | self._prober.addresses
        try:
            address = candidate(self._network, self._desk.snapshot(), avoid)
        except RangeExhausted as error:
            self._exhausted(error, applicant.hardware.hex(":"))
            return
        self._prober.begin(applicant.hardware, address, applicant, now)

    def _probe(self, address: IPv4Address) -> None:
        assert self.socket is not None
        packet = arp.build(arp.probe(packet_sockets.hardware_address(self.socket), address))
        try:
            packet_sockets.broadcast(self.socket, self._network.interface or "", packet_sockets.ETH_P_ARP, packet)
        except OSError as error:
            self._desk.count("dhcp.drop", "probe")
            log.warning("the probe for %s: %s", address, error)

    def _enrol(self, unknown: Sequence[tuple[Packet, Newcomer]]) -> None:
        avoid = self._conflicts.current(monotonic())
        try:
            results = self._desk.enrol([newcomer for _, newcomer in unknown], avoid)
        except StoreError as error:
            # What is not on the disk is not handed out; those who are known are served on.
            self._desk.count("dhcp.drop", "store", len(unknown))
            log.error("%d machines are not enrolled: %s", len(unknown), error.message)
            return
        for (packet, newcomer), result in zip(unknown, results, strict=True):
            if isinstance(result, RangeExhausted):
                self._exhausted(result, str(newcomer.identity))
            else:
                self._answer(packet)

    def _readdress(self, conflict: Conflict, address: IPv4Address | None) -> None:
        try:
            self._desk.readdress(conflict.host, conflict.network, self._conflicts.current(monotonic()), address)
        except RangeExhausted as error:
            self._exhausted(error, conflict.host.name)
        except StoreError as error:
            self._desk.count("dhcp.drop", "store")
            log.error("%s keeps an address that is in conflict: %s", conflict.host.name, error.message)

    def _in_conflict(self, address: IPv4Address, host: Host | None, by: str, holder: str | None = None) -> None:
        self._conflicts.note(address, monotonic())
        self._desk.count("dhcp.conflict", by)
        detail = {"address": str(address), "network": self._network.name, "by": by, **({"holder": holder} if holder else {})}
        self._desk.happened("address-conflict", host, **detail)

    def _exhausted(self, error: RangeExhausted, who: str) -> None:
        self._desk.count("dhcp.drop", "address-taken" if isinstance(error, AddressTaken) else "range-exhausted")
        log.error("%s gets no address: %s", who, error.message)
