"""What this host can do, found out by trying it.

`/dev/kvm` may open and still abort on the first real guest; a capability may be listed and still be refused. So every
probe here does the thing in small, with a deadline, and takes away again what it made.

    accelerator.py   which accelerator runs real firmware
    finding.py       what was found, who needs it, and what that means for drivers and scenarios: pure
    hardware.py      KVM, vhost, huge pages, memory, disk
    kernel.py        capabilities, mounts, cgroups
    network.py       links, rules and queues, in a namespace
    tools.py         the table of all programs
    host.py          all of it
"""

from kubeception_sim.doctor.accelerator import Attempt, Verdict, find_accelerator
from kubeception_sim.doctor.finding import (
    DEFAULT_DRIVERS,
    PARTS,
    Finding,
    Group,
    Judgement,
    Part,
    Status,
    Thing,
    judge,
    memory_of,
    parts_of,
)
from kubeception_sim.doctor.hardware import available_memory
from kubeception_sim.doctor.host import EVERYTHING, driver_parts, examine

__all__ = [
    "DEFAULT_DRIVERS",
    "EVERYTHING",
    "PARTS",
    "Attempt",
    "Finding",
    "Group",
    "Judgement",
    "Part",
    "Status",
    "Thing",
    "Verdict",
    "available_memory",
    "driver_parts",
    "examine",
    "find_accelerator",
    "judge",
    "memory_of",
    "parts_of",
]
