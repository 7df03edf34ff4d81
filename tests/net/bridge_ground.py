"""Pods with machines behind them, on one fabric, as a container runtime leaves them: the kernel's own, and our rules in it.

                        fabric 10.60.0.1/24
   |             |             |              |             |
red1 .11      red2 .12      blue1 .21      blue3 .23     stranger .31
172.23.0.6    172.23.0.10   172.23.0.6     172.23.0.14   a pod without a machine
"""

import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from kubeception_sim.agents.bridge.flannel import Peer
from kubeception_sim.agents.bridge.kernel import Network
from kubeception_sim.agents.bridge.place import Place
from kubeception_sim.agents.bridge.ruleset import removal
from kubeception_sim.lab import Lab
from kubeception_sim.run import run
from tests.net.policy_ground import inside

FABRIC = "10.60.0.1"
STRANGER = "stranger"
STRANGER_ADDRESS = "10.60.0.31"
SUBNET, PODS = IPv4Network("172.23.0.0/24"), IPv4Network("10.80.0.0/16")
SECONDS, SILENCE = 5.0, 0.4
ETH_ALL = 3
NF_SWITCH = "net.bridge.bridge-nf-call-iptables"


def place(name: str) -> Place:
    """Where a machine is: `red1` is the first of the cluster red. Those of red are masters."""
    cluster, index = name[:-1], int(name[-1])
    vni, first, port = {"red": (100, 10, 6443), "blue": (200, 20, 30080)}[cluster]
    return Place(cluster, vni, index, SUBNET, PODS, port, IPv4Address(f"10.60.0.{first + index}"))


NAMES = ("red1", "red2", "blue1", "blue3")


def peers_of(name: str, names: Iterable[str] = NAMES) -> tuple[Peer, ...]:
    """The other machines of its cluster."""
    mine = place(name)
    others = (each for each in map(place, names) if each.cluster == mine.cluster and each.index != mine.index)
    return tuple(Peer(each.index, each.pod) for each in others)


@dataclass
class Ground:
    """The namespaces: pods by their names, and machines by theirs with `-vm`."""

    lab: Lab
    stack: ExitStack
    networks: dict[str, Network] = field(default_factory=dict)

    def pod(self, name: str) -> str:
        """The namespace of a pod."""
        return self.lab.namespace(name)

    def vm(self, name: str) -> str:
        """The namespace of the machine of a pod."""
        return self.lab.namespace(f"{name}-vm")

    def ip(self, namespace: str, *lines: str) -> None:
        """Lines of iproute2, in a namespace."""
        run(["ip", "-netns", namespace, "-batch", "-"], stdin="\n".join(lines).encode(), timeout=10)

    def join(self, name: str, names: Iterable[str] = NAMES) -> None:
        """Bring a pod's network to the plan, as its agent does, with these peers."""
        with inside(self.pod(name)):
            self.networks.setdefault(name, Network(place(name))).apply(peers_of(name, names))

    def open_up(self) -> None:
        """Take all rules away."""
        for name in NAMES:
            run(["nft", "-f", "-"], namespace=self.pod(name), stdin=removal().encode(), timeout=10)

    def dropped(self, name: str) -> Mapping[str, int]:
        """What the rules of a pod have counted."""
        with inside(self.pod(name)):
            return self.networks[name].counters()

    def pings(self, namespace: str, target: str, *options: str) -> bool:
        """Whether one ping is answered within a second."""
        return run(["ping", "-c1", "-W1", *options, target], namespace=namespace, timeout=10, check=False).code == 0

    def bound(self, namespace: str, kind: socket.SocketKind, port: int = 0) -> socket.socket:
        """A socket of a namespace, bound to every address there."""
        with inside(namespace):
            made = self.stack.enter_context(socket.socket(socket.AF_INET, kind))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", port))
        made.settimeout(SECONDS)
        return made

    def listen(self, namespace: str, port: int) -> socket.socket:
        """A TCP server that nobody asks anything."""
        made = self.bound(namespace, socket.SOCK_STREAM, port)
        made.listen(16)
        return made

    def connects(self, namespace: str, target: str, port: int, seconds: float = 1.0) -> bool:
        """Whether a TCP connection can be opened."""
        with self.bound(namespace, socket.SOCK_STREAM) as made:
            made.settimeout(seconds)
            try:
                made.connect((target, port))
            except OSError:
                return False
            return True

    def cable(self, namespace: str, link: str = "eth0") -> "Cable":
        """The wire of a machine, seen from it; or another link."""
        with inside(namespace):
            made = self.stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ALL)))
        made.bind((link, 0))
        return Cable(made)


@dataclass(frozen=True)
class Cable:
    """A NIC, with whatever frames somebody wants to send."""

    raw: socket.socket

    def send(self, frame: bytes) -> None:
        """Onto the wire, as it is."""
        self.raw.send(frame.ljust(60, b"\0"))

    def arrivals(self, marks: Iterable[bytes], last: bytes = b"", seconds: float = SILENCE) -> set[bytes]:
        """Which of the marks are in frames that come in, until one with `last` does or the time is up."""
        wanted, found, until = tuple(marks), set[bytes](), time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.raw.settimeout(left)
            try:
                frame, (_, _, kind, *_) = self.raw.recvfrom(65535)
            except TimeoutError:
                break
            if kind == socket.PACKET_OUTGOING:
                continue
            found |= {mark for mark in wanted if mark in frame}
            if last and last in frame:
                return found
        assert not last, f"after {seconds:g} s {last!r} has not come, only {found}"
        return found


def ethernet(destination: str, source: str, kind: int, content: bytes) -> bytes:
    """A frame."""
    return _mac(destination) + _mac(source) + struct.pack("!H", kind) + content


def udp(source: str, target: str, mark: bytes, port: int = 9) -> bytes:
    """An IPv4 packet with a datagram in it (RFC 791, RFC 768; without a checksum of the datagram)."""
    datagram = struct.pack("!HHHH", 9, port, 8 + len(mark), 0) + mark
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + _ip(source) + _ip(target)
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + datagram


def arp(operation: int, mac: str, address: str, target: str) -> bytes:
    """An ARP packet (RFC 826)."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + _mac(mac) + _ip(address) + bytes(6) + _ip(target)


def encapsulated(vni: int, frame: bytes) -> bytes:
    """The datagram that carries a frame over VXLAN (RFC 7348, section 5)."""
    return struct.pack("!II", 0x08000000, vni << 8) + frame.ljust(60, b"\0")


def _checksum(head: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ip(text: str) -> bytes:
    return socket.inet_aton(text)


@contextmanager
def ground(lab: Lab, *, filters_bridges: bool = True, machines: bool = True) -> Iterator[Ground]:
    """Pods, each with a machine and its network set up. `filters_bridges`: whether br_netfilter shows the inet rules
    what a bridge forwards."""
    with ExitStack() as stack:
        made = Ground(lab, stack)
        fabric = _namespace(made, "fabric")
        made.ip(fabric, "link add fab0 type bridge", f"address add {FABRIC}/24 dev fab0", "link set fab0 up")
        for name in (*NAMES, STRANGER):
            _pod(made, fabric, name, STRANGER_ADDRESS if name == STRANGER else str(place(name).pod))
        for name in NAMES:
            # What a container runtime leaves to its pods, and what a pod cannot change.
            run(["sysctl", "-qw", "net.ipv4.ip_forward=0"], namespace=made.pod(name), timeout=10)
            if os.path.exists("/proc/sys/net/bridge"):
                run(["sysctl", "-qw", f"{NF_SWITCH}={int(filters_bridges)}"], namespace=made.pod(name), timeout=10)
            if machines:
                _machine(made, name)
                made.join(name)
        yield made


def _namespace(made: Ground, name: str) -> str:
    full = made.lab.namespace(name)
    run(["ip", "netns", "add", full], timeout=10)
    made.stack.callback(run, ["ip", "netns", "delete", full], timeout=10)
    made.ip(full, "link set lo up")
    return full


def _pod(made: Ground, fabric: str, name: str, address: str) -> None:
    pod = _namespace(made, name)
    made.ip(fabric, f"link add {name} type veth peer name eth0 netns {pod}", f"link set {name} master fab0 up")
    made.ip(pod, f"address add {address}/24 dev eth0", "link set eth0 up", f"route add default via {FABRIC}")


def _machine(made: Ground, name: str) -> None:
    """A machine as hostile as one can be: its NIC has an MTU of its own, and it has a route to everything by its gateway."""
    vm, where = _namespace(made, f"{name}-vm"), place(name)
    made.ip(made.pod(name), f"link add {where.cable} type veth peer name eth0 netns {vm}")
    made.ip(vm, f"link set eth0 address {where.machine_mac} mtu 1500 up", f"address add {where.machine}/24 dev eth0")
    made.ip(vm, f"route add default via {where.gateway}")
