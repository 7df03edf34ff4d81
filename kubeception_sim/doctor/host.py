"""All tries in one order, and who of them is slow."""

from collections.abc import Callable, Iterator
from pathlib import Path

from kubeception_sim.doctor.finding import PARTS, Finding, Part
from kubeception_sim.doctor.hardware import try_devices, try_guests, try_room
from kubeception_sim.doctor.kernel import try_kernel
from kubeception_sim.doctor.network import try_network
from kubeception_sim.doctor.tools import try_firmware, try_tools
from kubeception_sim.lab import Lab
from kubeception_sim.model.scenario import DriverName

Engines = Callable[[Lab, str], Iterator[Finding]]
EVERYTHING = frozenset(Part)


def examine(cache: Path, parts: frozenset[Part] = EVERYTHING, engines: Engines | None = None) -> list[Finding]:
    """Try what these parts need, and for EVERYTHING what is only good to know. `cache` is the directory for images.

    `engines` tries what is above this layer, in a lab with a network namespace. Takes 2 to 5 s, longer when something hangs.
    """
    findings = [
        *(try_guests(cache) if Part.GUEST in parts else ()),
        *try_devices(),
        *try_kernel(),
        *try_network(engines),
        *try_tools(),
        *try_firmware(),
        *try_room(cache),
    ]
    return [finding for finding in findings if parts == EVERYTHING or finding.parts & parts]


def driver_parts(name: str) -> frozenset[Part] | None:
    """The parts of the driver of that name, if there is one."""
    return PARTS[DriverName(name)] if name in list(DriverName) else None
