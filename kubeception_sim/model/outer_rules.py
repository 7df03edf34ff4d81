"""What makes an outer cluster sensible."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from ignition.document import Problem
from kubeception_sim.model.scenario import DriverName, Pki, Role, Scenario

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123: a name is a host name and a file name too


def outer_problems(scenario: Scenario) -> Iterator[Problem]:
    """What is wrong with it, and with the roles of machines."""
    roles = [machine.role for machine in scenario.machines if machine.role]
    if scenario.outer is None:
        if roles:
            yield scenario.origin.error("machines have roles, but there is no 'outer'", "outer", hint="outer: {}")
        return
    outer, masters = scenario.outer, roles.count(Role.MASTER)
    if masters not in (1, 3, 5):
        hint = "etcd needs a majority: 1, 3 or 5"
        yield outer.origin.error(f"{masters} machines have the role master", hint=hint)
    if scenario.driver is DriverName.FAKE:
        yield scenario.origin.error("fake machines run no cluster", "driver", hint="namespace, qemu, docker or libvirt")
    if outer.clusters and outer.pki is Pki.EMBEDDED:
        yield outer.origin.error("inner clusters need authorities of their own", "pki", hint="pki: openbao")
    if outer.clusters and not usable(scenario.fabric.entrance, scenario.fabric.subnet):
        yield scenario.fabric.origin.error(f"no room after {scenario.fabric.server} for the entrance of inner clusters", "server")
    if not outer.systems or len(set(outer.systems)) != len(outer.systems) or not all(map(LABEL.fullmatch, outer.systems)):
        yield outer.origin.error("must be names of small letters, digits and hyphens, none of them twice", "systems")
    subnets = {"fabric": scenario.fabric.subnet} | {f"rack {rack.name}": rack.subnet for rack in scenario.fabric.racks}
    for key, own in (("pods", outer.pods), ("services", outer.services)):
        for what, subnet in subnets.items():
            if own.overlaps(subnet):
                yield outer.origin.error(f"{own} overlaps with {subnet} of the {what}", key)
    if outer.pods.overlaps(outer.services):
        yield outer.origin.error(f"{outer.services} overlaps with the pods' {outer.pods}", "services")
    if outer.pods.prefixlen > 24 or 2 ** (24 - outer.pods.prefixlen) <= len(scenario.machines):
        yield outer.origin.error(f"{outer.pods} has not a /24 for each machine", "pods")
    if outer.services.prefixlen > 24:
        yield outer.origin.error(f"{outer.services} is too small", "services", hint="a /24 at least")


def usable(address: IPv4Address, subnet: IPv4Network) -> bool:
    """Whether a host may have the address."""
    return address in subnet and address not in (subnet.network_address, subnet.broadcast_address)
