"""Machines that stand still, or have no power."""

from collections.abc import Sequence

from kubeception_sim.faults.fault import Fault
from kubeception_sim.machines import Machine, MachineState


class Power:
    """Who switches machines off and on. Others may want to know of it: they inherit from this."""

    def off(self, machine: Machine) -> None:
        """Pull the plug."""
        machine.kill()

    def on(self, machine: Machine) -> None:
        """Press the button."""
        machine.start()


class Pause(Fault):
    """Machines that stand still, and go on later as if nothing had been."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        super().__init__()
        self._machines = tuple(machines)

    def _break(self) -> None:
        for machine in self._machines:
            machine.pause()

    def _restore(self) -> None:
        for machine in reversed(self._machines):
            if machine.state() is MachineState.PAUSED:
                machine.resume()


class Kill(Fault):
    """Machines whose plug was pulled. They boot again in the end, if nobody has switched them on before."""

    def __init__(self, machines: Sequence[Machine], power: Power | None = None) -> None:
        super().__init__()
        self._machines = tuple(machines)
        self._power = power or Power()
        self._killed: list[Machine] = []

    def _break(self) -> None:
        for machine in self._machines:
            if machine.state().has_power:
                self._killed.append(machine)
                self._power.off(machine)

    def _restore(self) -> None:
        while self._killed:
            machine = self._killed[0]
            if not machine.state().has_power:
                self._power.on(machine)
            del self._killed[0]
