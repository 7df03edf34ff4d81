"""A router that says: there is no IPv6 router here.

iPXE configures IPv4 and IPv6 side by side and calls a link configured when every protocol has made up its mind. For
IPv6 that takes a router advertisement, or about 13 s of soliciting in vain, at every stage of the boot. Measured from
power-on to the script of the last iPXE stage (TCG, idle machine, with DHCP option 175.176 for the first):

    BIOS, virtio ROM -> undionly.kpxe      37.0 s without    5.1 s with
    UEFI, OVMF -> snponly.efi              25.7 s without    9.7 s with
    UEFI, OVMF -> ipxe.efi                 30.1 s without   14.4 s with

The advertisement (RFC 4861, section 4.2) carries router lifetime 0, no prefix, and neither the managed nor the other
flag: nobody gets an address or a route from it, and nobody asks a DHCPv6 server.
"""

import fcntl
import logging
import select
import socket
import struct
import threading
import time
from types import TracebackType

_log = logging.getLogger(__name__)

INTERVAL_SECONDS = 3.0

_ROUTER_SOLICITATION = 133
_ROUTER_ADVERTISEMENT = 134
_SOURCE_LINK_LAYER_ADDRESS = 1
_HOP_LIMIT = 255  # receivers drop anything less: it proves that no router forwarded the packet (RFC 4861, 6.1.2)
_ALL_NODES = "ff02::1"
_ALL_ROUTERS = "ff02::2"
_ICMP6_FILTER = 1  # linux/icmpv6.h; not in the socket module


def advertisement(mac: bytes) -> bytes:
    """The ICMPv6 message, checksum left to the kernel. `mac` (6 bytes) is the sender's link-layer address."""
    current_hop_limit, flags, lifetime, reachable, retransmit = 64, 0, 0, 0, 0
    header = struct.pack("!BBHBBHII", _ROUTER_ADVERTISEMENT, 0, 0, current_hop_limit, flags, lifetime, reachable, retransmit)
    return header + struct.pack("!BB6s", _SOURCE_LINK_LAYER_ADDRESS, 1, mac)


class RouterAdvertiser:
    """Advertises every 3 s and answers each solicitation at once, from a thread, while its context is open.

    RFC 4861 asks routers to delay and to limit their answers; firmware in a hurry is the point here, so this one does
    neither. `icmp6` is a raw ICMPv6 socket in the namespace of `interface`; the interface has a link-local address.
    """

    def __init__(self, icmp6: socket.socket, interface: str) -> None:
        self._socket = icmp6
        self._name = interface
        self._index, mac = _interface(icmp6, interface)
        self._message = advertisement(mac)
        self._thread = threading.Thread(target=self._serve, name=f"router-advertiser-{interface}", daemon=True)
        self.sent = 0

    def __enter__(self) -> "RouterAdvertiser":
        group = struct.pack("=16sI", socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS), self._index)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._name.encode())
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOP_LIMIT)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _only(_ROUTER_SOLICITATION))
        self._wake, self._woken = socket.socketpair()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._wake.close()
        self._thread.join()
        self._woken.close()

    def _serve(self) -> None:
        due = time.monotonic()
        while True:
            ready, _, _ = select.select([self._socket, self._woken], [], [], max(0.0, due - time.monotonic()))
            if self._woken in ready:
                return
            if self._socket in ready:
                self._socket.recv(2048)
            self._advertise()
            due = time.monotonic() + INTERVAL_SECONDS

    def _advertise(self) -> None:
        try:
            self._socket.sendto(self._message, (_ALL_NODES, 0, 0, self._index))
            self.sent += 1
        except OSError as error:  # the bridge is down for a moment, or its queue is full; the next one is 3 s away
            _log.debug("no router advertisement on %s: %s", self._name, error)


def _only(message_type: int) -> bytes:
    """An ICMP6_FILTER that passes one type: a set bit blocks (RFC 3542, section 3.2)."""
    blocked = [0xFFFFFFFF] * 8
    blocked[message_type >> 5] &= ~(1 << (message_type & 31))
    return struct.pack("=8I", *blocked)


def _interface(inside: socket.socket, name: str) -> tuple[int, bytes]:
    """Index and MAC of an interface, asked through a socket because it is in that socket's namespace (netdevice(7))."""
    siocgifindex, siocgifhwaddr = 0x8933, 0x8927
    index = fcntl.ioctl(inside, siocgifindex, struct.pack("16s24x", name.encode()))
    address = fcntl.ioctl(inside, siocgifhwaddr, struct.pack("16s24x", name.encode()))
    return struct.unpack_from("=i", index, 16)[0], address[18:24]
