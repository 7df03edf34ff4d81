"""A switch with the server's address, in a network namespace.

    namespace kc-<lab>-fabric
        br0   10.77.0.1/24, fe80::1      where the server under test listens
          +-- tap0                       the first machine's cable
          +-- tap1                       the second one's

The bridge forwards from the first packet on: no spanning tree and no forward delay (15 s of silence otherwise, longer
than firmware waits), no multicast snooping (nobody queries on this network, so router advertisements would get lost).
"""

import ctypes
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.network.router_advertisement import RouterAdvertiser
from kubeception_sim.run import run

BRIDGE = "br0"
# A bridge without an address of its own takes the lowest of its ports', which changes under the machines' ARP caches.
BRIDGE_MAC = "02:00:00:00:00:01"
LINK_LOCAL = IPv6Interface("fe80::1/64")
DEFAULT_ADDRESS = IPv4Interface("10.77.0.1/24")

_NETNS_DIRECTORY = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_COMMAND_SECONDS = 10.0


@dataclass(frozen=True)
class Port:
    """A tap device on the bridge: where a machine's cable goes."""

    namespace: str
    tap: str


class Fabric:
    """A running fabric. Made by `Fabric.create`."""

    def __init__(self, namespace: str, address: IPv4Interface) -> None:
        self.namespace = namespace
        self.address = address
        self.bridge = BRIDGE
        self._ports: dict[str, Port] = {}

    @classmethod
    @contextmanager
    def create(
        cls, lab: Lab, *, name: str = "fabric", address: IPv4Interface = DEFAULT_ADDRESS, advertise: bool = True
    ) -> Iterator["Fabric"]:
        """Bring a fabric up, and take it down with all its links on the way out.

        `address` is the bridge's. `advertise` sends router advertisements (see router_advertisement.py).
        Raises CommandFailed when the kernel refuses, as it does without CAP_NET_ADMIN.
        """
        with _network_namespace(lab.namespace(name)) as namespace:
            fabric = cls(namespace, address)
            fabric._ip(
                "link set lo up",
                # Our own link-local address is there at once; the kernel's would first be probed for a second.
                f"link add {BRIDGE} address {BRIDGE_MAC} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                f"link set {BRIDGE} addrgenmode none",
                f"address add {address} brd + dev {BRIDGE}",
                f"address add {LINK_LOCAL} dev {BRIDGE} nodad",
                f"link set {BRIDGE} up",
            )
            if not advertise:
                yield fabric
                return
            with fabric._advertiser():
                yield fabric

    def port(self, name: str) -> Port:
        """A port for the machine `name`, made when first asked for. The tap's alias in `ip link` is that name.

        Raises BadInput for a name that `ip` could not take as one word.
        """
        if name not in self._ports:
            if not name.isprintable() or '"' in name:
                raise BadInput(f"{name!r} cannot be the alias of a link")
            tap = f"tap{len(self._ports)}"
            self._ip(
                f"tuntap add dev {tap} mode tap",
                f'link set dev {tap} alias "{name}"',
                f"link set dev {tap} addrgenmode none master {BRIDGE} up",
            )
            self._ports[name] = Port(self.namespace, tap)
        return self._ports[name]

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, proto: int = 0) -> socket.socket:
        """A socket that lives in the fabric, for use by this process. Close it before the fabric ends."""
        return socket_in(self.namespace, family, kind, proto)

    def _ip(self, *lines: str) -> None:
        _ip(["-netns", self.namespace], lines)

    @contextmanager
    def _advertiser(self) -> Iterator[None]:
        with (
            self.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp6,
            RouterAdvertiser(icmp6, BRIDGE),
        ):
            yield


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
    """A socket that lives in a named network namespace, for use by this process.

    A namespace is an attribute of the thread, and a socket keeps the one it was made in. So a thread enters the
    namespace, makes the socket and ends; every other thread stays where it is. Raises HarnessError.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns") as thread:
        return thread.submit(_enter_and_open, namespace, family, kind, proto).result()


def _enter_and_open(namespace: str, family: int, kind: int, proto: int) -> socket.socket:
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
    return socket.socket(family, kind, proto)
