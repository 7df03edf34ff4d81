"""What the steps of a scenario work with, and how a subject fails them."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from kubeception_sim.checks.probes import ApiProbe
from kubeception_sim.giantnetes.bringup import OuterCluster
from kubeception_sim.lab import Lab
from kubeception_sim.machines import Machine
from kubeception_sim.model.results import CheckResult, Creation, Failover, Leak
from kubeception_sim.model.scenario import Scenario
from kubeception_sim.scenario.faulting import Episode, Watched
from kubeception_sim.scenario.observer import Clock, Observer
from kubeception_sim.scenario.subject import Mayu


class Failed(Exception):
    """The subject under test did not do what the step demands."""


@dataclass
class Bench:
    """Everything the steps work with, once the rack stands."""

    scenario: Scenario
    lab: Lab
    namespace: str
    clock: Clock
    observer: Observer
    mayu: Mayu
    machines: Mapping[str, Machine]
    ssh_key: Path
    checks: list[CheckResult] = field(default_factory=list)
    outer: OuterCluster | None = None
    probes: dict[str, ApiProbe] = field(default_factory=dict)
    faults: list[Episode] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)  # what steps start; taken down before what they rest on
    say: Callable[[str], None] = lambda _: None  # how far a long step is
    creations: list[Creation] = field(default_factory=list)
    asked: dict[str, float] = field(default_factory=dict)  # clusters whose creation nobody has looked at yet, and since when
    leaks: list[Leak] = field(default_factory=list)
    failovers: list[Failover] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    @property
    def power(self) -> Watched:
        """The machines' switches."""
        return Watched(self.observer, self.clock, lambda: [episode.fault for episode in self.lasting.values()])

    @property
    def lasting(self) -> dict[str, Episode]:
        """The faults that are there now, by name."""
        return {episode.name: episode for episode in self.faults if episode.lasts}
