"""One look for every stage, wherever it is drawn: a colour, and a letter where there are no colours.

The colours follow Okabe and Ito's palette, which most colour-blind readers can tell apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kubeception_sim.model.boot import Stage
from kubeception_sim.model.timeline import FIRMWARE_SPAN


@dataclass(frozen=True, slots=True)
class Look:
    """How time spent in a stage is drawn, and what the machine does in that time."""

    colour: str
    letter: str
    meaning: str


LOOKS: Mapping[str, Look] = {
    FIRMWARE_SPAN: Look("#9aa0a6", ".", "power-on to the first DHCP answer"),
    Stage.DHCP: Look("#e69f00", "d", "has an address"),
    Stage.TFTP: Look("#56b4e9", "t", "fetches iPXE and starts it"),
    Stage.IPXE: Look("#cc79a7", "i", "has its own boot script"),
    Stage.HTTP: Look("#0072b2", "h", "fetches and starts kernel and initrd"),
    Stage.IGNITION: Look("#d55e00", "g", "has its config, writes the root file system"),
    Stage.SWITCH_ROOT: Look("#8a7fd1", "s", "leaves the initrd, starts its services"),
    Stage.RUNNING: Look("#009e73", "R", "has phoned home"),
}
