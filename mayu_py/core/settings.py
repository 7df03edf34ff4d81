"""What an operator decides: the shape of mayu's config file, as values (mayu_py.config reads and checks it)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Self

from ignition.document import Data, Duration, Origin
from mayu_py.core.access import Access, Role, Token
from mayu_py.core.addresses import Range
from mayu_py.core.discovery import DEFAULT_SIZE
from mayu_py.core.hosts import Host, Mac, Uuid
from mayu_py.core.nics import Nic


class UnknownHosts(StrEnum):
    """What happens to a machine that the config does not name."""

    ENROL = "enrol"  # it gets the next free address, and the next profile that wants hosts
    QUARANTINE = "quarantine"  # it gets the next free address, and no profile until an operator gives it one
    IGNORE = "ignore"  # it gets no answer


class DhcpMode(StrEnum):
    """What mayu's DHCP does in a network."""

    AUTHORITATIVE = "authoritative"  # addresses and boot files
    PROXY = "proxy"  # boot files only, for who boots from the network; another server hands out addresses and knows nothing of it
    OFF = "off"  # nothing: another server hands out addresses and the names of mayu's boot files


class Install(StrEnum):
    """When a machine is given its image and its config."""

    ALWAYS = "always"  # at every boot: it has no disk, or one that does not count
    ONCE = "once"  # until it has run; then it boots from its disk


class NetworkFiles(StrEnum):
    """For which network manager a host is given the files of its NICs."""

    NONE = "none"  # for none: the template has its own, or the image asks DHCP
    NETWORKD = "networkd"
    NETWORKMANAGER = "networkmanager"


@dataclass(frozen=True)
class AddressRange:
    """`start` and `end` are both handed out."""

    start: IPv4Address
    end: IPv4Address
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    def of(self, network: str) -> Range:
        """The same as the allocator's value, under the name an error calls it."""
        return Range(self.start, self.end, f"the range of network {network} at {self.origin.mark}")


@dataclass(frozen=True)
class Route:
    """A static route for the hosts of a network (DHCP option 121)."""

    to: IPv4Network
    via: IPv4Address
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True)
class Network:
    """One subnet of hosts.

    `interface` is mayu's own on it, and `address` mayu's address there: the DHCP server identifier, the TFTP server and the
    host part of every URL. A network without them is reached through relays: their giaddr is an address of the subnet, or one
    of `relays`. An `extra` network gives every host a second address, for a further NIC, and boots nobody.
    `lease_time` is what clients are told (60 s at least); a host keeps its address however long it is away. `conflict_check` asks
    the wire before an address is given to a new host. `nic` is the hosts' own NIC in it. `owner` is the DHCP server beside which
    mayu is `dhcp: proxy`.
    """

    name: str
    subnet: IPv4Network
    interface: str | None = None
    address: IPv4Address | None = None
    dhcp: DhcpMode = DhcpMode.AUTHORITATIVE
    relays: tuple[IPv4Address, ...] = ()
    extra: bool = False
    range: AddressRange | None = None
    gateway: IPv4Address | None = None
    routes: tuple[Route, ...] = ()
    dns: tuple[IPv4Address, ...] = ()
    ntp: tuple[IPv4Address, ...] = ()
    domain: str | None = None
    search: tuple[str, ...] = ()
    nic: Nic | None = None
    lease_time: Duration = field(default=Duration(3600.0))
    conflict_check: bool = False
    owner: IPv4Address | None = None
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    def address_of(self, host: Host) -> IPv4Address | None:
        """The address that a host has in this network."""
        if host.address is not None and host.address in self.subnet:
            return host.address
        return host.addresses.get(self.name)


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


@dataclass(frozen=True)
class Image:
    """An operating system: files in `directory`, and the kernel's arguments.

    Each argument is a template over `server.url`, `image.url`, `host` and `ignition_url`. `files` are further files
    that the initrd fetches from `image.url`, by the name they are served under.
    """

    directory: Path
    kernel: str = "vmlinuz"
    initrd: str = "initrd.img"
    files: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    def served(self) -> dict[str, Path]:
        """Every file of the image by the name it is served under: `kernel`, `initrd`, and the names of `files`."""
        named = {"kernel": self.kernel, "initrd": self.initrd, **self.files}
        return {name: self.directory / file for name, file in named.items()}


@dataclass(frozen=True)
class Profile:
    """What a kind of host boots: an image, and a Butane template filled with `values`.

    `install: once` is for images that install themselves on the disk: a host that has run boots from there, until an operator
    wants it installed anew.
    `quantity` is how many enrolling hosts it wants: they are given to the profiles in their order, the first that still wants
    one. `tags` are for the reader and for selecting hosts. `network_files` sets up the host's NICs; the template's own files win.
    """

    name: str
    image: str
    ignition: Path
    install: Install = Install.ALWAYS
    quantity: int | None = None
    tags: tuple[str, ...] = ()
    network_files: NetworkFiles = NetworkFiles.NONE
    values: Mapping[str, Data] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True)
class HostEntry:
    """A host that the config names.

    `address` may be left out where another server hands out the addresses (`dhcp: proxy`). `addresses` are its addresses in extra
    networks, by their names. `image` and `values` lie over those of its profile.
    """

    name: str
    profile: str
    address: IPv4Address | None = None
    macs: tuple[Mac, ...] = ()
    serial: str | None = None
    uuid: Uuid | None = None
    addresses: Mapping[str, IPv4Address] = field(default_factory=dict)
    image: str | None = None
    values: Mapping[str, Data] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True)
class Settings:
    """The whole config file. Paths are absolute after reading.

    `templates_env` is what every template sees, under the values of profiles and hosts. `ignored_hosts` get no answer.
    """

    networks: tuple[Network, ...]
    images: Mapping[str, Image]
    profiles: tuple[Profile, ...]
    hosts: tuple[HostEntry, ...] = ()
    state: Path = Path("mayu.db")
    http: Http = field(default_factory=Http)
    admin: Admin = field(default_factory=Admin)
    tftp: Tftp = field(default_factory=Tftp)
    boot: BootFiles = field(default_factory=BootFiles)
    dns: Dns | None = None
    etcd_discovery: EtcdDiscovery = field(default_factory=EtcdDiscovery)
    unknown_hosts: UnknownHosts = UnknownHosts.IGNORE
    default_profile: str | None = None
    ignored_hosts: tuple[Mac, ...] = ()
    templates_env: Mapping[str, Data] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)

    @cached_property
    def home(self) -> Network:
        """The first network that mayu itself is on; its address is mayu's for hosts behind relays."""
        return next(network for network in self.networks if network.address is not None)

    @cached_property
    def boot_networks(self) -> tuple[Network, ...]:
        """The networks that hosts boot from."""
        return tuple(network for network in self.networks if not network.extra)

    @cached_property
    def local(self) -> tuple[Network, ...]:
        """The networks that mayu itself is on."""
        return tuple(network for network in self.networks if network.interface is not None)

    def address(self, network: Network | None = None) -> IPv4Address:
        """mayu's own address, as the hosts of a network reach it."""
        address = network.address if network is not None else None
        address = address or self.home.address
        assert address is not None  # `home` is a network with an address.
        return address

    def url(self, network: Network | None = None) -> str:
        """The boot face, as the hosts of a network reach it."""
        return f"http://{self.address(network)}:{self.http.port}"

    def network_of(self, address: IPv4Address) -> Network | None:
        """The network whose subnet holds an address."""
        return next((network for network in self.networks if address in network.subnet), None)

    def seat(self, host: Host) -> Network | None:
        """The network that a host boots from. Before a host has been heard of in a proxied network, it is the first of those."""
        if host.address is not None:
            return self.network_of(host.address)
        return next((network for network in self.boot_networks if network.dhcp is DhcpMode.PROXY), None)

    def profile(self, name: str) -> Profile | None:
        """The profile of that name."""
        return next((profile for profile in self.profiles if profile.name == name), None)
