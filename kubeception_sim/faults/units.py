"""Units of the guests' systemd: their processes stand still, or die."""

from abc import abstractmethod
from collections.abc import Sequence

from kubeception_sim.faults.fault import Fault
from kubeception_sim.machines import Machine

_ASK_SECONDS = 30.0


class _Unit(Fault):
    """The unit of that name on each of some machines, which must run. What is done to a machine's power meanwhile is its end."""

    def __init__(self, machines: Sequence[Machine], unit: str) -> None:
        super().__init__()
        self._machines = tuple(machines)
        self._unit = unit
        self._hit: list[Machine] = []

    def _signal(self, name: str) -> None:
        for machine in self._machines:
            self._systemctl(machine, "kill", f"--signal={name}")
            self._hit.append(machine)

    def _restore(self) -> None:
        while self._hit:
            if self._hit[-1].state().has_power:
                self._heal(self._hit[-1])
            self._hit.pop()

    @abstractmethod
    def _heal(self, machine: Machine) -> None: ...

    def _systemctl(self, machine: Machine, *words: str, check: bool = True) -> None:
        machine.execute(("systemctl", *words, self._unit), timeout=_ASK_SECONDS, check=check)


class PauseUnit(_Unit):
    """All processes of the unit stand still (SIGSTOP), and go on later."""

    def _break(self) -> None:
        self._signal("STOP")

    def _heal(self, machine: Machine) -> None:
        # After a boot the unit has other processes, or none yet: then there is nobody to wake.
        self._systemctl(machine, "kill", "--signal=CONT", check=False)


class KillUnit(_Unit):
    """All processes of the unit die (SIGKILL). systemd starts it again if the unit says so; if not, the end of the fault does."""

    def _break(self) -> None:
        self._signal("KILL")

    def _heal(self, machine: Machine) -> None:
        self._systemctl(machine, "start")
