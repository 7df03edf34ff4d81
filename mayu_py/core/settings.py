"""What an operator decides: the shape of mayu's config file, as values (mayu_py.config reads and checks it)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import Path

from ignition.document import Data, Origin
from mayu_py.core.faces import Admin, BootFiles, Dns, EtcdDiscovery, Http, Tftp
from mayu_py.core.hosts import Host, Mac, Uuid
from mayu_py.core.networks import DhcpMode, Network


class UnknownHosts(StrEnum):
    """What happens to a machine that the config does not name."""

    ENROL = "enrol"  # it gets the next free address, and the next profile that wants hosts
    QUARANTINE = "quarantine"  # it gets the next free address, and no profile until an operator gives it one
    IGNORE = "ignore"  # it gets no answer


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
