"""Frames that do not arrive, by rules of nftables on the fabric's bridges. Each fault is one table, which comes and goes whole.

The rules name ports, so they outlive a machine's power cycles: a port that is made anew has the same name.

**Between racks** a frame goes through two bridges and the router between them, and neither its addresses nor those of the packet
in it say whose it is: pods have addresses of their own. So a frame is marked by the port it comes in by, the mark stays with it
on its way through the router, and where it is to leave the mark tells where it came from.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from kubeception_sim.faults.cable import Wire
from kubeception_sim.faults.fault import Fault
from kubeception_sim.model.faults import Share
from kubeception_sim.run import require, run

_COMMAND_SECONDS = 10.0
_NETNS_DIRECTORY = Path("/run/netns")
_SHARES = 10_000  # a share is counted in hundredths of a percent
_IN = "type filter hook prerouting priority -300; policy accept;"
_OUT = "type filter hook postrouting priority 300; policy accept;"


class _Table(Fault):
    """A table of its own in the bridge family; `name` is unique among the faults of a lab."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__()
        require("nft", "nftables")
        self.name = f"kubeception-{name}"
        self.namespace = namespace

    @abstractmethod
    def text(self) -> str:
        """The table as `nft -f` takes it."""

    def _break(self) -> None:
        self._nft(self.text())

    def _restore(self) -> None:
        if (_NETNS_DIRECTORY / self.namespace).exists():
            # Added first, or deleting it would fail when it is gone already.
            self._nft(f"add table bridge {self.name}\ndelete table bridge {self.name}\n")

    def _nft(self, text: str) -> None:
        run(["nft", "-f", "-"], stdin=text.encode(), namespace=self.namespace, timeout=_COMMAND_SECONDS)


class Partition(_Table):
    """No frame passes from `these` machines to `those`, nor back. Both still reach the fabric and its servers.

    What a server of the fabric passes on is a connection of its own: the balancer is reached from both sides.
    """

    def __init__(self, name: str, these: Sequence[Wire], those: Sequence[Wire]) -> None:
        super().__init__(name, these[0].namespace)
        self._sides = tuple(these), tuple(those)

    def text(self) -> str:
        """Marks for all machines of both sides, then who must not get them."""
        these, those = self._sides
        marks = ", ".join(f'"{wire.link}" : {wire.mark:#010x}' for wire in (*these, *those))
        return (
            f"table bridge {self.name} {{\n"
            f"  chain in {{\n    {_IN}\n    meta mark set iifname map {{ {marks} }}\n  }}\n"
            f"  chain out {{\n    {_OUT}\n"
            f"    oifname {_links(those)} meta mark {_marks(these)} drop\n"
            f"    oifname {_links(these)} meta mark {_marks(those)} drop\n"
            "  }\n}\n"
        )


class Loss(_Table):
    """Each frame to and from machines is lost with the probability `share`, on its own: of what goes there and back more is."""

    def __init__(self, name: str, wires: Sequence[Wire], share: Share) -> None:
        super().__init__(name, wires[0].namespace)
        self._wires = tuple(wires)
        self._share = share

    def text(self) -> str:
        """One rule for each way."""
        links, chance = _links(self._wires), f"numgen random mod {_SHARES} <= {round(self._share.fraction * _SHARES) - 1}"
        return (
            f"table bridge {self.name} {{\n"
            f"  chain in {{\n    {_IN}\n    iifname {links} {chance} drop\n  }}\n"
            f"  chain out {{\n    {_OUT}\n    oifname {links} {chance} drop\n  }}\n"
            "}\n"
        )


def _links(wires: Iterable[Wire]) -> str:
    return "{ " + ", ".join(f'"{wire.link}"' for wire in wires) + " }"


def _marks(wires: Iterable[Wire]) -> str:
    return "{ " + ", ".join(f"{wire.mark:#010x}" for wire in wires) + " }"
