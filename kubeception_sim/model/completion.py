"""What a scenario leaves to us: serials, addresses of machines in racks, and the steps of one that has none."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from ignition.document import Duration
from kubeception_sim.model.boot import HostState
from kubeception_sim.model.scenario import UNASSIGNED, Await, AwaitCluster, Machine, PowerOn, Scenario, Step

FIRST_HOST = 11  # below are routers and servers
RUNNING_WITHIN = Duration(600)
CLUSTER_WITHIN = Duration(300)


def complete(scenario: Scenario) -> Scenario:
    """The scenario with a serial for every machine, an address for those in a rack, and steps.

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
    return replace(scenario, machines=tuple(machines), steps=scenario.steps or _steps(scenario))


def _steps(scenario: Scenario) -> tuple[Step, ...]:
    """Everything on, until it runs, until the cluster serves if there is one."""
    running = Await("await", RUNNING_WITHIN, state=HostState.RUNNING)
    cluster = (AwaitCluster("cluster", CLUSTER_WITHIN),) if scenario.outer else ()
    return (PowerOn("power-on"), running, *cluster)


def _free(subnet: IPv4Network, taken: Iterable[IPv4Address]) -> IPv4Address:
    hosts = (subnet[number] for number in range(FIRST_HOST, subnet.num_addresses - 1))
    return next((address for address in hosts if address not in taken), UNASSIGNED)
