"""What a run will do, in order, as data: bring-up, the scenario's steps, and the way down in reverse.

The runner executes exactly this list; `kubeception plan` prints it.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from kubeception_sim.model.scenario import Await, Check, KillWorker, Machine, PowerOff, PowerOn, Quorum, Scenario, Step


class BringUp(StrEnum):
    """What must stand before the scenario's first step, in order."""

    FABRIC = "fabric"
    IMAGE = "image"
    MAYU = "mayu"
    MACHINES = "machines"

    @property
    def leaves(self) -> bool:
        """Whether it leaves something on the host that has to be taken down. The image stays in its cache."""
        return self is not BringUp.IMAGE


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
                lines.append(f"  {number:2}  {part.do:<12}{part.what}".rstrip())
        if self.scenario.budgets:
            lines.append("budgets")
        lines += [f"      {budget}: at most {budget.limit}" for budget in self.scenario.budgets]
        return "\n".join(lines) + "\n"


def plan(scenario: Scenario) -> Plan:
    """The plan of a valid scenario."""
    fabric = f"{scenario.fabric.subnet}, server {scenario.fabric.server}"
    machines = ", ".join(f"{machine.name} ({machine.firmware})" for machine in scenario.machines)
    what = {
        BringUp.FABRIC: fabric,
        BringUp.IMAGE: scenario.image,
        BringUp.MAYU: "dhcp, tftp, http",
        BringUp.MACHINES: machines,
    }
    return Plan(
        scenario,
        tuple((step, Part(step, what[step])) for step in BringUp),
        tuple((step, Part(step.do, _what(step))) for step in scenario.steps),
        tuple(Part(step, "") for step in reversed(BringUp) if step.leaves),
    )


def _what(step: Step) -> str:
    match step:
        case PowerOn():
            stagger = f", {step.stagger} apart" if step.stagger.seconds else ""
            return _machines(step.machines) + stagger
        case Await():
            return f"{_awaited(step)} {step.stage or step.state} within {step.within}"
        case Check():
            return f"{step.testinfra.name} on {_machines(step.machines)}"
        case KillWorker():
            return f"{step.worker}, back within {step.within}"
        case PowerOff():
            return _machines(step.machines)


def _awaited(step: Await) -> str:
    if step.quorum is Quorum.ALL:
        return _machines(step.machines)
    return f"any of {_machines(step.machines)}" if step.machines else "any"


def _machines(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "all"


def _rack(machines: tuple[Machine, ...]) -> str:
    firmwares = Counter(str(machine.firmware) for machine in machines)
    listed = ", ".join(f"{count} {firmware}" for firmware, count in sorted(firmwares.items()))
    return f"{len(machines)} machine{'' if len(machines) == 1 else 's'} ({listed})"
