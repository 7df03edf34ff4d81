"""What stands and how it is, at this moment: machines, mayu's view of them, nodes, routes, balancer. Changes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.bringup import OuterCluster
from kubeception_sim.giantnetes.nodes import Node, nodes_of, unavailable, unready
from kubeception_sim.machines import Machine, MachineState
from kubeception_sim.model.boot import HostState
from kubeception_sim.model.scenario import Scenario
from kubeception_sim.model.timeline import Timeline
from kubeception_sim.network.router import Router
from kubeception_sim.scenario.bench import Bench

_ASK_SECONDS = 10.0
_ESTABLISHED = "Established"  # RFC 4271, section 8.2.2


@dataclass(frozen=True)
class MachineNow:
    """A machine. `power` is what one sees standing before it, `state` and `stage` what mayu has heard of it."""

    name: str
    role: str
    rack: str
    address: str
    power: MachineState
    state: HostState
    stage: str


@dataclass(frozen=True)
class NodeNow:
    """A node as the API shows it. `current` is whether it runs the config that mayu served its machine last."""

    name: str
    ready: bool
    version: str
    config: str
    current: bool


@dataclass(frozen=True)
class NeighbourNow:
    """A host's BGP session with the router; `host` is its address where no machine has that, `routes` what it announces."""

    host: str
    asn: int
    state: str
    routes: tuple[str, ...]


@dataclass(frozen=True)
class BackendNow:
    """A server behind the balancer; `why` is what the last health check came to."""

    service: str
    name: str
    up: bool
    why: str


@dataclass(frozen=True)
class Survey:
    """Everything, and what is wrong with it: a line each."""

    machines: tuple[MachineNow, ...] = ()
    nodes: tuple[NodeNow, ...] = ()
    neighbours: tuple[NeighbourNow, ...] = ()
    backends: tuple[BackendNow, ...] = ()
    problems: tuple[str, ...] = ()


def survey(bench: Bench) -> Survey:
    """Look at everything. What cannot be asked is a problem, not an error; it takes seconds when the API hangs."""
    timelines = bench.observer.timelines
    machines = tuple(_machines(bench.scenario, bench.machines, timelines))
    problems = [line for machine in machines for line in _wrong(machine)]
    if trouble := bench.mayu.death() or bench.observer.trouble:
        problems.append(trouble.splitlines()[0])
    if bench.outer is None:
        return Survey(machines, problems=tuple(problems))
    outer, wanted = bench.outer, {host.name: timelines[host.name].config_id for host in bench.outer.cluster.hosts}
    nodes: tuple[NodeNow, ...] = ()
    neighbours: tuple[NeighbourNow, ...] = ()
    backends: tuple[BackendNow, ...] = ()
    try:
        backends = _backends(outer)
        problems += [f"{each.service} of {each.name} is down: {each.why}" for each in backends if not each.up]
        neighbours = _neighbours(outer, outer.router)
        problems += _unreached(outer, neighbours)
        found = nodes_of(outer.kubectl.get("nodes", timeout=_ASK_SECONDS))
        nodes = tuple(_node(node, wanted.get(name, "")) for name, node in found.items())
        problems += [*unready(found, wanted), *_addons(outer)]
    except HarnessError as error:
        problems.append(error.message.splitlines()[-1])
    return Survey(machines, nodes, neighbours, backends, tuple(problems))


def _machines(scenario: Scenario, machines: Mapping[str, Machine], timelines: Mapping[str, Timeline]) -> Iterator[MachineNow]:
    for each in scenario.machines:
        line = timelines[each.name]
        yield MachineNow(
            name=each.name,
            role=str(each.role or ""),
            rack=each.rack,
            address=str(each.address),
            power=_power(machines[each.name]),
            state=line.state,
            stage=str(line.last_stage or ""),
        )


def _power(machine: Machine) -> MachineState:
    try:
        return machine.state()
    except HarnessError:  # its emulator does not answer
        return MachineState.BROKEN


def _wrong(machine: MachineNow) -> Iterator[str]:
    if machine.power is not MachineState.RUNNING:
        yield f"{machine.name} is {machine.power}"
    elif machine.state is not HostState.RUNNING:
        yield f"{machine.name} is {machine.state}, last seen at {machine.stage or 'nothing'}"


def _node(node: Node, wanted: str) -> NodeNow:
    return NodeNow(node.name, node.ready, node.version, node.config, current=not wanted or node.config == wanted)


def _addons(outer: OuterCluster) -> list[str]:
    labels = ("-l", "kubeception.io/addon")
    return unavailable(outer.kubectl.get("-n", "kube-system", "deployments,daemonsets", *labels, timeout=_ASK_SECONDS)["items"])


def _backends(outer: OuterCluster) -> tuple[BackendNow, ...]:
    return tuple(BackendNow(each.service, each.name, each.up, each.why) for each in outer.balancer.backends())


def _neighbours(outer: OuterCluster, router: Router) -> tuple[NeighbourNow, ...]:
    names = {host.address: host.name for host in outer.cluster.hosts}
    routes = router.routes()
    return tuple(
        NeighbourNow(
            host=names.get(each.address, str(each.address)),
            asn=each.asn,
            state=each.state,
            routes=tuple(str(route.subnet) for route in routes if route.next_hop == each.address),
        )
        for each in router.neighbours()
    )


def _unreached(outer: OuterCluster, neighbours: tuple[NeighbourNow, ...]) -> Iterator[str]:
    """The hosts whose pods nobody can reach."""
    sessions = {each.host: each for each in neighbours}
    for host in outer.cluster.hosts:
        session = sessions.get(host.name)
        if session is None or session.state != _ESTABLISHED:
            yield f"{host.name} has no BGP session: {session.state if session else 'it has never called'}"
        elif str(host.pods) not in session.routes:
            yield f"{host.name} does not announce {host.pods}"
