"""Interfaces as NetworkManager's keyfiles (nm-settings-keyfile(5)). It has no NTP: that is the template's business."""

import uuid
from collections.abc import Iterable, Iterator

from mayu_py.core.nics import BondMode, is_pattern
from mayu_py.core.rendering.files import File, Section, ini
from mayu_py.core.rendering.interfaces import Interface, Seat
from mayu_py.core.rendering.networkd import HASHING

FOLDER = "/etc/NetworkManager/system-connections"
# NetworkManager ignores a keyfile that others than root may read.
MODE = 0o600
_SPACE = uuid.UUID("0f5d3b0e-6a0b-5c5e-9d0e-6d6179750001")


def keyfiles(host: str, interfaces: Iterable[Interface]) -> tuple[File, ...]:
    """The connection profiles of the host of that name, one for each interface."""
    return tuple(File(f"{FOLDER}/{each.key}.nmconnection", ini(*_sections(host, each)), MODE) for each in interfaces)


def _uuid(host: str, key: str) -> str:
    """Of a host's own connection: profiles name each other by these, and the same config gives the same ones."""
    return str(uuid.uuid5(_SPACE, f"{host}/{key}"))


def _sections(host: str, interface: Interface) -> Iterator[Section]:
    kind = "bond" if interface.bond is not None else "vlan" if interface.vlan is not None else "ethernet"
    pattern = is_pattern(interface.name)
    yield (
        "connection",
        [
            ("id", interface.key),
            ("uuid", _uuid(host, interface.key)),
            ("type", kind),
            ("interface-name", None if pattern else interface.name),
            ("master", _uuid(host, interface.master) if interface.master else None),
            # 3: one profile serves as many NICs as fit.
            ("multi-connect", 3 if pattern else None),
            ("slave-type", "bond" if interface.master else None),
        ],
    )
    yield "match", [("interface-name", f"{interface.name};" if pattern else None)]
    yield "ethernet", [("mac-address", interface.mac.upper()), ("mtu", interface.mtu)]
    if (bond := interface.bond) is not None:
        yield (
            "bond",
            [
                ("lacp_rate", bond.lacp_rate if bond.mode is BondMode.LACP else None),
                ("miimon", bond.miimon),
                ("mode", bond.mode),
                ("xmit_hash_policy", "layer3+4" if bond.mode in HASHING else None),
            ],
        )
    if interface.vlan is not None:
        # 1: REORDER_HDR, without which what looks at packets sees the tag.
        yield "vlan", [("flags", 1), ("id", interface.vlan), ("parent", _uuid(host, interface.parent))]
    if not interface.master:
        yield "ipv4", _ipv4(interface.seat)
        yield "ipv6", [("method", "disabled" if interface.seat is None else "auto")]


def _ipv4(seat: Seat | None) -> list[tuple[str, object]]:
    if seat is None:
        return [("method", "disabled")]
    if seat.address is None:
        return [("method", "auto")]
    domains = dict.fromkeys((*((seat.domain,) if seat.domain else ()), *seat.search))
    return [
        ("address1", seat.address),
        ("dns", "".join(f"{address};" for address in seat.dns)),
        ("dns-search", "".join(f"{domain};" for domain in domains)),
        ("gateway", seat.gateway),
        ("method", "manual"),
        *((f"route{n}", f"{route.to},{route.via}") for n, route in enumerate(seat.routes, 1)),
    ]
