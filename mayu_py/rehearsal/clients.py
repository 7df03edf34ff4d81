"""What booting machines send: the packets that firmware and iPXE were recorded with (tests/golden/firmware)."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from types import MappingProxyType
from uuid import UUID

from mayu_py.core.hosts import Mac, Uuid
from mayu_py.wire import dhcp4
from mayu_py.wire.dhcp4 import Message, MessageType, Op, Option
from mayu_py.wire.tftp import Opcode, Request

ARCHITECTURES: Mapping[str, int] = MappingProxyType(
    {
        "bios": 0,
        "uefi-ia32": 6,
        "uefi-x64": 7,
        "uefi-arm32": 10,
        "uefi-arm64": 11,
        "http-ia32": 15,
        "http-x64": 16,
        "http-arm32": 18,
        "http-arm64": 19,
    }
)
"""Names of firmware -> option 93 (RFC 4578, and IANA's registry of it)."""

_BIOS = frozenset({0, 20})
_BUILT_FOR = {15: 6, 16: 7, 18: 10, 19: 11, 20: 0}
_HTTP = frozenset(_BUILT_FOR)
_ETHERNET_FRAME = 1472
_FIRMWARE_WANTS = bytes((1, 3, 6, 12, 15, 28, 42, 43, 54, 58, 59, 60, 66, 67, 97))
_IPXE_WANTS = bytes((1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, *range(128, 136), 175, 203))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that boots. `arch` is option 93; `rom_ipxe`: its network card starts with an iPXE of its own."""

    mac: Mac
    arch: int = 7
    serial: str | None = None
    uuid: Uuid | None = None
    rom_ipxe: bool = False

    @property
    def loads_by_http(self) -> bool:
        """Whether its firmware fetches the boot file by HTTP (UEFI HTTP Boot)."""
        return self.arch in _HTTP

    @property
    def platform(self) -> str:
        """As iPXE's ${platform} has it."""
        return "pcbios" if self.arch in _BIOS else "efi"

    @property
    def driver(self) -> str:
        """As iPXE's ${netX/chip} has it, once iPXE was loaded over the network."""
        return "undionly" if self.arch in _BIOS else "snp"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine's packets come in: on an interface of the server, or through a relay."""

    interface: str = ""
    relay: IPv4Address = dhcp4.ZERO


def dhcp(machine: Machine, place: Place, kind: MessageType, *, ipxe: bool, **fields: IPv4Address) -> Message:
    """A DHCP message. `fields` are `ciaddr`, or options by their names in `Option`, in lower case."""
    # iPXE says which machine it was built for, not how it was loaded.
    arch = _BUILT_FOR.get(machine.arch, machine.arch) if ipxe else machine.arch
    options: dict[int, bytes] = {
        Option.MESSAGE_TYPE: bytes((kind,)),
        Option.MAXIMUM_MESSAGE_SIZE: _ETHERNET_FRAME.to_bytes(2, "big"),
        Option.CLIENT_ARCHITECTURE: arch.to_bytes(2, "big"),
        Option.CLIENT_INTERFACE: bytes((1, 3, 0) if machine.platform == "efi" else (1, 2, 1)),
        Option.VENDOR_CLASS: _vendor_class(arch, machine.platform),
        Option.PARAMETER_REQUEST_LIST: _IPXE_WANTS if ipxe else _FIRMWARE_WANTS,
    }
    if ipxe:
        options |= {Option.USER_CLASS: b"iPXE", Option.IPXE: bytes((177, 5, 1, 0x1A, 0xF4, 0x10, 0))}
    if machine.uuid is not None:
        options[Option.CLIENT_UUID] = b"\0" + UUID(machine.uuid).bytes_le
    ciaddr = fields.pop("ciaddr", dhcp4.ZERO)
    options |= {Option[name.upper()]: address.packed for name, address in fields.items()}
    chaddr = bytes.fromhex(machine.mac.replace(":", ""))
    flags = 0 if ipxe or ciaddr != dhcp4.ZERO else dhcp4.BROADCAST_FLAG
    hops = int(place.relay != dhcp4.ZERO)
    return Message(Op.BOOTREQUEST, 1, chaddr, options, hops=hops, flags=flags, ciaddr=ciaddr, giaddr=place.relay)


def read_request(machine: Machine, file: str, *, ipxe: bool) -> Request:
    """The TFTP request for a boot file."""
    efi = {"tsize": "0", "blksize": "1468", "windowsize": "4"}
    options = {"blksize": "1432", "tsize": "0"} if ipxe or machine.platform == "pcbios" else efi
    return Request(Opcode.RRQ, file.encode(), options=options)


def _vendor_class(arch: int, platform: str) -> bytes:
    client = "HTTPClient" if arch in _HTTP else "PXEClient"
    return f"{client}:Arch:{arch:05}:UNDI:{'002001' if platform == 'pcbios' else '003010'}".encode()
