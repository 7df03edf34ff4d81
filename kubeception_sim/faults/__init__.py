"""Faults: what is done to machines and their cables, and taken back exactly.

A fault is begun and ended, or lasts for a `with` block. Ending it twice does no harm, and neither does it that what it was done
to has died meanwhile. All is done from outside, at the fabric's ends of the cables; but for units, which are the guest's.

    fault.py     what all have in common
    cable.py     Cut
    frames.py    Partition, Loss: rules of nftables on the fabric's bridges
    queues.py    Rate, Delay: queueing disciplines of the kernel (tc)
    power.py     Pause, Kill: machines              units.py    PauseUnit, KillUnit: systemd's units in them
"""

from kubeception_sim.faults.cable import Cut, Wire, wire_of
from kubeception_sim.faults.fault import Fault
from kubeception_sim.faults.frames import Loss, Partition
from kubeception_sim.faults.power import Kill, Pause, Power
from kubeception_sim.faults.queues import Delay, Rate
from kubeception_sim.faults.units import KillUnit, PauseUnit

__all__ = [
    "Cut",
    "Delay",
    "Fault",
    "Kill",
    "KillUnit",
    "Loss",
    "Partition",
    "Pause",
    "PauseUnit",
    "Power",
    "Rate",
    "Wire",
    "wire_of",
]
