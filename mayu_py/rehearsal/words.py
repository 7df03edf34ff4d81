"""Requests and answers in words, for who reads `mayu explain` and `mayu replay`."""

import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from mayu_py.core.exchange import Became, Event, Learned, Reached
from mayu_py.wire.dhcp4 import BROADCAST, ZERO, Message, Option

_SHOWN = set(string.printable) - set("\t\n\r\x0b\x0c")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One request and what came of it.

    `details` are the parts of the answer that matter, by their names; `reasons` the rules that decided; `events` what the live
    server would write down.
    """

    request: str
    answer: str
    details: tuple[tuple[str, str], ...] = ()
    reasons: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    answered: bool = True

    def to_data(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return {
            "request": self.request,
            "answer": self.answer,
            "answered": self.answered,
            "details": [{"name": name, "value": value} for name, value in self.details],
            "reasons": list(self.reasons),
            "events": list(self.events),
        }


def reason(text: str) -> str:
    """A reason as people read it: what no file says is a default."""
    return text.replace("(:0)", "(the default)")


def printable(raw: bytes) -> str:
    """Text from the network on one line of a terminal; what is no text in hex."""
    text = raw.decode("latin-1").rstrip("\0")
    shown = text if text and set(text) <= _SHOWN else raw.hex(":")
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}... ({len(raw)} bytes)"


def asked(message: Message) -> str:
    """A client's DHCP message."""
    options = message.options
    parts = [f"DHCP{message.type.name} from {printable_mac(message)}"]
    if message.giaddr != ZERO:
        parts.append(f"relayed by {message.giaddr}")
    if (arch := options.get(Option.CLIENT_ARCHITECTURE)) is not None:
        parts.append(f"architecture {int.from_bytes(arch[:2], 'big')}")
    if Option.VENDOR_CLASS in options:
        parts.append(printable(options[Option.VENDOR_CLASS]))
    if b"iPXE" in options.get(Option.USER_CLASS, b"") or Option.IPXE in options:
        parts.append("iPXE")
    if Option.REQUESTED_ADDRESS in options:
        parts.append(f"wants {_addresses(options[Option.REQUESTED_ADDRESS])}")
    if Option.SERVER_IDENTIFIER in options:
        parts.append(f"from {_addresses(options[Option.SERVER_IDENTIFIER])}")
    if message.ciaddr != ZERO:
        parts.append(f"has {message.ciaddr}")
    return ", ".join(parts)


def printable_mac(message: Message) -> str:
    """The client's hardware address."""
    return message.chaddr.hex(":") or "nobody"


def told(message: Message) -> Iterator[tuple[str, str]]:
    """The parts of a server's DHCP message that matter, and in which fields and options they stand."""
    places: dict[tuple[str, str], list[str]] = {}
    for name, value, place in _told(message):
        places.setdefault((name, value), []).append(place)
    for (name, value), found in places.items():
        yield name, f"{value} ({', '.join(found)})"


def bare(value: str) -> str:
    """What `told` says, without where it stands."""
    return value.rpartition(" (")[0]


def _told(message: Message) -> Iterator[tuple[str, str, str]]:
    if message.yiaddr != ZERO:
        yield "address", str(message.yiaddr), "yiaddr"
    if message.siaddr != ZERO:
        yield "next server", str(message.siaddr), "siaddr"
    if message.file:
        yield "boot file", printable(message.file), "file"
    for code, value in message.options.items():
        name, read = _OPTIONS.get(code, (f"option {code}", printable))
        if name:
            yield name, read(value), str(code)


def destination(to: tuple[IPv4Address, int]) -> str:
    """Where a datagram goes."""
    address, port = to
    return f"broadcast to port {port}" if address == BROADCAST else f"to {address}:{port}"


def event(event: Event) -> str:
    """What would be written down."""
    match event:
        case Reached(host, stage):
            return f"{host.name} has reached {stage}"
        case Became(host, state, _, installed):
            return f"{host.name} becomes {state}{', and boots from its disk from now on' if installed else ''}"
        case Learned(host, identity, os_version, address):
            news = (("serial", identity.serial), ("uuid", identity.uuid), ("os version", os_version), ("address", address))
            return f"{host.name} tells its {', '.join(f'{name} {value}' for name, value in news if value)}"


def _addresses(value: bytes) -> str:
    whole = len(value) % 4 == 0 and value
    return ", ".join(str(IPv4Address(value[n : n + 4])) for n in range(0, len(value), 4)) if whole else value.hex(":")


def _seconds(value: bytes) -> str:
    return f"{int.from_bytes(value, 'big')} s"


def _routes(value: bytes) -> str:
    routes, at = [], 0
    while at < len(value):
        width = value[at]
        octets = (width + 7) // 8
        if width > 32 or at + 5 + octets > len(value):
            return value.hex(":")
        to = IPv4Network((value[at + 1 : at + 1 + octets].ljust(4, b"\0"), width), strict=False)
        routes.append(f"{to} via {IPv4Address(value[at + 1 + octets : at + 5 + octets])}")
        at += 5 + octets
    return ", ".join(routes)


def _names(value: bytes) -> str:
    labels: list[bytes] = []
    names, at = [], 0
    while at < len(value) and value[at] < 64:
        label = value[at + 1 : at + 1 + value[at]]
        if not value[at]:
            names.append(".".join(map(printable, labels)))
            labels = []
        else:
            labels.append(label)
        at += 1 + value[at]
    return ", ".join(names) if at >= len(value) else value.hex(":")


def _pxe(value: bytes) -> str:
    return "boot the named file, look for no other server" if value == bytes((6, 1, 8, 255)) else value.hex(":")


def _ipxe(value: bytes) -> str:
    return "do not wait for a ProxyDHCP" if value == bytes((176, 1, 1)) else value.hex(":")


# An empty name: said elsewhere, or an echo of what the client sent.
_OPTIONS: Mapping[int, tuple[str, Callable[[bytes], str]]] = {
    Option.SUBNET_MASK: ("netmask", _addresses),
    Option.ROUTER: ("router", _addresses),
    Option.DOMAIN_NAME_SERVER: ("name servers", _addresses),
    Option.HOST_NAME: ("host name", printable),
    Option.DOMAIN_NAME: ("domain", printable),
    Option.BROADCAST_ADDRESS: ("broadcast", _addresses),
    Option.NTP_SERVERS: ("time servers", _addresses),
    Option.VENDOR_SPECIFIC: ("PXE options", _pxe),
    Option.LEASE_TIME: ("lease time", _seconds),
    Option.MESSAGE_TYPE: ("", printable),
    Option.SERVER_IDENTIFIER: ("server", _addresses),
    Option.MESSAGE: ("message", printable),
    Option.RENEWAL_TIME: ("", _seconds),
    Option.REBINDING_TIME: ("", _seconds),
    Option.VENDOR_CLASS: ("class", printable),
    Option.CLIENT_IDENTIFIER: ("", printable),
    Option.TFTP_SERVER_NAME: ("next server", printable),
    Option.BOOTFILE_NAME: ("boot file", printable),
    Option.RELAY_AGENT_INFORMATION: ("", printable),
    Option.CLIENT_UUID: ("", printable),
    Option.DOMAIN_SEARCH: ("search", _names),
    Option.CLASSLESS_STATIC_ROUTE: ("routes", _routes),
    Option.IPXE: ("iPXE options", _ipxe),
}
