"""The policies of the truth table, in the manner of cyclonus: pods a, b, c in namespaces x, y, z, ports 80 and 81 of TCP and UDP.

Pods a and c of each namespace are on node n1, b is on n2. Port 80 has a name everywhere (`serve-80-tcp`, `serve-80-udp`); `web`
is 80 of pods a but 81 of pods b. `OUTSIDE` is no pod.
"""

from typing import Any

from tests.policy_oracle import Cluster

NAMESPACES, NAMES = ("x", "y", "z"), ("a", "b", "c")
SUBNETS = {"n1": "10.60.1", "n2": "10.60.2"}
OUTSIDE = "10.78.9.9"
PORTS = (("TCP", 80), ("TCP", 81), ("UDP", 80), ("UDP", 81))
Policy = dict[str, Any]


def node_of(name: str) -> str:
    """Where pods of this name are."""
    return "n2" if name == "b" else "n1"


def address_of(namespace: str, name: str) -> str:
    """The address of a pod."""
    return f"{SUBNETS[node_of(name)]}.{10 * (NAMESPACES.index(namespace) + 1) + NAMES.index(name)}"


def _pod(namespace: str, name: str) -> dict[str, Any]:
    ports = [
        {"name": "serve-80-tcp", "containerPort": 80},
        {"name": "serve-80-udp", "containerPort": 80, "protocol": "UDP"},
        *([{"name": "web", "containerPort": 81 if name == "b" else 80}] if name != "c" else []),
    ]
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": {"pod": name}},
        "spec": {"nodeName": node_of(name), "containers": [{"name": "serve", "ports": ports}]},
        "status": {"phase": "Running", "podIP": address_of(namespace, name)},
    }


EMPTY = Cluster(
    (),
    tuple({"metadata": {"name": name, "labels": {"ns": name}}} for name in NAMESPACES),
    tuple(_pod(namespace, name) for namespace in NAMESPACES for name in NAMES),
)


def policy(name: str = "policy", *, namespace: str = "x", pods: dict[str, Any] | None = None, **spec: Any) -> Policy:
    """A policy as the API has it; `ingress` and `egress` decide the types where none are given."""
    types = [each.capitalize() for each in ("ingress", "egress") if each in spec]
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"podSelector": pods or {}, "policyTypes": types, **spec},
    }


def label(key: str, *values: str) -> dict[str, Any]:
    """A selector for one value, or for one of several."""
    if len(values) == 1:
        return {"matchLabels": {key: values[0]}}
    return {"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}


A = label("pod", "a")
FROM_B = {"podSelector": label("pod", "b")}
FROM_Y = {"namespaceSelector": label("ns", "y")}
BOTH = {"namespaceSelector": label("ns", "y"), "podSelector": label("pod", "b")}
NOT_X = {"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": ["x"]}]}}


def _block(cidr: str, *excepted: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, **({"except": list(excepted)} if excepted else {})}}


CASES: dict[str, list[Policy]] = {
    "no policy": [],
    "deny all ingress of a namespace": [policy(ingress=[])],
    "deny all egress of a namespace": [policy(egress=[])],
    "deny all": [policy(ingress=[], egress=[])],
    "allow all ingress": [policy(ingress=[{}])],
    "allow all egress over deny all ingress": [policy(ingress=[], egress=[{}])],
    "allow the same namespace": [policy(ingress=[{"from": [{"podSelector": {}}]}])],
    "allow by label in the own namespace": [policy(pods=A, ingress=[{"from": [FROM_B]}])],
    "allow by namespace label": [policy(pods=A, ingress=[{"from": [FROM_Y]}])],
    "two selectors of one peer are both asked": [policy(pods=A, ingress=[{"from": [BOTH]}])],
    "two peers are either": [policy(pods=A, ingress=[{"from": [FROM_Y, FROM_B]}])],
    "allow from all other namespaces": [policy(ingress=[{"from": [NOT_X]}])],
    "allow from every namespace": [policy(pods=A, ingress=[{"from": [{"namespaceSelector": {}}]}])],
    "allow from nobody that exists": [policy(ingress=[{"from": [{"podSelector": label("pod", "none")}]}])],
    "allow from a block": [policy(ingress=[{"from": [_block("10.78.0.0/16")]}])],
    "allow from a block but for some": [policy(ingress=[{"from": [_block("0.0.0.0/0", "10.60.2.0/24", "10.78.9.9/32")]}])],
    "an exception of one peer is no exception of another": [
        policy(ingress=[{"from": [_block("10.60.0.0/16", "10.60.2.0/24"), FROM_Y]}])
    ],
    "allow one port": [policy(ingress=[{"ports": [{"port": 80}]}])],
    "allow one port of UDP": [policy(ingress=[{"ports": [{"port": 81, "protocol": "UDP"}]}])],
    "allow a protocol": [policy(ingress=[{"ports": [{"protocol": "UDP"}]}])],
    "allow a named port": [policy(ingress=[{"ports": [{"port": "serve-80-tcp"}]}])],
    "a named port is another number in each pod": [policy(ingress=[{"ports": [{"port": "web"}]}])],
    "allow a range of ports": [
        policy(ingress=[{"ports": [{"port": 81, "endPort": 90}, {"port": 1, "endPort": 80, "protocol": "UDP"}]}])
    ],
    "peers and ports of one rule are both asked": [policy(ingress=[{"from": [FROM_Y], "ports": [{"port": 80}]}])],
    "rules are either": [
        policy(ingress=[{"from": [FROM_Y], "ports": [{"port": 80}]}, {"from": [FROM_B], "ports": [{"port": 81}]}])
    ],
    "egress by label": [policy(pods=A, egress=[{"to": [FROM_B]}])],
    "egress to another namespace on one port": [policy(egress=[{"to": [FROM_Y], "ports": [{"port": 81}]}])],
    "egress to a block": [policy(egress=[{"to": [_block("10.78.0.0/16"), _block("10.60.2.0/25")]}])],
    "egress to a named port": [policy(egress=[{"ports": [{"port": "web"}]}])],
    "egress to a named port of some": [
        policy(egress=[{"to": [FROM_Y], "ports": [{"port": "web"}, {"port": 81, "protocol": "UDP"}]}])
    ],
    "both directions of one policy": [
        policy(pods=A, ingress=[{"from": [FROM_Y]}], egress=[{"to": [FROM_B], "ports": [{"port": 80}]}])
    ],
    "both ends must agree": [
        policy("in", namespace="y", ingress=[{"ports": [{"port": 80}]}]),
        policy("out", namespace="x", egress=[{"ports": [{"port": 81}, {"port": 80, "protocol": "UDP"}]}]),
    ],
    "policies add up": [
        policy("deny", ingress=[]),
        policy("by-label", pods=A, ingress=[{"from": [FROM_B]}]),
        policy("by-namespace", pods=label("pod", "a", "c"), ingress=[{"from": [FROM_Y], "ports": [{"port": 81}]}]),
    ],
    "types by default: no egress, no isolation of it": [
        {"metadata": {"namespace": "x", "name": "default"}, "spec": {"podSelector": {}, "ingress": [{"from": [FROM_Y]}]}}
    ],
    "types by default: egress rules isolate both ways": [
        {"metadata": {"namespace": "x", "name": "default"}, "spec": {"podSelector": A, "egress": [{"to": [FROM_Y]}]}}
    ],
    "rules of a direction that is not in the types": [policy(policyTypes=["Egress"], ingress=[], egress=[{"to": [FROM_B]}])],
    "all that match expressions can say": [
        policy(
            pods={"matchExpressions": [{"key": "pod", "operator": "Exists"}, {"key": "other", "operator": "DoesNotExist"}]},
            ingress=[
                {
                    "from": [
                        {
                            "namespaceSelector": label("ns", "x", "z"),
                            "podSelector": {"matchExpressions": [{"key": "pod", "operator": "NotIn", "values": ["c"]}]},
                        }
                    ]
                }
            ],
        )
    ],
    "peers without a namespace are of the policy's own": [
        policy(ingress=[{"from": [FROM_B]}]),
        policy(namespace="y", ingress=[{"from": [FROM_B]}]),
    ],
    "a label that is missing is in no set": [
        policy(pods={"matchExpressions": [{"key": "other", "operator": "NotIn", "values": ["a"]}]}, egress=[{"to": [FROM_B]}])
    ],
    "a name is that of a port of one protocol": [policy(ingress=[{"ports": [{"port": "web", "protocol": "UDP"}]}])],
    "nor does egress take a name for another protocol": [policy(egress=[{"ports": [{"port": "serve-80-udp"}, {"port": 81}]}])],
}
