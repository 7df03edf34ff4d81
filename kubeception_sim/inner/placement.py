"""On which node of the outer cluster a machine with a disk is. Pure.

A disk is a folder of a node, so its machine is at home there. The home is chosen once, before the first start, and written down
in the claim to the machine's number (`NODE`): the claim is there before anything of the machine is, and goes after all of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubeception_sim.errors import HarnessError

NODE = "kubeception.io/node"
_KEEPS_OUT = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Room:
    """What a machine asks for, or a node has left: memory in MiB, processors in thousandths."""

    memory: int
    cpu: int

    def holds(self, other: "Room") -> bool:
        """Whether there is as much as that."""
        return self.memory >= other.memory and self.cpu >= other.cpu


@dataclass(frozen=True)
class Place:
    """A node that takes pods. `own` are the homes of this cluster on it, `homes` those of all."""

    node: str
    left: Room
    own: int = 0
    homes: int = 0


def choose(places: Iterable[Place], wanted: Room) -> str:
    """The node with the fewest masters of the cluster, then of all, then with the most memory left. Raises HarnessError."""
    known = list(places)
    able = [place for place in known if place.left.holds(wanted)]
    if not able:
        has = ", ".join(f"{place.node} {place.left.memory} MiB and {place.left.cpu}m" for place in known) or "there is none"
        raise HarnessError(
            f"no node has {wanted.memory} MiB of memory and {wanted.cpu}m of processors left",
            hint=f"nodes that take pods: {has}",
        )
    return min(able, key=lambda place: (place.own, place.homes, -place.left.memory, place.node)).node


def home(lease: Mapping[str, Any]) -> str:
    """The node that a claim names; empty when it names none."""
    found: str = lease["metadata"].get("annotations", {}).get(NODE, "")
    return found


def is_ready(node: Mapping[str, Any]) -> bool:
    """Whether a node says so of itself, or is said to."""
    conditions = node.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def takes_pods(node: Mapping[str, Any]) -> bool:
    """Whether a machine that tolerates nothing may start there."""
    spec = node.get("spec", {})
    kept_out = any(each["effect"] in _KEEPS_OUT for each in spec.get("taints", ()))
    return is_ready(node) and not spec.get("unschedulable") and not kept_out
