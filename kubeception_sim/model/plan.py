"""What a run will do, in order, as data: bring-up, the scenario's steps, and the way down in reverse.

The runner executes exactly this list; `kubeception plan` prints it.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from kubeception_sim.model.clusters import AwaitInner, CreateCluster, DeleteCluster
from kubeception_sim.model.faults import Inject, Undo
from kubeception_sim.model.garbage import CompareTraces, KillController, NoteTraces, told
from kubeception_sim.model.life import EndProbe, RotateCluster, UpgradeCluster
from kubeception_sim.model.scenario import (
    Await,
    AwaitCluster,
    Check,
    KillWorker,
    Machine,
    PowerOff,
    PowerOn,
    Quorum,
    Scenario,
    Settle,
    StartProbe,
    Step,
)


class BringUp(StrEnum):
    """What must stand before the scenario's first step, in order."""

    IMAGE = "image"
    FABRIC = "fabric"
    PKI = "pki"
    MAYU = "mayu"
    MACHINES = "machines"

    @property
    def leaves(self) -> bool:
        """Whether it leaves something on the host that has to be taken down. The image stays in its cache."""
        return self is not BringUp.IMAGE

    def wanted(self, scenario: Scenario) -> bool:
        """Whether a scenario needs it: only a cluster has certificates."""
        return self is not BringUp.PKI or scenario.outer is not None


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the plan: a verb and what it acts on."""

    do: str
    what: str

    @property
    def title(self) -> str:
        """The line for people."""
        return f"{self.do} {self.what}".rstrip()


@dataclass(frozen=True)
class Plan:
    """The whole run."""

    scenario: Scenario
    up: tuple[tuple[BringUp, Part], ...]
    steps: tuple[tuple[Step, Part], ...]
    down: tuple[Part, ...]

    def __str__(self) -> str:
        sections = (
            ("bring up", [part for _, part in self.up]),
            ("scenario", [part for _, part in self.steps]),
            ("tear down", list(self.down)),
        )
        lines = [f"{self.scenario.name}: {_rack(self.scenario.machines)}"]
        number = 0
        for heading, parts in sections:
            lines.append(heading)
            for part in parts:
                number += 1
                lines.append(f"  {number:2}  {part.do:<16}{part.what}".rstrip())
        if self.scenario.budgets:
            lines.append("budgets")
        lines += [f"      {budget}: at most {budget.limit}" for budget in self.scenario.budgets]
        return "\n".join(lines) + "\n"


def plan(scenario: Scenario) -> Plan:
    """The plan of a valid scenario."""
    what = {
        BringUp.IMAGE: f"node, Kubernetes {scenario.outer.kubernetes}" if scenario.outer else scenario.image,
        BringUp.FABRIC: _fabric(scenario),
        BringUp.PKI: f"{scenario.outer.pki}: g8s, g8s-etcd, g8s-front-proxy" if scenario.outer else "",
        BringUp.MAYU: "dhcp, tftp, http",
        BringUp.MACHINES: ", ".join(f"{machine.name} ({machine.role or machine.firmware})" for machine in scenario.machines),
    }
    wanted = [step for step in BringUp if step.wanted(scenario)]
    return Plan(
        scenario,
        tuple((step, Part(step, what[step])) for step in wanted),
        tuple((step, Part(step.do, _what(step))) for step in scenario.steps),
        tuple(Part(step, "") for step in reversed(wanted) if step.leaves),
    )


def _fabric(scenario: Scenario) -> str:
    racks = "".join(f", rack {rack.name} {rack.subnet}" for rack in scenario.fabric.racks)
    return f"{scenario.fabric.subnet}, server {scenario.fabric.server}{racks}"


def _what(step: Step) -> str:
    match step:
        case PowerOn():
            stagger = f", {step.stagger} apart" if step.stagger.seconds else ""
            return _machines(step.machines) + stagger
        case Await():
            return f"{_awaited(step)} {step.stage or step.state} within {step.within}"
        case Check():
            where = "the fabric" if step.on == "fabric" else _machines(step.machines)
            return f"{step.testinfra.name} on {where}"
        case AwaitCluster():
            return f"nodes and add-ons within {step.within}"
        case CreateCluster():
            return step.cluster
        case AwaitInner() | DeleteCluster():
            return f"{step.cluster} within {step.within}"
        case KillController() | NoteTraces() | CompareTraces():
            return told(step)
        case RotateCluster():
            return f"{step.cluster} to {step.to} within {step.within}"
        case UpgradeCluster():
            killed = ", the controller killed" if step.interrupted else ""
            return f"{step.cluster} to {step.os}{killed} within {step.within}"
        case StartProbe():
            return f"{step.name}: {step.kind}{f' of {step.cluster}' if step.cluster else ''} every {step.every}"
        case EndProbe():
            return step.probe
        case Settle():
            return f"{step.probe} steady for {step.steady} within {step.within}"
        case KillWorker():
            return f"{step.worker}, back within {step.within}"
        case Inject():
            return str(step)
        case Undo():
            return step.fault
        case PowerOff():
            return _machines(step.machines)


def _awaited(step: Await) -> str:
    if step.quorum is Quorum.ALL:
        return _machines(step.machines)
    return f"any of {_machines(step.machines)}" if step.machines else "any"


def _machines(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "all"


def _rack(machines: tuple[Machine, ...]) -> str:
    firmwares = Counter(str(machine.role or machine.firmware) for machine in machines)
    listed = ", ".join(f"{count} {firmware}" for firmware, count in sorted(firmwares.items()))
    return f"{len(machines)} machine{'' if len(machines) == 1 else 's'} ({listed})"
