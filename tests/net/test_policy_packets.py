"""What the truth table does not show: services, nodes, answers, pings, connections that are open while policies change."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

import pytest

from kubeception_sim.agents.policy import kernel
from kubeception_sim.agents.policy.objects import Protocol
from kubeception_sim.agents.policy.ruleset import Allow, Ports, Ruleset
from kubeception_sim.agents.policy.table import generation, render
from kubeception_sim.lab import Lab
from tests.net.policy_ground import NODE_ADDRESSES, Ground, ground, inside, rules_of
from tests.policy_cases import EMPTY, OUTSIDE, Policy, address_of, policy
from tests.policy_oracle import Cluster

XA, XC, YA, XB = address_of("x", "a"), address_of("x", "c"), address_of("y", "a"), address_of("x", "b")
SERVICE = "10.61.0.9"
DENY = policy(ingress=[])
SECONDS = 10.0


@pytest.fixture
def nodes(lab: Lab) -> Iterator[Ground]:
    with ground(lab) as made:
        yield made


def load(nodes: Ground, *policies: Policy) -> None:
    nodes.load(EMPTY.having(*policies))


def service(nodes: Ground, backend: str) -> None:
    """What kube-proxy writes for a service of one pod, masquerading of a pod that reaches itself included."""
    nodes.nft(
        "n1",
        f"""
        table ip proxy
        delete table ip proxy
        table ip proxy {{
          chain services {{
            type nat hook prerouting priority dstnat
            ip daddr {SERVICE} tcp dport 8000 dnat to {backend}:80
          }}
          chain hairpin {{
            type nat hook postrouting priority srcnat
            ip saddr {backend} ip daddr {backend} masquerade
          }}
        }}
        """,
    )


def listen(nodes: Ground, address: str, port: int = 80) -> socket.socket:
    made = nodes.socket(address, socket.SOCK_STREAM, port)
    made.listen(16)
    return made


def connects(nodes: Ground, source: str, target: str, port: int, seconds: float = 1.0) -> bool:
    made = nodes.socket(source, socket.SOCK_STREAM)
    made.settimeout(seconds)
    try:
        made.connect((target, port))
    except OSError:
        return False
    return True


def test_a_service_is_judged_by_the_pod_behind_it(nodes: Ground) -> None:
    only_80_from_c = policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"pod": "c"}}}], "ports": [{"port": 80}]}])
    listen(nodes, XA)
    service(nodes, XA)
    load(nodes, only_80_from_c)
    assert connects(nodes, XC, SERVICE, 8000)
    assert not connects(nodes, YA, SERVICE, 8000)


def test_egress_to_a_service_is_egress_to_its_pods(nodes: Ground) -> None:
    to_a_block = policy(egress=[{"to": [{"ipBlock": {"cidr": f"{SERVICE}/32"}}]}])
    to_a_pod = policy(egress=[{"to": [{"podSelector": {}}], "ports": [{"port": 80}]}])
    listen(nodes, XA)
    service(nodes, XA)
    load(nodes, to_a_block)
    assert not connects(nodes, XC, SERVICE, 8000)
    load(nodes, to_a_pod)
    assert connects(nodes, XC, SERVICE, 8000)


def test_a_pod_reaches_itself_through_a_service_whatever_the_policies(nodes: Ground) -> None:
    listen(nodes, XA)
    service(nodes, XA)
    load(nodes, policy(ingress=[], egress=[]))
    assert connects(nodes, XA, SERVICE, 8000)
    assert not connects(nodes, XC, SERVICE, 8000)


def test_a_node_reaches_its_own_pods_and_not_those_of_others(nodes: Ground) -> None:
    load(nodes, policy(ingress=[], egress=[]))
    nodes.homes |= {NODE_ADDRESSES[name]: nodes.node(name) for name in NODE_ADDRESSES}
    assert nodes.pings(NODE_ADDRESSES["n1"], XA)
    assert not nodes.pings(NODE_ADDRESSES["n2"], XA)
    assert nodes.pings(XA, NODE_ADDRESSES["n1"]), "a pod's own node is part of the bargain"
    assert not nodes.pings(XA, NODE_ADDRESSES["n2"])


def test_another_node_is_a_block_of_one_address(nodes: Ground) -> None:
    load(nodes, policy(ingress=[{"from": [{"ipBlock": {"cidr": f"{NODE_ADDRESSES['n2']}/32"}}]}]))
    nodes.homes[NODE_ADDRESSES["n2"]] = nodes.node("n2")
    assert nodes.pings(NODE_ADDRESSES["n2"], XA)
    assert not nodes.pings(OUTSIDE, XA)


def test_protocols_without_ports_pass_where_no_ports_are_asked_for(nodes: Ground) -> None:
    load(nodes, policy(ingress=[{"from": [{"podSelector": {}}]}]))
    assert nodes.pings(XC, XA)
    load(nodes, policy(ingress=[{"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP"}, {"protocol": "UDP"}]}]))
    assert not nodes.pings(XC, XA)


@pytest.mark.parametrize("source", [XC, XB], ids=["same node", "other node"])
def test_a_policy_is_felt_by_connections_that_are_open(nodes: Ground, source: str) -> None:
    load(nodes)
    server, client = nodes.socket(XA, socket.SOCK_DGRAM, 80), nodes.socket(source, socket.SOCK_DGRAM)
    client.connect((XA, 80))
    exchange(client, server)
    load(nodes, DENY)
    client.send(b"after")
    server.settimeout(0.5)
    with pytest.raises(TimeoutError):
        server.recv(16)
    load(nodes)
    exchange(client, server)


def exchange(client: socket.socket, server: socket.socket) -> None:
    """One question and its answer, so that the connection is known as one that both ends use."""
    for each in (client, server):
        each.settimeout(SECONDS)
    client.send(b"ping")
    data, address = server.recvfrom(16)
    server.sendto(data, address)
    assert client.recv(16) == b"ping"


@pytest.mark.parametrize("source", [XC, XB], ids=["same node", "other node"])
def test_no_packet_slips_through_while_tables_are_replaced(nodes: Ground, source: str) -> None:
    """Two tables take turns that both deny x/a; new connections are tried all the while."""
    tables = [rules_of(EMPTY.having(*listed), "n1") for listed in ([DENY], [DENY, policy("more", namespace="y", egress=[{}])])]
    nodes.replace("n1", tables[0])
    server = nodes.socket(XA, socket.SOCK_DGRAM, 80)
    with Flood(nodes, source) as flood:
        for _ in range(60):
            for table in tables:
                nodes.replace("n1", table)
    assert flood.sent > 10_000, "else this says little"
    with pytest.raises(BlockingIOError):
        server.recv(16)


@pytest.mark.parametrize("source", [XC, XB], ids=["same node", "other node"])
def test_no_packet_is_lost_while_tables_are_replaced(nodes: Ground, source: str) -> None:
    allow = policy(ingress=[{"from": [{"podSelector": {}}], "ports": [{"port": 80, "protocol": "UDP"}]}])
    tables = [rules_of(EMPTY.having(*listed), "n1") for listed in ([allow], [allow, DENY])]
    nodes.replace("n1", tables[0])
    server, client = nodes.socket(XA, socket.SOCK_DGRAM, 80), nodes.socket(source, socket.SOCK_DGRAM)
    client.connect((XA, 80))
    exchange(client, server)
    stop, exchanges = threading.Event(), 0

    def rewrite() -> None:
        for turn in range(60):
            nodes.replace("n1", tables[turn % 2])
        stop.set()

    thread = threading.Thread(target=rewrite)
    thread.start()
    while not stop.is_set():
        exchange(client, server)
        exchanges += 1
    thread.join()
    assert exchanges > 100, "else this says little"


class Flood:
    """Datagrams to port 80 of x/a from many ports, as fast as they go."""

    def __init__(self, nodes: Ground, source: str) -> None:
        self._sockets = [nodes.socket(source, socket.SOCK_DGRAM) for _ in range(64)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0

    def _run(self) -> None:
        while not self._stop.is_set():
            for each in self._sockets:
                with suppress(BlockingIOError):
                    self.sent += each.sendto(b"!", (XA, 80))

    def __enter__(self) -> "Flood":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_without_the_bridge_s_netfilter_traffic_within_a_node_is_not_seen_and_the_agent_says_so(nodes: Ground) -> None:
    load(nodes, DENY)
    with inside(nodes.node("n1")):
        assert kernel.problem() == ""
    nodes.sysctl("n1", "net.bridge.bridge-nf-call-iptables=0")
    with inside(nodes.node("n1")):
        assert kernel.problem().startswith("net.bridge.bridge-nf-call-iptables is 0, not 1")
    assert nodes.pings(XC, XA), "this is why"
    assert not nodes.pings(XB, XA)


def test_what_nft_refuses_leaves_the_rules_of_before(nodes: Ground) -> None:
    load(nodes, DENY)
    open_ports = frozenset([Allow(None, frozenset([Ports(Protocol.TCP, 90, 80)]))])
    with inside(nodes.node("n1")):
        with pytest.raises(kernel.Refused, match=r"nft ended with 1: .*[Rr]ange"):
            kernel.apply(Ruleset(ingress={ip_address(XA): open_ports}))
        assert kernel.present()
    assert not nodes.pings(XC, XA)


def test_an_agent_that_ended_between_the_transactions_is_made_up_for(nodes: Ground) -> None:
    load(nodes, DENY)
    with inside(nodes.node("n1")):
        before = kernel.held()
    nodes.nft("n1", render(rules_of(EMPTY.having(policy(egress=[])), "n1"), before).prepare)
    with inside(nodes.node("n1")):
        between = kernel.held()
    assert (between.used, between.newest) == (before.used, before.used + 1)
    assert not nodes.pings(XC, XA), "the rules of before are in force"
    load(nodes)
    assert nodes.pings(XC, XA)
    load(nodes, DENY)
    with inside(nodes.node("n1")):
        assert {generation(name) for name in kernel.held().maps} == {kernel.held().used}


def test_removal_opens_the_pods_and_may_be_repeated(nodes: Ground) -> None:
    load(nodes, DENY)
    with inside(nodes.node("n1")):
        kernel.remove()
        kernel.remove()
        assert not kernel.present()
    assert nodes.pings(XC, XA)


def test_a_thousand_pods_are_loaded_within_a_second(nodes: Ground) -> None:
    """Not a benchmark: a bound that a table with a rule for each pair of pods would miss by far."""
    pods = [
        {
            "metadata": {"namespace": f"n{number % 20}", "name": f"p{number}", "labels": {"app": str(number % 50)}},
            "spec": {"nodeName": f"n{number // 100}"},
            "status": {"podIP": f"10.60.{number // 200}.{number % 200 + 5}"},
        }
        for number in range(1000)
    ]
    namespaces = [{"metadata": {"name": f"n{number}"}} for number in range(20)]
    policies = [
        policy(f"p{number}", namespace=f"n{number}", ingress=[{"from": [{"namespaceSelector": {}}], "ports": [{"port": 80}]}])
        for number in range(20)
    ]
    ruleset = rules_of(Cluster(tuple(policies), tuple(namespaces), tuple(pods)), "n1")
    assert len(ruleset.ingress) == 100
    started = time.monotonic()
    nodes.replace("n1", ruleset)
    assert time.monotonic() - started < 1.0
