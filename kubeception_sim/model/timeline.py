"""One host's way through a boot, folded from mayu's events.

All times are seconds of one clock (CLOCK_MONOTONIC, which mayu's events carry too), counted from the start of the run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kubeception_sim.model.boot import HostState, Stage
from kubeception_sim.model.results import Span

FIRMWARE_SPAN = "firmware"  # from power-on to the first sign of life


@dataclass(frozen=True, slots=True)
class Event:
    """One line of mayu's history. `at` is in seconds since the start of the run."""

    id: int
    at: float
    serial: str
    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What is known of one host since it was last powered on.

    `stages` holds the first time each stage was seen in this boot: a machine asks DHCP several times over (its ROM,
    its iPXE, its initrd), and the first answer is the one that counts.
    """

    host: str
    serial: str
    powered_on: float | None = None
    powered_off: float | None = None
    stages: Mapping[Stage, float] = field(default_factory=dict)
    state: HostState = HostState.OFF
    failure: str = ""
    config_id: str = ""  # of the Ignition config that it was served last

    def power_on(self, at: float) -> Self:
        """A new boot: whatever an earlier one achieved is forgotten.

        mayu calls a host running, or failed, until it hears from it again. Waiting for that state must not be over
        before the machine has done anything, so here the host goes back to configured.
        """
        state = HostState.DISCOVERED if self.state is HostState.DISCOVERED else HostState.CONFIGURED
        return replace(self, powered_on=at, powered_off=None, stages={}, failure="", state=state)

    def power_off(self, at: float) -> Self:
        """No power from `at` on."""
        return replace(self, powered_off=at)

    def observe(self, event: Event) -> Self:
        """The timeline after one event of this host. Events from before the power-on, and kinds that say nothing of
        progress, change nothing."""
        if self.powered_on is None or event.at < self.powered_on:
            return self
        if event.kind == "stage" and event.detail["stage"] in _STAGES:
            stage = Stage(event.detail["stage"])
            # mayu tells a state when it changes: a host that was running moments ago, and is again, has only its stage to tell.
            line = replace(self, state=HostState.RUNNING) if stage is Stage.RUNNING else self
            return line if stage in self.stages else replace(line, stages={**self.stages, stage: event.at})
        if event.kind == "ignition":
            return replace(self, config_id=str(event.detail.get("config_id", "")))
        if event.kind == "state":
            return replace(self, state=HostState(event.detail["to"]))
        if event.kind == "failed":
            return replace(self, state=HostState.FAILED, failure=str(event.detail.get("text", "")))
        return self

    @property
    def last_stage(self) -> Stage | None:
        """The stage seen last in time, ties going to the later stage; None before the first sign of life."""
        return max(self.stages, key=lambda stage: (self.stages[stage], stage.position), default=None)

    def since_power_on(self, stage: Stage) -> float | None:
        """Seconds from power-on to `stage`, or None while it has not been seen."""
        if self.powered_on is None or stage not in self.stages:
            return None
        return self.stages[stage] - self.powered_on

    def spans(self, until: float) -> tuple[Span, ...]:
        """What the host was in, from power-on to `until` (or the power-off): each stage lasts until the next begins."""
        if self.powered_on is None:
            return ()
        end = until if self.powered_off is None else self.powered_off
        seen = sorted(self.stages, key=lambda stage: (self.stages[stage], stage.position))
        marks = [(FIRMWARE_SPAN, self.powered_on), *((str(stage), self.stages[stage]) for stage in seen)]
        ends = [at for _, at in marks[1:]] + [max(end, marks[-1][1])]
        return tuple(Span(self.host, name, start, stop) for (name, start), stop in zip(marks, ends, strict=True))


_STAGES = frozenset(Stage)
