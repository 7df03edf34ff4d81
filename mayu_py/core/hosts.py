"""Hosts: who they are, the states they go through, and the stages of a boot."""

import re
import uuid as uuid_module
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Any, Self, TypeVar

from mayu_py.errors import IllegalTransition

T = TypeVar("T")
U = TypeVar("U", bound="Uuid")

# Serials that boards without a real one report; such a host is known by its uuid instead.
PLACEHOLDER_SERIALS = frozenset({"", "0", "0123456789", "none", "notspecified", "defaultstring", "tobefilledbyo.e.m."})
# Not present, not set (SMBIOS 3.4, section 7.2.1), and the one that a BIOS vendor's example has given to many boards.
PLACEHOLDER_UUIDS = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
    }
)


class Mac(str):
    """An Ethernet address in its one canonical spelling: six lower-case hex pairs with colons."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `52:54:00:AB:cd:01`, `52-54-00-ab-cd-01` or `525400abcd01`. Raises ValueError."""
        digits = re.sub(r"[:.\-]", "", text.strip()).lower()
        if not re.fullmatch(r"[0-9a-f]{12}", digits):
            raise ValueError(f"{text!r} is no MAC address: six pairs of hex digits are wanted, as in 52:54:00:12:34:56")
        if int(digits[:2], 16) & 1:
            raise ValueError(f"{text!r} is a multicast address, which no network card has")
        return cls(":".join(digits[n : n + 2] for n in range(0, 12, 2)))

    @classmethod
    def of(cls, chaddr: bytes) -> Self:
        """The spelling of six raw bytes."""
        return cls(chaddr.hex(":"))


class Uuid(str):
    """A SMBIOS UUID in lower case with hyphens."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read any spelling the standard library reads. Raises ValueError."""
        try:
            return cls(uuid_module.UUID(text))
        except ValueError as error:
            raise ValueError(f"{text!r} is no UUID: 8-4-4-4-12 hex digits are wanted") from error

    @classmethod
    def of(cls, option97: bytes) -> Self | None:
        """The UUID in DHCP option 97: a zero byte, then 16 bytes whose first three fields are little-endian.

        None for what is no UUID, and for what boards tell that have none.
        """
        if len(option97) != 17 or option97[0] != 0:
            return None
        return real_uuid(cls(uuid_module.UUID(bytes_le=option97[1:])))

    @classmethod
    def of_duid(cls, option61: bytes) -> Self | None:
        """The UUID in a DUID-UUID (RFC 6355) that is a client identifier (RFC 4361): type 255, IAID, type 4, 16 bytes."""
        if len(option61) != 23 or option61[0] != 255 or option61[5:7] != b"\0\4":
            return None
        return real_uuid(cls(uuid_module.UUID(bytes=option61[7:])))


def real_serial(text: str) -> str | None:
    """The serial, or None when it is empty, one of the placeholders boards ship with, or a truncated VMware one."""
    cleaned = text.strip()
    if re.sub(r"[\s_-]", "", cleaned).lower() in PLACEHOLDER_SERIALS or "VMware" in cleaned:
        return None
    return cleaned


def real_uuid(uuid: U) -> U | None:
    """The UUID, or None when it is one of those that many boards share."""
    return None if uuid in PLACEHOLDER_UUIDS else uuid


class State(StrEnum):
    """What mayu knows of a host. `can_become` is the whole state machine; nothing else knows it."""

    DISCOVERED = "discovered"  # seen on the wire; has an address and no profile
    CONFIGURED = "configured"  # has a profile; its config renders and validates
    INSTALLING = "installing"  # was served its Ignition config
    RUNNING = "running"  # phoned home
    FAILED = "failed"  # said itself that it cannot go on

    def can_become(self, state: "State") -> bool:
        """Whether the move is legal. A running or failed host that boots again is installing again: it is diskless."""
        return state in _TRANSITIONS[self]

    def become(self, state: "State") -> "State":
        """Make the move. Raises IllegalTransition."""
        if not self.can_become(state):
            ways = ", ".join(sorted(_TRANSITIONS[self] - {self}))
            raise IllegalTransition(f"a host that is {self} cannot become {state}", hint=f"it can become {ways}")
        return state


_TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.DISCOVERED: frozenset({State.CONFIGURED, State.FAILED}),
    State.CONFIGURED: frozenset({State.CONFIGURED, State.INSTALLING, State.FAILED}),
    State.INSTALLING: frozenset({State.INSTALLING, State.RUNNING, State.FAILED}),
    State.RUNNING: frozenset({State.RUNNING, State.INSTALLING, State.FAILED}),
    State.FAILED: frozenset({State.FAILED, State.INSTALLING, State.CONFIGURED}),
}


class Stage(StrEnum):
    """How far a boot has come, in order."""

    DHCP = "dhcp"
    TFTP = "tftp"
    IPXE = "ipxe"
    HTTP = "http"
    IGNITION = "ignition"
    SWITCH_ROOT = "switch-root"
    RUNNING = "running"

    @property
    def position(self) -> int:
        """0 for the first stage."""
        return list(Stage).index(self)


def progress(current: Stage | None, reached: Stage, *, from_ipxe: bool = False) -> Stage | None:
    """The stage a host is in after a sign of `reached`, or None when the sign says nothing new.

    A sign of an earlier stage starts a new boot, except two that belong to the boot under way: the iPXE that came
    over TFTP asks DHCP again, and a NIC ROM's iPXE has asked before it.
    """
    if current == reached:
        return None
    if reached is Stage.DHCP and from_ipxe and current in (Stage.TFTP, Stage.IPXE):
        return None
    return reached


_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Facts:
    """What is noted about a host. It decides nothing; templates and people read it."""

    provider_id: str = ""
    ipmi_address: str = ""
    cabinet: str = ""
    etcd_token: str = ""
    os_version: str = ""  # what the host itself said when it was up
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)


ENROLLED = "enrolled"
"""The origin of a host that the config does not name."""


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of the inventory.

    `name` is unique and is the key of the record. `serial` and `uuid` are None until the machine has told them.
    `addresses` are those in extra networks, by the networks' names. `profile` is None for a discovered host; `image` is its
    own, where it boots another than its profile. `installed`: it has run from a disk that its profile installs once.
    `proxied`: another server gives it its address; then `address` is where it was heard of last, None before that.
    `origin` says where the record comes from: `mayu.yaml:41` or `enrolled`.
    """

    name: str
    address: IPv4Address | None
    macs: tuple[Mac, ...] = ()
    serial: str | None = None
    uuid: Uuid | None = None
    profile: str | None = None
    addresses: Mapping[str, IPv4Address] = field(default_factory=lambda: _EMPTY)
    image: str | None = None
    values: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    facts: Facts = field(default_factory=Facts)
    installed: bool = False
    proxied: bool = False
    origin: str = ""

    @property
    def all_addresses(self) -> tuple[IPv4Address, ...]:
        """Its address in the network it boots from, if there is one, and those in extra networks."""
        return ((self.address,) if self.address is not None else ()) + tuple(self.addresses.values())

    @property
    def is_configured(self) -> bool:
        """Whether the config names it."""
        return self.origin != ENROLLED

    @property
    def ident(self) -> str:
        """What the host's own URLs carry: its serial, else its uuid, else its name."""
        return self.serial or self.uuid or self.name


@dataclass(frozen=True, slots=True)
class Identity:
    """What one request tells of its sender. Every field may be unknown."""

    serial: str | None = None
    uuid: Uuid | None = None
    mac: Mac | None = None

    def __str__(self) -> str:
        known = (("serial", self.serial), ("uuid", self.uuid), ("mac", self.mac))
        return " ".join(f"{key} {value}" for key, value in known if value) or "an unnamed machine"

    @classmethod
    def claimed(cls, *, serial: str | None = None, uuid: str | None = None, mac: str | None = None) -> Self:
        """From what a machine said in a URL. What is no serial, uuid or MAC is left out: it proves nothing."""
        return cls(real_serial(serial or ""), _read(Uuid.parse, uuid), _read(Mac.parse, mac))


def _read(parse: Callable[[str], T], text: str | None) -> T | None:
    try:
        return parse(text) if text else None
    except ValueError:
        return None
