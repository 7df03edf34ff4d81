"""What makes a scenario file sensible beyond the shape of each value; everything wrong is reported at once."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ignition.document import DocumentError, Duration, Problem, decode, load
from kubeception_sim.errors import BadInput
from kubeception_sim.model.boot import HostState
from kubeception_sim.model.budgets import Outage, PowerOnTo, RunTo, StepTakes
from kubeception_sim.model.clusters import AwaitInner, Clusters, CreateCluster, DeleteCluster
from kubeception_sim.model.completion import complete
from kubeception_sim.model.fault_rules import Faults
from kubeception_sim.model.faults import FaultKind, Inject, Undo
from kubeception_sim.model.garbage import CompareTraces, KillController, NoteTraces
from kubeception_sim.model.life import EndProbe, RotateCluster, UpgradeCluster
from kubeception_sim.model.life_rules import probed
from kubeception_sim.model.outer_rules import LABEL, outer_problems, usable
from kubeception_sim.model.scenario import (
    UNASSIGNED,
    Await,
    AwaitCluster,
    Check,
    DriverName,
    KillWorker,
    Machine,
    PowerOff,
    PowerOn,
    Scenario,
    Settle,
    StartProbe,
)

_RACK = re.compile(r"[a-z0-9]{1,8}")  # goes into the names of links
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # goes into a SMBIOS string and into URLs


def _assumed(_path: Path) -> bool:
    return True


def parse(text: str, file: str, exists: Callable[[Path], bool] = _assumed) -> Scenario:
    """Read a scenario. `exists` answers whether a file named in it is there; nothing here looks at a disk.

    Raises BadInput, whose message counts the problems on its first line and lists all of them, one a line. A section
    that cannot be decoded is not used against the others: a machine that was left out for a wrong address is not an
    unknown machine elsewhere.
    """
    try:
        decoded = decode(load(text, file), Scenario)
    except DocumentError as error:
        raise _bad(file, error.problems) from error
    found = list(decoded.problems)
    if decoded.value is None:
        raise _bad(file, found)
    scenario = complete(decoded.value)
    found += _problems(scenario, exists, doubtful={re.split(r"[.\[]", problem.path)[0] for problem in found})
    if found:
        raise _bad(file, found)
    return scenario


def _bad(file: str, problems: Iterable[Problem]) -> BadInput:
    lines = [str(problem) for problem in sorted(problems, key=lambda problem: (problem.mark.line, problem.mark.column))]
    count = f"{len(lines)} problem{'s' * (len(lines) != 1)}"
    return BadInput("\n".join([f"{file}: {count}", *lines]))


def _problems(scenario: Scenario, exists: Callable[[Path], bool], doubtful: set[str]) -> Iterator[Problem]:
    if not LABEL.fullmatch(scenario.name):
        yield scenario.origin.error(f"{scenario.name!r} is no name", "name", hint="small letters, digits and hyphens")
    if not scenario.machines and "machines" not in doubtful:
        yield scenario.origin.error("at least one is needed", "machines")
    yield from _fabric(scenario)
    yield from _profiles(scenario, exists)
    yield from _machines(scenario, profiles_known="profiles" not in doubtful, places_known=not doubtful & {"machines", "fabric"})
    yield from _steps(scenario, exists, machines_known="machines" not in doubtful)
    yield from _budgets(scenario, machines_known="machines" not in doubtful)
    if not doubtful & {"machines", "outer"}:
        yield from outer_problems(scenario)


def _fabric(scenario: Scenario) -> Iterator[Problem]:
    fabric = scenario.fabric
    if not usable(fabric.server, fabric.subnet):
        yield fabric.origin.error(f"{fabric.server} is no host address of {fabric.subnet}", "server")
    if fabric.subnet.num_addresses < 8:
        yield fabric.origin.error(f"{fabric.subnet} has no room for a rack", "subnet", hint="use a /29 or larger")
    yield from _unique(fabric.racks, "name")
    for index, rack in enumerate(fabric.racks):
        if not _RACK.fullmatch(rack.name):
            yield rack.origin.error(f"{rack.name!r} is no name of a rack", "name", hint="up to 8 small letters and digits")
        if rack.subnet.num_addresses < 32:
            yield rack.origin.error(f"{rack.subnet} has no room for a rack", "subnet", hint="use a /27 or larger")
        others = [fabric.subnet, *(other.subnet for other in fabric.racks[:index])]
        if any(rack.subnet.overlaps(other) for other in others):
            yield rack.origin.error(f"{rack.subnet} overlaps with another subnet", "subnet")


def _profiles(scenario: Scenario, exists: Callable[[Path], bool]) -> Iterator[Problem]:
    yield from _unique(scenario.profiles, "name")
    for profile in scenario.profiles:
        if not exists(profile.ignition):
            yield profile.origin.error(f"no such file: {profile.ignition}", "ignition")


def _machines(scenario: Scenario, *, profiles_known: bool, places_known: bool) -> Iterator[Problem]:
    profiles = {profile.name for profile in scenario.profiles}
    for key in ("name", "serial", "address"):
        yield from _unique(scenario.machines, key)
    for machine in scenario.machines:
        yield from _machine(machine)
        if places_known:
            yield from _place(machine, scenario)
        if machine.profile and machine.role:
            yield machine.origin.error("a machine has a profile or a role, not both", "profile")
        elif not machine.role and profiles_known and machine.profile not in profiles:
            yield machine.origin.error(f"no profile {machine.profile!r}", "profile", hint=_known(profiles))


def _machine(machine: Machine) -> Iterator[Problem]:
    if not LABEL.fullmatch(machine.name):
        yield machine.origin.error(f"{machine.name!r} is no host name", "name", hint="small letters, digits and hyphens")
    if not _SERIAL.fullmatch(machine.serial):
        yield machine.origin.error(f"{machine.serial!r} is no serial", "serial", hint="letters, digits, . _ -")
    if machine.cpus < 1:
        yield machine.origin.error("a machine needs at least 1 cpu", "cpus")
    if machine.memory.bytes < 256 << 20:
        yield machine.origin.error(f"{machine.memory} is too little", "memory", hint="the testbed OS needs 256M")


def _place(machine: Machine, scenario: Scenario) -> Iterator[Problem]:
    racks = {rack.name for rack in scenario.fabric.racks}
    subnet = scenario.subnet(machine)
    if machine.rack not in racks and (machine.rack or racks):
        yield machine.origin.error(f"no rack {machine.rack!r}", "rack", hint=_known(racks) or "the fabric has no racks")
    elif machine.address == UNASSIGNED:
        why = f"{subnet} is full" if racks else "a machine in no rack needs one"
        yield machine.origin.error(f"{machine.name} has no address: {why}", "address")
    elif not usable(machine.address, subnet):
        yield machine.origin.error(f"{machine.address} is no host address of {subnet}", "address")
    elif machine.address in (scenario.fabric.server, scenario.gateway(machine)):
        yield machine.origin.error(f"{machine.address} is the server's address", "address")
    elif scenario.outer and scenario.outer.clusters and machine.address == scenario.fabric.entrance:
        yield machine.origin.error(f"{machine.address} is the entrance of inner clusters", "address")


def _steps(scenario: Scenario, exists: Callable[[Path], bool], *, machines_known: bool) -> Iterator[Problem]:
    everybody = tuple(machine.name for machine in scenario.machines)
    on: set[str] = set()
    probes: set[str] = set()
    clusters = Clusters()
    faults = Faults(everybody)
    for step in scenario.steps:
        yield from _times(step)
        match step:
            case KillWorker():
                continue
            case AwaitCluster():
                if scenario.outer is None:
                    yield step.origin.error("there is no outer cluster to wait for", hint="outer: {}")
                continue
            case (
                CreateCluster()
                | AwaitInner()
                | DeleteCluster()
                | RotateCluster()
                | UpgradeCluster()
                | KillController()
                | NoteTraces()
                | CompareTraces()
            ):
                outer = scenario.outer
                yield from clusters.take(step, outer is not None and outer.clusters, outer.systems if outer else ())
                continue
            case StartProbe():
                if step.name in probes:
                    yield step.origin.error(f"a second probe {step.name!r}", "name")
                if scenario.outer is None:
                    yield step.origin.error("there is no outer cluster to probe", hint="outer: {}")
                yield from probed(step, clusters.there)
                probes.add(step.name)
                continue
            case Settle() | EndProbe():
                if step.probe not in probes:
                    yield step.origin.error(f"no probe {step.probe!r} runs at this point", "probe", hint=_known(probes))
                probes -= {step.probe} if isinstance(step, EndProbe) else set()
                continue
            case Undo():
                ended = faults.active.get(step.fault)
                yield from faults.end(step)
                if ended and ended.kind is FaultKind.KILL and not ended.unit:
                    on.update(ended.machines or everybody)
                continue
        if machines_known:
            yield from _named(step, set(everybody))
        named = step.machines or everybody
        match step:
            case PowerOn():
                on.update(named)
            case PowerOff():
                yield from _off(step, named, on, machines_known)
                on.difference_update(named)
            case Await():
                yield from _goal(step)
                yield from _off(step, named, on, machines_known)
            case Inject():
                wrong = list(faults.begin(step))
                yield from wrong if machines_known else ()
                yield from _hurt(step, scenario, named, on, machines_known)
            case Check():
                if step.on == "machines":
                    yield from _off(step, named, on, machines_known)
                if not exists(step.testinfra):
                    yield step.origin.error(f"no such file: {step.testinfra}", "testinfra")


def _hurt(step: Inject, scenario: Scenario, named: tuple[str, ...], on: set[str], machines_known: bool) -> Iterator[Problem]:
    """A cable may be bad before its machine is on; what is to be paused or killed must be there."""
    if step.kind in (FaultKind.PAUSE, FaultKind.KILL):
        yield from _off(step, named, on, machines_known)
    if step.unit and scenario.driver is DriverName.FAKE:
        yield step.origin.error("fake machines run no units", "unit", hint="take another driver")
    if step.kind is FaultKind.KILL and not step.unit:
        on.difference_update(named)


def _goal(step: Await) -> Iterator[Problem]:
    if (step.stage is None) == (step.state is None):
        yield step.origin.error("give either 'stage' or 'state'")
    if step.state is HostState.OFF:
        yield step.origin.error("mayu knows no state 'off'", "state", hint="to switch machines off, use do: power-off")


def _off(step: Any, named: tuple[str, ...], on: set[str], machines_known: bool) -> Iterator[Problem]:
    off = [name for name in named if name not in on]
    if off and machines_known:
        yield step.origin.error(f"{', '.join(off)}: not powered on at this point", hint="put a do: power-on before it")


def _times(step: Any) -> Iterator[Problem]:
    if getattr(step, "within", Duration(1)).seconds <= 0:
        yield step.origin.error("must be more than 0s", "within")


def _named(step: Any, known: set[str]) -> Iterator[Problem]:
    for index, name in enumerate(step.machines):
        if name not in known:
            yield step.origin.error(f"no machine {name!r}", "machines", index, hint=_known(known))
        if name in step.machines[:index]:
            yield step.origin.error(f"{name!r} is named twice", "machines", index)


def _budgets(scenario: Scenario, *, machines_known: bool) -> Iterator[Problem]:
    for budget in scenario.budgets:
        if budget.limit.seconds <= 0:
            yield budget.origin.error("must be more than 0s", "limit")
        match budget:
            case PowerOnTo():
                firmwares = {machine.firmware for machine in scenario.machines}
                if machines_known and budget.firmware and budget.firmware not in firmwares:
                    yield budget.origin.error(f"the rack has no {budget.firmware} machine", "firmware")
            case RunTo() | StepTakes():
                if budget.step not in (known := {str(step.do) for step in scenario.steps}):
                    yield budget.origin.error(f"no step {budget.step!r}", "step", hint=_known(known))
            case Outage():
                if budget.probe not in (known := {step.name for step in scenario.steps if isinstance(step, StartProbe)}):
                    yield budget.origin.error(f"no probe {budget.probe!r}", "probe", hint=_known(known))


def _unique(items: tuple[Any, ...], key: str) -> Iterator[Problem]:
    first: dict[object, Any] = {}
    for item in items:
        value = getattr(item, key)
        if value in first:
            yield item.origin.error(f"{value} is taken already", key, hint=f"see {first[value].origin.at(key)}")
        first.setdefault(value, item)


def _known(names: set[str]) -> str:
    return f"known are: {', '.join(sorted(names))}" if names else ""
