"""What a scenario leaves to us: serials and addresses of machines in racks."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from kubeception_sim.model.scenario import UNASSIGNED, Machine, Scenario

FIRST_HOST = 11  # below are routers and servers


def complete(scenario: Scenario) -> Scenario:
    """The scenario with a serial for every machine and an address for those in a rack.

    The serial is KC- and the name. Addresses go upwards from the eleventh of the rack's subnet in the order of the file, past
    those that the file itself gives. A machine in no known rack, or in one that is full, stays without: `model.rules` says so.
    """
    taken = {machine.address for machine in scenario.machines}
    machines: list[Machine] = []
    for machine in scenario.machines:
        if machine.address == UNASSIGNED and (rack := scenario.rack(machine)):
            machine = replace(machine, address=_free(rack.subnet, taken))
            taken.add(machine.address)
        machines.append(machine if machine.serial else replace(machine, serial=f"KC-{machine.name}"))
    return replace(scenario, machines=tuple(machines))


def _free(subnet: IPv4Network, taken: Iterable[IPv4Address]) -> IPv4Address:
    hosts = (subnet[number] for number in range(FIRST_HOST, subnet.num_addresses - 1))
    return next((address for address in hosts if address not in taken), UNASSIGNED)
