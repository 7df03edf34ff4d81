"""A network with the servers' address, in a network namespace: one switch, or a switch for each rack and a router between.

    namespace kc-<lab>-fabric
        br0     10.77.0.1/24, fe80::1    where the servers listen
        br-a    10.77.1.1/24, fe80::1    rack a, and the router's address in it
          +-- tap0                       a machine's cable, if it sends Ethernet frames itself
          +-- m525400000001              or one end of a veth pair, if it lives in a namespace
        br-b    10.77.2.1/24, fe80::1    rack b

Without racks br0 is the machines' switch too. The namespace forwards between racks, and knows no way out of itself.

A bridge forwards from the first packet on: no spanning tree and no forward delay (15 s of silence otherwise, longer
than firmware waits), no multicast snooping (nobody queries on this network, so router advertisements would get lost).
"""

import ctypes
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path
from typing import TypeVar

from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.network.rack import Rack
from kubeception_sim.network.router_advertisement import RouterAdvertiser
from kubeception_sim.run import run

BRIDGE = "br0"
# A bridge without an address of its own takes the lowest of its ports', which changes under the machines' ARP caches.
BRIDGE_MAC = "02:00:00:00:00:01"
RACK_MAC = "02:00:00:00:01:{:02x}"
RACKS_MAX = 256
LINK_LOCAL = IPv6Interface("fe80::1/64")
DEFAULT_ADDRESS = IPv4Interface("10.77.0.1/24")

_NETNS_DIRECTORY = Path("/run/netns")
_IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")  # of the namespace of the thread that writes
_CLONE_NEWNET = 0x40000000
_COMMAND_SECONDS = 10.0
_T = TypeVar("_T")


@dataclass(frozen=True)
class Port:
    """Where the cable of the machine `name` goes: a bridge. `rack` is empty on the fabric's own bridge."""

    namespace: str
    bridge: str
    name: str
    number: int
    rack: str = ""

    @cached_property
    def tap(self) -> str:
        """A tap device on the bridge, made when first asked for. Its alias in `ip link` is the machine's name."""
        tap = f"tap{self.number}"
        _ip(
            ["-netns", self.namespace],
            [
                f"tuntap add dev {tap} mode tap",
                f'link set dev {tap} alias "{self.name}"',
                f"link set dev {tap} addrgenmode none master {self.bridge} up",
            ],
        )
        return tap


class Fabric:
    """A running fabric. Made by `Fabric.create`. `address` is where its servers listen."""

    def __init__(self, namespace: str, address: IPv4Interface, racks: tuple[Rack, ...] = ()) -> None:
        self.namespace = namespace
        self.address = address
        self.racks = racks
        self.bridge = BRIDGE
        self._ports: dict[str, Port] = {}

    @classmethod
    @contextmanager
    def create(
        cls,
        lab: Lab,
        *,
        name: str = "fabric",
        address: IPv4Interface = DEFAULT_ADDRESS,
        racks: Sequence[Rack] = (),
        advertise: bool = True,
    ) -> Iterator["Fabric"]:
        """Bring a fabric up, and take it down with all its links on the way out.

        `address` is that of the fabric's own bridge; `racks` are at most 256, with subnets that share no address.
        `advertise` sends router advertisements on every bridge (see router_advertisement.py).
        Raises BadInput for racks that overlap, CommandFailed when the kernel refuses, as it does without CAP_NET_ADMIN.
        """
        _check(address, racks)
        with _network_namespace(lab.namespace(name)) as namespace, ExitStack() as stack:
            fabric = cls(namespace, address, tuple(racks))
            fabric._ip("link set lo up", *_bridge_up(BRIDGE, BRIDGE_MAC, address))
            for number, rack in enumerate(fabric.racks):
                fabric._ip(*_bridge_up(rack.bridge, RACK_MAC.format(number), rack.gateway))
            if racks:
                inside(namespace, lambda: _IP_FORWARD.write_text("1"))
            if advertise:
                for bridge in (BRIDGE, *(rack.bridge for rack in racks)):
                    stack.enter_context(fabric._advertiser(bridge))
            yield fabric

    def add_address(self, address: IPv4Address) -> None:
        """One more address on the fabric's own bridge. Raises CommandFailed for one that is there."""
        self._ip(f"address add {address}/{self.address.network.prefixlen} dev {BRIDGE}")

    def port(self, name: str, rack: str = "") -> Port:
        """A port for the machine `name`: in a rack, or on the fabric's own bridge. The same port at every call.

        Raises BadInput for a name that `ip` could not take as one word, for a rack that is not there, and for a machine
        that already stands in another one.
        """
        if not name.isprintable() or '"' in name:
            raise BadInput(f"{name!r} cannot be the alias of a link")
        bridge = self._bridge(rack)
        port = self._ports.setdefault(name, Port(self.namespace, bridge, name, len(self._ports), rack))
        if port.bridge != bridge:
            raise BadInput(f"{name} already has a port on {port.bridge}, and can have none on {bridge}")
        return port

    def _bridge(self, rack: str) -> str:
        if not rack:
            return BRIDGE
        found = next((each.bridge for each in self.racks if each.name == rack), None)
        if found is None:
            known = ", ".join(each.name for each in self.racks) or "none"
            raise BadInput(f"the fabric has no rack {rack!r}", hint=f"its racks: {known}")
        return found

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, proto: int = 0) -> socket.socket:
        """A socket that lives in the fabric, for use by this process. Close it before the fabric ends."""
        return socket_in(self.namespace, family, kind, proto)

    def _ip(self, *lines: str) -> None:
        _ip(["-netns", self.namespace], lines)

    @contextmanager
    def _advertiser(self, bridge: str) -> Iterator[None]:
        with (
            self.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp6,
            RouterAdvertiser(icmp6, bridge),
        ):
            yield


def _check(address: IPv4Interface, racks: Sequence[Rack]) -> None:
    if len(racks) > RACKS_MAX:
        raise BadInput(f"{len(racks)} racks are too many: at most {RACKS_MAX}")
    seen = {"the fabric": address.network} if racks else {}
    for rack in racks:
        if rack.name in seen:
            raise BadInput(f"two racks are called {rack.name!r}")
        for name, subnet in seen.items():
            if subnet.overlaps(rack.subnet):
                raise BadInput(f"rack {rack.name}: {rack.subnet} overlaps {subnet} of {name}")
        seen[rack.name] = rack.subnet


def _bridge_up(bridge: str, mac: str, address: IPv4Interface) -> tuple[str, ...]:
    return (
        f"link add {bridge} address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link set {bridge} addrgenmode none",
        f"address add {address} brd + dev {bridge}",
        # Our own link-local address is there at once; the kernel's would first be probed for a second.
        f"address add {LINK_LOCAL} dev {bridge} nodad",
        f"link set {bridge} up",
    )


@contextmanager
def _network_namespace(name: str) -> Iterator[str]:
    _ip([], [f"netns add {name}"])
    try:
        yield name
    finally:
        _ip([], [f"netns delete {name}"])


def _ip(options: Sequence[str], lines: Sequence[str]) -> None:
    """Several ip(8) commands in one process; it stops at the first that fails and names its line."""
    run(["ip", *options, "-batch", "-"], stdin="".join(f"{line}\n" for line in lines).encode(), timeout=_COMMAND_SECONDS)


def socket_in(namespace: str, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, proto: int = 0) -> socket.socket:
    """A socket that lives in a named network namespace, for use by this process. Raises HarnessError."""
    return inside(namespace, lambda: socket.socket(family, kind, proto))


def inside(namespace: str, act: Callable[[], _T]) -> _T:
    """What `act` returns inside a named network namespace.

    A namespace is an attribute of the thread, and a socket keeps the one it was made in. So a thread enters the
    namespace, acts and ends; every other thread stays where it is. Raises HarnessError.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns") as thread:
        return thread.submit(_enter_and_act, namespace, act).result()


def _enter_and_act(namespace: str, act: Callable[[], _T]) -> _T:
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        handle = os.open(_NETNS_DIRECTORY / namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HarnessError(f"cannot open network namespace {namespace}: {error.strerror}") from error
    try:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            raise HarnessError(f"cannot enter network namespace {namespace}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(handle)
    return act()
