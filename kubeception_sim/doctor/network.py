"""What fabrics, clusters and faults do to the network, each in small in a namespace that is gone afterwards."""

from collections.abc import Callable, Iterator

from kubeception_sim.doctor.finding import Finding, Group, Part, Status, Thing
from kubeception_sim.errors import KubeceptionError
from kubeception_sim.lab import Lab
from kubeception_sim.run import run

_SECONDS = 10.0
_QUEUE = "tc qdisc add dev tap0"
_ROOT = "run as root: sudo kubeception doctor"
_KERNEL = "or another kernel"
_FABRIC = frozenset((Part.FABRIC,))
_CLUSTER = frozenset((Part.CLUSTER,))
_NAMESPACE = Thing("network namespace", Group.NETWORK, "CAP_NET_ADMIN and CAP_SYS_ADMIN: every fabric", _ROOT, _FABRIC)


def _thing(key: str, means: str, fix: str, parts: frozenset[Part] = frozenset()) -> Thing:
    return Thing(key, Group.NETWORK, means, fix, parts)


def _rules(body: str, *, family: str = "inet") -> str:
    """A table with these rules, which are one statement a line."""
    text = body.replace("; ", "\n").replace("{ ", "{\n").replace(" }", "\n}")
    return f"nft -f - <<'END'\ntable {family} t {{\n{text}\n}}\nEND\nnft delete table {family} t"


# In order: later ones use the tap.
_TRIES: tuple[tuple[Thing, str], ...] = (
    (_thing("bridge", "every rack", "modprobe bridge", _FABRIC), "ip link add br0 type bridge"),
    (
        _thing("VLAN filtering", "VLANs on a bridge", "a kernel with CONFIG_BRIDGE_VLAN_FILTERING"),
        "ip link add br1 type bridge vlan_filtering 1",
    ),
    (
        _thing(
            "veth",
            "cables of namespace machines, and pods",
            "modprobe veth",
            frozenset((Part.NAMESPACE, Part.DOCKER, Part.CLUSTER)),
        ),
        "ip link add v0 type veth peer name v1",
    ),
    (
        _thing("TUN/TAP", "cables of virtual machines", "modprobe tun", frozenset((Part.FABRIC,))),
        "ip tuntap add dev tap0 mode tap",
    ),
    (_thing("VXLAN", "overlay networks in a cluster", "modprobe vxlan"), "ip link add x0 type vxlan id 1 dstport 4789 dev lo"),
    (
        _thing("nftables", "the policy agent", "modprobe nf_tables", _CLUSTER),
        _rules("chain c { type filter hook forward priority 0; drop; }"),
    ),
    (
        _thing("conntrack", "replies through policies, and services", "modprobe nf_conntrack", _CLUSTER),
        _rules("chain c { type filter hook forward priority 0; ct state established accept; }"),
    ),
    (
        _thing("NAT", "services", "modprobe nft_chain_nat", _CLUSTER),
        _rules("chain c { type nat hook postrouting priority 100; masquerade; }"),
    ),
    (
        _thing("br_netfilter", "rules for bridged pods", "modprobe br_netfilter"),
        "cat /proc/sys/net/bridge/bridge-nf-call-iptables",
    ),
    (
        _thing(
            "faults: partition, loss", "drops frames in a bridge", "modprobe -a nft_numgen nf_tables", frozenset((Part.FRAMES,))
        ),
        _rules("chain c { type filter hook prerouting priority 0; numgen random mod 2 <= 0 drop; }", family="bridge"),
    ),
    (
        _thing(
            "fault: rate",
            "slow cables",
            f"modprobe -a sch_tbf sch_ingress cls_u32 act_mirred ifb, {_KERNEL}",
            frozenset((Part.RATE,)),
        ),
        "\n".join(
            (
                "ip link add ifb-a type ifb",
                f"{_QUEUE} root tbf rate 1mbit burst 16kb latency 400ms",
                f"{_QUEUE} ingress",
                "tc filter add dev tap0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ifb-a",
                "tc qdisc delete dev tap0 root",
            )
        ),
    ),
    (
        _thing("fault: delay", "late frames", f"modprobe sch_netem, {_KERNEL}", frozenset((Part.DELAY,))),
        f"{_QUEUE} root netem delay 1ms",
    ),
)


def try_network(inside: Callable[[Lab, str], Iterator[Finding]] | None = None) -> Iterator[Finding]:
    """Try all; without namespaces nothing of the rest can be tried. `inside` is asked for more while the namespace is there."""
    try:
        with Lab.create() as lab:
            name = lab.namespace("doctor")
            namespace = _NAMESPACE.tried(lambda: _run(["ip", "netns", "add", name]))
            yield namespace
            if namespace.status is not Status.OK:
                yield from _untried("no network namespace")
                return
            try:
                for thing, script in _TRIES:
                    yield thing.tried(lambda script=script: _run(["sh", "-ec", script], namespace=name))  # type: ignore[misc]
                if inside:
                    yield from inside(lab, name)
            finally:
                run(["ip", "netns", "delete", name], timeout=_SECONDS)
    except KubeceptionError as error:
        yield _NAMESPACE.found(Status.MISSING, error.message, error.hint)
        yield from _untried("no network namespace")


def _untried(why: str) -> Iterator[Finding]:
    return (thing.untried(why, _ROOT) for thing, _ in _TRIES)


def _run(argv: list[str], namespace: str | None = None) -> str:
    run(argv, timeout=_SECONDS, namespace=namespace)
    return ""
