"""What this host can do, found out by trying it.

`/dev/kvm` may open and still abort on the first real guest; a capability may be listed and still be refused. So every
probe here does the thing in small, with a deadline, and takes away again what it made.

    accelerator.py   which accelerator runs real firmware
    host.py          everything else a scenario needs, each with the command that provides it
"""

from kubeception_sim.doctor.accelerator import Attempt, Verdict, find_accelerator
from kubeception_sim.doctor.host import Finding, can_run, examine

__all__ = ["Attempt", "Finding", "Verdict", "can_run", "examine", "find_accelerator"]
