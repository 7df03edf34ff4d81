"""Two nodes with pods on bridges, as a container runtime leaves them, and a prober that opens every connection there is at once.

          outside (10.78.9.9)
  10.77.1.1 |             | 10.77.2.1
n1 10.77.1.11             n2 10.77.2.11
cni0 10.60.1.1/24         cni0 10.60.2.1/24
x/a x/c y/a y/c z/a z/c   x/b y/b z/b
"""

import ctypes
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from kubeception_sim.agents.policy import kernel
from kubeception_sim.agents.policy.objects import read_namespaces, read_pods, read_policy
from kubeception_sim.agents.policy.ruleset import Ruleset, translate
from kubeception_sim.lab import Lab
from kubeception_sim.run import run
from tests.policy_cases import NAMES, NAMESPACES, OUTSIDE, SUBNETS, address_of, node_of
from tests.policy_oracle import Cluster

NODE_ADDRESSES = {"n1": "10.77.1.11", "n2": "10.77.2.11"}
NUMBERS = (80, 81)
SECONDS, GRACE, RESEND = 15.0, 0.2, 0.5
CLONE_NEWNET = 0x40000000
Probe = tuple[str, str, str, int]
"""Source, target, protocol, port."""


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread in a network namespace: sockets that are opened here stay there."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class Ground:
    """The nodes. `homes` is the namespace of each address that probes come from and go to."""

    lab: Lab
    stack: ExitStack
    homes: dict[str, str] = field(default_factory=dict)

    def node(self, name: str) -> str:
        """A node's network namespace."""
        return self.lab.namespace(name)

    def load(self, cluster: Cluster) -> None:
        """Give each node its table."""
        for node in SUBNETS:
            self.replace(node, rules_of(cluster, node))

    def replace(self, node: str, ruleset: Ruleset) -> None:
        """The next generation of a node's table, as its agent makes it."""
        with inside(self.node(node)):
            kernel.apply(ruleset)

    def nft(self, node: str, text: str) -> None:
        """Load a text in a node."""
        run(["nft", "-f", "-"], namespace=self.node(node), stdin=text.encode(), timeout=30)

    def sysctl(self, node: str, setting: str) -> None:
        """Set a switch of a node."""
        run(["sysctl", "-qw", setting], namespace=self.node(node), timeout=10)

    def socket(self, address: str, kind: socket.SocketKind, port: int = 0) -> socket.socket:
        """A socket of the pod at an address, bound there. It does not block."""
        with inside(self.homes[address]):
            made = self.stack.enter_context(socket.socket(socket.AF_INET, kind))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)
        made.bind((address, port))
        return made

    def pings(self, source: str, target: str) -> bool:
        """Whether one ping is answered within a second."""
        argv = ["ping", "-c1", "-W1", "-I", source, target]
        return run(argv, namespace=self.homes[source], timeout=10, check=False).code == 0


def rules_of(cluster: Cluster, node: str) -> Ruleset:
    """What the agent of a node would make of it."""
    policies = [read_policy(each) for each in cluster.policies]
    return translate(policies, read_namespaces(cluster.namespaces), read_pods(cluster.pods), node)


@contextmanager
def ground(lab: Lab) -> Iterator[Ground]:
    """Nodes, pods and the outside."""
    with ExitStack() as stack:
        made = Ground(lab, stack)
        outside = _namespace(lab, stack, "out")
        _ip(outside, [f"address add {OUTSIDE}/32 dev lo"])
        run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], namespace=outside, timeout=10)
        made.homes[OUTSIDE] = outside
        for node, subnet in SUBNETS.items():
            _node(made, node, subnet, outside)
        for namespace in NAMESPACES:
            for name in NAMES:
                _pod(made, node_of(name), namespace + name, address_of(namespace, name))
        yield made


def _namespace(lab: Lab, stack: ExitStack, name: str) -> str:
    full = lab.namespace(name)
    run(["ip", "netns", "add", full], timeout=10)
    stack.callback(run, ["ip", "netns", "delete", full], timeout=10)
    _ip(full, ["link set lo up"])
    return full


def _node(made: Ground, node: str, subnet: str, outside: str) -> None:
    namespace = _namespace(made.lab, made.stack, node)
    rack = NODE_ADDRESSES[node].rpartition(".")[0]
    _ip(outside, [f"link add {node} type veth peer name eth0 netns {namespace}", f"address add {rack}.1/24 dev {node}"])
    _ip(outside, [f"link set {node} up", f"route add {subnet}.0/24 via {NODE_ADDRESSES[node]}"])
    _ip(namespace, [f"address add {NODE_ADDRESSES[node]}/24 dev eth0", "link set eth0 up", f"route add default via {rack}.1"])
    _ip(namespace, ["link add cni0 type bridge", f"address add {subnet}.1/24 dev cni0", "link set cni0 up"])
    for setting in ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1"):
        made.sysctl(node, setting)


def _pod(made: Ground, node: str, name: str, address: str) -> None:
    namespace = _namespace(made.lab, made.stack, name)
    bridge = made.node(node)
    _ip(bridge, [f"link add {name} type veth peer name eth0 netns {namespace}", f"link set {name} master cni0 up"])
    _ip(bridge, [f"link set {name} type bridge_slave hairpin on"])
    gateway = f"{SUBNETS[node]}.1"
    _ip(namespace, [f"address add {address}/24 dev eth0", "link set eth0 up", f"route add default via {gateway}"])
    made.homes[address] = namespace


def _ip(namespace: str, lines: Iterable[str]) -> None:
    run(["ip", "-netns", namespace, "-batch", "-"], stdin="\n".join(lines).encode(), timeout=10)


class Prober:
    """Serves ports 80 and 81 of TCP and UDP at every address, and opens connections between all of them."""

    def __init__(self, made: Ground) -> None:
        self._ground = made
        self._selector = selectors.DefaultSelector()
        for address in made.homes:
            for number in NUMBERS:
                listening = made.socket(address, socket.SOCK_STREAM, number)
                listening.listen(512)
                self._when_readable(listening, self._accept)
                self._when_readable(made.socket(address, socket.SOCK_DGRAM, number), self._echo)

    def opened(self, expected: dict[Probe, bool]) -> set[Probe]:
        """Which of the probes get through. Waits for those that are expected, and a little longer for the others."""
        seen: set[Probe] = set()
        wanted = {probe for probe, passes in expected.items() if passes}
        with ExitStack() as stack:
            pending = {probe: stack.enter_context(self._open(probe, seen)) for probe in expected}
            until, resend = time.monotonic() + SECONDS, time.monotonic() + RESEND
            while not wanted <= seen and time.monotonic() < until:
                self._poll(RESEND)
                if time.monotonic() > resend:
                    # A datagram that waits for a neighbour's address may be lost. TCP knows that itself.
                    resend = time.monotonic() + RESEND
                    for probe in (each for each in wanted - seen if each[2] == "UDP"):
                        pending[probe].send(b"?")
            until = time.monotonic() + GRACE
            while time.monotonic() < until:
                self._poll(GRACE / 4)
        return seen

    def close(self) -> None:
        """The selector's own; sockets are the ground's."""
        self._selector.close()

    def _poll(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            act: Callable[[], None] = key.data
            act()

    @contextmanager
    def _open(self, probe: Probe, seen: set[Probe]) -> Iterator[socket.socket]:
        source, target, protocol, port = probe
        is_tcp = protocol == "TCP"
        with inside(self._ground.homes[source]):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
        with made:
            made.setblocking(False)
            made.bind((source, 0))
            made.connect_ex((target, port))
            if not is_tcp:
                made.send(b"?")

            def act() -> None:
                self._selector.unregister(made)
                if made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    seen.add(probe)

            self._selector.register(made, selectors.EVENT_WRITE if is_tcp else selectors.EVENT_READ, act)
            try:
                yield made
            finally:
                if made in self._selector.get_map():
                    self._selector.unregister(made)

    def _when_readable(self, made: socket.socket, act: Callable[[socket.socket], None]) -> None:
        self._selector.register(made, selectors.EVENT_READ, lambda: act(made))

    @staticmethod
    def _accept(listening: socket.socket) -> None:
        with suppress(BlockingIOError):
            listening.accept()[0].close()

    @staticmethod
    def _echo(server: socket.socket) -> None:
        with suppress(BlockingIOError):
            server.sendto(*server.recvfrom(16))


def probes(addresses: Iterable[str]) -> list[Probe]:
    """Every connection that there is between these."""
    each = list(addresses)
    return [(a, b, protocol, port) for a in each for b in each for protocol in ("TCP", "UDP") for port in NUMBERS]
