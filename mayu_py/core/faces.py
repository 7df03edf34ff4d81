"""What mayu listens on and serves from, by the config file: HTTP, the admin face, TFTP, DNS, etcd discovery."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Self

from ignition.document import Duration, Origin
from mayu_py.core.access import Access, Role, Token
from mayu_py.core.discovery import DEFAULT_SIZE
from mayu_py.core.networks import Network


@dataclass(frozen=True)
class Http:
    """`port` 4081 is Mayu's own PXE port. Each of the `workers` is a process; two survive the loss of one."""

    port: int = 4081
    workers: int = 2
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True)
class AdminTls:
    """The admin face's certificate chain and key (PEM). It is read again when the files change.

    `client_ca` verifies the certificates of clients, which `certificates` gives their roles, by their subjects' common names.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    certificates: Mapping[str, Role] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True)
class Admin:
    """The admin face. `port` 4080 is Mayu's own API port.

    `address` is where it listens: with `tls` everywhere by default, without on 127.0.0.1, and nowhere else. `files` is a folder
    that is served, read-only, as `/fileserver/`.
    """

    port: int = 4080
    address: IPv4Address | None = None
    tls: AdminTls | None = None
    tokens: tuple[Token, ...] = ()
    files: Path | None = None
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    @property
    def listen(self) -> IPv4Address:
        """The address to listen on."""
        return self.address or IPv4Address("0.0.0.0" if self.tls else "127.0.0.1")

    @property
    def access(self) -> Access:
        """Who may come in."""
        return Access(self.tokens, self.tls.certificates if self.tls else {})


@dataclass(frozen=True)
class Tftp:
    """`root` is served read-only; the default is where Debian's package `ipxe` puts its boot files.

    At most `max_sessions` transfers run at once, and `max_per_client` for one address.
    """

    root: Path = Path("/usr/lib/ipxe")
    max_sessions: int = 2048
    max_per_client: int = 16
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


class DomainName(str):
    """A name of labels and dots in lower case, without the dot at its end."""

    _LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name. Raises ValueError."""
        name = text.lower().removesuffix(".")
        if len(name) > 253 or not all(cls._LABEL.fullmatch(label) for label in name.split(".")):
            raise ValueError(f"{text!r} is no domain name: labels of letters, digits and '-' with dots between, 253 in all")
        return cls(name)

    @property
    def labels(self) -> tuple[bytes, ...]:
        """The labels, the first one first."""
        return tuple(self.encode().split(b"."))


class Cluster(DomainName):
    """The name below which every name is the same: `customera`, or `*.customera`, which means that too."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name. Raises ValueError."""
        return super().parse(text.removeprefix("*."))


@dataclass(frozen=True)
class Forwarder:
    """A name server that is asked about names which are not ours."""

    address: IPv4Address
    port: int = 53

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `10.0.0.53` or `10.0.0.53:5353`. Raises ValueError."""
        address, colon, port = text.partition(":")
        if colon and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise ValueError(f"{port!r} is no port: a forwarder is written 10.0.0.53 or 10.0.0.53:5353")
        return cls(IPv4Address(address), int(port) if colon else 53)


@dataclass(frozen=True)
class Etcd:
    """The hosts of `profile` are members of one etcd, named by SRV records; with `tls` under etcd's names for that."""

    profile: str
    tls: bool = False
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True)
class Dns:
    """Names for the rack. Hosts are `name.zone`; whatever is in `aliases`, `wildcards` and `records` is below `zone` too.

    `ttl` is that of every record (1 s to 1 d). Names of others are asked of the `forwarders`, in their order; without any
    they are refused. Who may ask at all is in `allow`; unless it is set, the served subnets and this machine.
    """

    zone: DomainName
    port: int = 53
    ttl: Duration = field(default=Duration(60.0))
    forwarders: tuple[Forwarder, ...] = ()
    allow: tuple[IPv4Network, ...] | None = None
    aliases: Mapping[DomainName, DomainName] = field(default_factory=dict)
    wildcards: Mapping[Cluster, tuple[IPv4Address, ...]] = field(default_factory=dict)
    records: Mapping[DomainName, tuple[IPv4Address, ...]] = field(default_factory=dict)
    etcd: Etcd | None = None
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    @property
    def seconds(self) -> int:
        """`ttl` as records have it."""
        return round(self.ttl.seconds)

    def allowed(self, networks: Iterable[Network]) -> tuple[IPv4Network, ...]:
        """Who may ask."""
        return (*(network.subnet for network in networks), IPv4Network("127.0.0.0/8")) if self.allow is None else self.allow


@dataclass(frozen=True)
class EtcdDiscovery:
    """etcd's discovery at `/etcd/`. Hosts without a token of their own are told `token` (32 hex digits), which needs not be made.

    `size` is how many members a cluster has when whoever makes its token does not say.
    """

    token: str | None = None
    size: int = DEFAULT_SIZE
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True)
class BootFiles:
    """First-stage files below `tftp.root`, by firmware (DHCP option 93). Firmware without a file gets an address only.

    snponly.efi drives the card through the firmware, as undionly.kpxe does; ipxe.efi brings drivers of its own.

    `replace_rom_ipxe`: a NIC ROM that already is iPXE still loads `bios`, so that every machine runs the same build.
    """

    bios: str = "undionly.kpxe"
    uefi_x64: str = "snponly.efi"
    uefi_ia32: str | None = None
    uefi_arm32: str | None = None
    uefi_arm64: str | None = None
    replace_rom_ipxe: bool = True
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)
