"""Where a machine is, as its pod says it: environment variables, read with all their problems at once. Pure.

KUBECEPTION_CLUSTER, _VNI, _INDEX, _SUBNET   the cluster, its network, the machine's /30 in it
KUBECEPTION_ROLE                             master or worker: which of its ports the pod hands on
KUBECEPTION_PODS                             the network of the pods inside, a /24 of it for each machine; may be missing: the
                                             machine speaks with its own address only then
KUBECEPTION_TAP                              its cable (tap0); a link of that name which is there already is taken as it is
POD_IP                                       the pod's address
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from kubeception_sim.agents.vm import addresses

PREFIX = "KUBECEPTION_"
TAP = "tap0"
BLOCK_PREFIX, PODS_PREFIX = 30, 24
LONGEST_VNI = 9999
"""The names of links end in it, and have at most 15 characters (IFNAMSIZ)."""
PORTS = {"master": 6443, "worker": 30080}
"""What the pod hands on to its machine: the API of a master, the ingress of a worker."""
_BRIDGE, _VTEP = 0x0A, 0x0E  # beside the machine's 0x06: locally administered, and none of a group (IEEE 802, 8.2)

_T = TypeVar("_T")


class Unfit(ValueError):
    """The environment is no place. The message has a line for each problem."""


@dataclass(frozen=True)
class Place:
    """A machine's place; `pod` is the address of the pod, `pods` the network of the pods inside, `cable` the machine's link."""

    cluster: str
    vni: int
    index: int
    subnet: IPv4Network
    pods: IPv4Network | None
    port: int
    pod: IPv4Address
    cable: str = TAP

    @property
    def bridge(self) -> str:
        """The name of the bridge."""
        return f"br-{self.vni}"

    @property
    def vxlan(self) -> str:
        """The name of the VXLAN device, which is flannel's."""
        return f"flannel.{self.vni}"

    @property
    def block(self) -> IPv4Network:
        """The machine's /30."""
        return IPv4Network((self.gateway, BLOCK_PREFIX), strict=False)

    @property
    def gateway(self) -> IPv4Address:
        """The address of the bridge."""
        return addresses.gateway(self.subnet, self.index)

    @property
    def machine(self) -> IPv4Address:
        """The address of the machine."""
        return addresses.address(self.subnet, self.index).ip

    @property
    def pods_block(self) -> IPv4Network | None:
        """The pods of this machine: the /24 of its number, the first being nobody's."""
        if self.pods is None:
            return None
        first = int(self.pods.network_address) + (self.index << (32 - PODS_PREFIX))
        return IPv4Network((first, PODS_PREFIX))

    @property
    def machine_mac(self) -> str:
        """The MAC address of the machine."""
        return machine_mac(self.vni, self.index)

    @property
    def bridge_mac(self) -> str:
        """The MAC address of the bridge, which is that of the gateway."""
        return _instead(self.machine_mac, _BRIDGE)

    @property
    def vtep_mac(self) -> str:
        """The MAC address of the VXLAN device."""
        return _instead(self.machine_mac, _VTEP)


def machine_mac(vni: int, index: int) -> str:
    """The MAC address of a machine: everybody in the cluster can tell it from the lease."""
    return addresses.mac(vni, index)


def index_of(subnet: IPv4Network, block: IPv4Network) -> int:
    """Which machine has a /30. Raises ValueError when none has it."""
    if block.prefixlen != BLOCK_PREFIX or not block.subnet_of(subnet) or block.network_address == subnet.network_address:
        raise ValueError(f"{block} is no machine's in {subnet}")
    return (int(block.network_address) - int(subnet.network_address)) >> (32 - BLOCK_PREFIX)


def read(environment: Mapping[str, str]) -> Place:
    """The place. Raises Unfit with all that is wrong."""
    fields = _Fields(environment)
    place = Place(
        cluster=fields.get(f"{PREFIX}CLUSTER", _label, ""),
        vni=fields.get(f"{PREFIX}VNI", _number(LONGEST_VNI), 1),
        index=fields.get(f"{PREFIX}INDEX", _number(1 << 16), 1),
        subnet=fields.get(f"{PREFIX}SUBNET", IPv4Network, IPv4Network("172.23.0.0/24")),
        pods=fields.get(f"{PREFIX}PODS", IPv4Network, None) if environment.get(f"{PREFIX}PODS") else None,
        port=fields.get(f"{PREFIX}ROLE", _port, 0),
        pod=fields.get("POD_IP", IPv4Address, IPv4Address(0)),
        cable=environment.get(f"{PREFIX}TAP") or TAP,
    )
    if not fields.problems:
        fields.problems += _contradictions(place)
    if fields.problems:
        raise Unfit("\n".join(fields.problems))
    return place


def _contradictions(place: Place) -> list[str]:
    try:
        found = [f"{place.pod} of the pod is in {place.subnet} of the machines"] if place.pod in place.subnet else []
        if place.pods_block and place.pods and not place.pods_block.subnet_of(place.pods):
            found.append(f"{place.pods} has no /{PODS_PREFIX} for machine {place.index}")
        _ = place.machine, place.machine_mac
    except ValueError as error:
        return [str(error)]
    return found


class _Fields:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def get(self, name: str, convert: Callable[[str], _T], instead: _T) -> _T:
        """The value, or `instead` of it with a problem more."""
        text = self._environment.get(name)
        if not text:
            self.problems.append(f"{name} is missing")
            return instead
        try:
            return convert(text)
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            return instead


def _number(last: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= last):
            raise ValueError(f"{text!r} is no number from 1 to {last}")
        return int(text)

    return convert


def _label(text: str) -> str:
    # It becomes part of a key in etcd: nothing in it may end a part of the path.
    if not (text.isascii() and text.replace("-", "").isalnum()):
        raise ValueError(f"{text!r} is no name of a cluster")
    return text


def _port(text: str) -> int:
    if text not in PORTS:
        raise ValueError(f"{text!r} is none of {', '.join(PORTS)}")
    return PORTS[text]


def _instead(mac: str, first: int) -> str:
    return f"{first:02x}{mac[2:]}"
