"""Faults of a scenario: what a step asks for, as something that can be begun and ended."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kubeception_sim import faults
from kubeception_sim.machines import Machine
from kubeception_sim.model.faults import FaultKind, Inject
from kubeception_sim.model.scenario import Scenario
from kubeception_sim.scenario.observer import Clock, Observer


class Watched(faults.Power):
    """Machines whose boots are observed; `lasting` tells the faults that a new boot does not escape."""

    def __init__(self, observer: Observer, clock: Clock, lasting: Callable[[], Iterable[faults.Fault]]) -> None:
        self._observer = observer
        self._clock = clock
        self._lasting = lasting

    def off(self, machine: Machine) -> None:
        """From now on it has no power."""
        machine.kill()
        self._observer.update(machine.spec.name, lambda line: line.power_off(self._clock.now()))

    def on(self, machine: Machine) -> None:
        """A boot begins now."""
        now = self._clock.now()
        self._observer.update(machine.spec.name, lambda line: line.power_on(now))
        machine.start()
        for fault in self._lasting():
            fault.renew(machine.link)


@dataclass
class Episode:
    """A fault of a run, and when it was there. Both times are of the run's clock; `ended` is None while it lasts."""

    name: str
    fault: faults.Fault
    began: float
    ended: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether its end is still to come."""
        return self.ended is None

    def end(self, now: Callable[[], float]) -> None:
        """End the fault, and write down when that was. When it raises, the fault lasts, and the end may be tried again."""
        self.fault.end()
        self.ended = now()


def end_all(episodes: Sequence[Episode], now: Callable[[], float], say: Callable[[str], None]) -> bool:
    """End the faults that last, the latest first; whether there were any. Raises what the first that cannot be ended raises."""
    lasting = [episode for episode in reversed(episodes) if episode.lasts]
    for episode in lasting:
        say(f"ending the fault {episode.name}")
        episode.end(now)
    return bool(lasting)


def make(step: Inject, scenario: Scenario, machines: Mapping[str, Machine], namespace: str, power: faults.Power) -> faults.Fault:
    """The fault that a step of a valid scenario asks for, not yet begun. `namespace` is the fabric's."""
    names = [machine.name for machine in scenario.select(step.machines)]
    others = [machine.name for machine in scenario.select(step.others) if step.others or machine.name not in names]
    chosen = [machines[name] for name in names]

    def wires(of: Sequence[str]) -> list[faults.Wire]:
        return [faults.wire_of(machines[name], namespace) for name in of]

    match step.kind:
        case FaultKind.CUT:
            return faults.Cut(chosen)
        case FaultKind.PARTITION:
            return faults.Partition(step.name, wires(names), wires(others))
        case FaultKind.RATE:
            assert step.rate is not None
            return faults.Rate(wires(names), step.rate)
        case FaultKind.LOSS:
            assert step.loss is not None
            return faults.Loss(step.name, wires(names), step.loss)
        case FaultKind.DELAY:
            delay, jitter = (each.seconds if each else 0.0 for each in (step.delay, step.jitter))
            return faults.Delay(wires(names), delay, jitter, step.duplicate, step.reorder)
        case FaultKind.PAUSE:
            return faults.PauseUnit(chosen, step.unit) if step.unit else faults.Pause(chosen)
        case FaultKind.KILL:
            return faults.KillUnit(chosen, step.unit) if step.unit else faults.Kill(chosen, power)


def undoing(episode: Episode) -> Callable[[], None]:
    """What the end of a run does about a fault that lasts until then."""

    def undo() -> None:
        # Machines without power go down with the rest: they are not booted for that.
        if episode.lasts and not isinstance(episode.fault, faults.Kill):
            episode.fault.end()

    return undo
