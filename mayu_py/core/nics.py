"""What an operator says of the hosts' own NICs: the `nic` key of a network, as values."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from ignition.document import Origin

# Linux's IFNAMSIZ, without the zero at the end.
LONGEST_NAME = 15
_NAME = re.compile(r"[A-Za-z0-9_*?\[\]-][A-Za-z0-9_*?\[\].-]*", re.ASCII)


class BondMode(StrEnum):
    """The modes of the kernel's bonding driver (Documentation/networking/bonding.rst)."""

    BALANCE_RR = "balance-rr"
    ACTIVE_BACKUP = "active-backup"
    BALANCE_XOR = "balance-xor"
    BROADCAST = "broadcast"
    LACP = "802.3ad"
    BALANCE_TLB = "balance-tlb"
    BALANCE_ALB = "balance-alb"


class LacpRate(StrEnum):
    """How often the switch is asked for LACP packets: every 30 s or every second."""

    SLOW = "slow"
    FAST = "fast"


class Addressing(StrEnum):
    """How a host comes to its address in a network once its own operating system runs."""

    STATIC = "static"
    DHCP = "dhcp"


@dataclass(frozen=True)
class Bond:
    """Several NICs as one, called `name`. `members` are names of NICs, with `*`, `?` and `[...]` as in shells.

    `miimon` is how often their links are looked at, in ms (1 to 10000); `lacp_rate` counts in mode 802.3ad only.
    """

    members: tuple[str, ...] = ()
    name: str = "bond0"
    mode: BondMode = BondMode.LACP
    lacp_rate: LacpRate = LacpRate.SLOW
    miimon: int = 100
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    def takes(self, name: str) -> bool:
        """Whether the NIC of that name, or some NIC of that pattern, is a member."""
        return any(fnmatchcase(name, member) or fnmatchcase(member, name) for member in self.members)


@dataclass(frozen=True)
class Nic:
    """The hosts' side of a network: which NIC they have in it.

    `name` is the NIC's, or that of a bond that another network describes. With neither `name` nor `bond` it is the NIC with the
    first of the host's MACs, the one it boots from. `vlan` (1 to 4094) is the tag of the network on it; `mtu` is in bytes.
    """

    name: str | None = None
    bond: Bond | None = None
    vlan: int | None = None
    mtu: int | None = None
    addressing: Addressing = Addressing.STATIC
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    @property
    def base(self) -> str:
        """What the NIC is called, below any VLAN; empty where the host's MAC names it."""
        return self.bond.name if self.bond is not None else self.name or ""

    @property
    def device(self) -> str:
        """The name of the interface that has the address; empty where the host's MAC names it."""
        if self.vlan is None:
            return self.base
        return f"{self.base}.{self.vlan}" if self.base else f"vlan{self.vlan}"


def is_interface_name(text: str, *, pattern: bool = False) -> bool:
    """Whether Linux takes the name for an interface; with `pattern`, whether it may match such names."""
    return len(text) <= LONGEST_NAME and bool(_NAME.fullmatch(text)) and (pattern or not is_pattern(text))


def is_pattern(text: str) -> bool:
    """Whether several names may fit."""
    return any(sign in text for sign in "*?[")
