"""The cable between a machine and the fabric."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubeception_sim.faults.fault import Fault
from kubeception_sim.machines import Machine


@dataclass(frozen=True)
class Wire:
    """The fabric's end of a machine's cable: the port `link` in its network namespace. `mac` is the machine's."""

    namespace: str
    link: str
    mac: str

    @property
    def mark(self) -> int:
        """What frames from the machine are marked with in the fabric: the last 32 bits of its MAC. Never 0."""
        return int.from_bytes(bytes.fromhex(self.mac.replace(":", ""))[-4:]) or 1 << 31


def wire_of(machine: Machine, namespace: str) -> Wire:
    """The cable of a machine in the fabric of that namespace."""
    return Wire(namespace, machine.link, machine.spec.mac)


class Cut(Fault):
    """Machines without a cable: they see that it is out.

    After its end the cables are in; a kernel may take a second more to notice that (it looks at carriers once a second).
    """

    def __init__(self, machines: Sequence[Machine]) -> None:
        super().__init__()
        self._machines = tuple(machines)

    def _break(self) -> None:
        for machine in self._machines:
            machine.set_link(False)

    def _restore(self) -> None:
        for machine in reversed(self._machines):
            machine.set_link(True)
