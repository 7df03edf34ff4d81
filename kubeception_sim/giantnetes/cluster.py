"""The outer cluster that a scenario describes. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from kubeception_sim.model.scenario import Machine, Outer, Role, Scenario

API_PORT = 6443
POD_PREFIX = 24
ONE_RACK = "rack"  # where the machines of a fabric without racks stand
ROUTER_AS = 4_200_000_000
"""The first number for private use in 32 bits (RFC 6996). A host's is this and the last two bytes of its address (RFC 7938)."""


@dataclass(frozen=True)
class Host:
    """One machine as a node. `pods` is the subnet of its pods, which it announces to `gateway` as the system `asn`."""

    name: str
    role: Role
    rack: str
    address: IPv4Address
    gateway: IPv4Address
    pods: IPv4Network

    @property
    def asn(self) -> int:
        """Its number as an autonomous system."""
        return ROUTER_AS + int.from_bytes(self.address.packed[2:])


@dataclass(frozen=True)
class Cluster:
    """The whole. `api` is where clients find the API servers: the balancer's address."""

    version: str
    api: IPv4Address
    pods: IPv4Network
    services: IPv4Network
    domain: str
    hosts: tuple[Host, ...]

    @property
    def api_url(self) -> str:
        """The API through the balancer."""
        return f"https://{self.api}:{API_PORT}"

    @property
    def service(self) -> IPv4Address:
        """The address of the service `kubernetes`, the first of the range."""
        return self.services[1]

    @property
    def dns(self) -> IPv4Address:
        """The address of the cluster's DNS, the tenth of the range."""
        return self.services[10]

    @property
    def masters(self) -> tuple[Host, ...]:
        """The hosts with a control plane."""
        return tuple(host for host in self.hosts if host.role is Role.MASTER)

    @property
    def workers(self) -> tuple[Host, ...]:
        """The hosts that run what is not the cluster's own."""
        return tuple(host for host in self.hosts if host.role is Role.WORKER)


def cluster_of(scenario: Scenario, outer: Outer) -> Cluster:
    """The cluster of a valid scenario.

    Pod subnets go to the hosts in the order of the file, the first /24 to nobody: in a listing it looks like the whole range.
    """
    subnets = outer.pods.subnets(new_prefix=POD_PREFIX)
    next(subnets)
    members = [machine for machine in scenario.machines if machine.role]
    return Cluster(
        version=outer.kubernetes,
        api=scenario.fabric.server,
        pods=outer.pods,
        services=outer.services,
        domain=outer.domain,
        hosts=tuple(_hosts(scenario, members, subnets)),
    )


def _hosts(scenario: Scenario, members: list[Machine], subnets: Iterator[IPv4Network]) -> Iterator[Host]:
    for machine, subnet in zip(members, subnets, strict=False):
        assert machine.role is not None
        rack = machine.rack or ONE_RACK
        yield Host(machine.name, machine.role, rack, machine.address, scenario.gateway(machine), subnet)
