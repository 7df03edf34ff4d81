"""mayu's config file: read, decode, check. All problems are reported at once, each with file, line and a way out."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ignition.document import DocumentError, Origin, Problem, decode, load
from ignition.render import Template
from mayu_py.core.inventory import configured
from mayu_py.core.records import SERVER_LABEL, qualified, records
from mayu_py.core.render import Renderer
from mayu_py.core.settings import Dns, Image, Settings
from mayu_py.core.zones import Type, Zones
from mayu_py.errors import ConfigError

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_URL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
MINIMUM_LEASE_SECONDS = 60.0
LONGEST_DNS_TTL = 86400
# A name of 253 characters holds a dot between the two, and for a wildcard "*." before them.
LONGEST_DNS_NAMES = 250
# What fits into one datagram with room to spare: answers that need TCP make a cluster slow, not large.
MOST_ADDRESSES = 32


@dataclass(frozen=True)
class Config:
    """A checked config: the settings, and the renderer holding every profile's template."""

    settings: Settings
    renderer: Renderer


def read(path: Path) -> Config:
    """Read and check a config file. Raises ConfigError with every problem found."""
    config, problems = check(path)
    errors = [problem for problem in problems if problem.is_error]
    if config is None or errors:
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        raise ConfigError("\n".join((*(problem.located for problem in problems), f"{path}: {count}; nothing was started")))
    return config


def check(path: Path) -> tuple[Config | None, list[Problem]]:
    """Read a config file and find everything that is wrong with it. The config is None when it cannot be decoded."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path} cannot be read: {why}", hint="name the config file with --config") from error
    try:
        decoded = decode(load(text, str(path)), Settings)
    except DocumentError as error:
        return None, list(error.problems)
    problems = list(decoded.problems)
    if decoded.value is None:
        return None, problems
    settings = _anchored(decoded.value, path.absolute().parent)
    for rule in _RULES:
        problems += rule(settings)
    config = None
    try:
        renderer = Renderer(settings, dict(_templates(settings, problems)))
        config = Config(settings, renderer)
        if not any(problem.is_error for problem in problems):
            problems += _rendering(settings, renderer)
    except DocumentError as error:
        problems += error.problems
    # Sorting by place lets the reader walk through the file once; a set drops what two hosts share.
    return config, sorted(set(problems), key=lambda problem: (problem.mark, problem.message))


def _anchored(settings: Settings, folder: Path) -> Settings:
    """Paths mean the config file's own folder, not the one mayu was started in; decoded ones already do."""
    return replace(settings, state=folder / settings.state)


def _network(settings: Settings) -> Iterator[Problem]:
    network = settings.network
    subnet = network.subnet
    for key, address in (("address", network.address), ("gateway", network.gateway)):
        if address is not None and address not in subnet:
            yield network.origin.error(f"{address} is not in the subnet {subnet}", key, hint=f"use one of {_usable(subnet)}")
    if network.lease_time.seconds < MINIMUM_LEASE_SECONDS:
        yield network.origin.error(
            f"{network.lease_time} is too short for a lease", "lease_time", hint="60s is the least; 1h is usual"
        )
    if network.range is None:
        return
    start, end, origin = network.range.start, network.range.end, network.range.origin
    if start > end:
        yield origin.error(
            f"the range is reversed: it starts at {start} and ends at {end}", "start", hint=f"start: {end}, end: {start}"
        )
    for key, address in (("start", start), ("end", end)):
        if address not in subnet:
            yield origin.error(f"{address} is not in the subnet {subnet}", key, hint=f"use one of {_usable(subnet)}")


def _usable(subnet: object) -> str:
    from ipaddress import IPv4Network

    assert isinstance(subnet, IPv4Network)
    return f"{subnet.network_address + 1} to {subnet.broadcast_address - 1}"


def _listeners(settings: Settings) -> Iterator[Problem]:
    http = settings.http
    if not 1 <= http.port <= 65535:
        yield http.origin.error(f"{http.port} is no TCP port", "port", hint="1 to 65535; 4081 is the default")
    if not 1 <= http.workers <= 64:
        yield http.origin.error(f"{http.workers} HTTP workers", "workers", hint="1 to 64; 2 is the default")


def _boot_files(settings: Settings) -> Iterator[Problem]:
    root, origin = settings.tftp.root, settings.tftp.origin
    if not root.is_dir():
        yield origin.error(f"there is no folder {root}", "root", hint="apt-get install ipxe puts boot files in /usr/lib/ipxe")
        return
    for key in ("bios", "uefi_x64"):
        name = getattr(settings.boot, key)
        file = root / name
        if file.is_file() and not file.resolve().is_relative_to(root.resolve()):
            # TFTP never leaves its root, and Debian's ipxe.efi is a link to /boot.
            yield settings.boot.origin.error(
                f"{file} is a link to {file.resolve()}, outside of tftp.root", key, hint="copy the file into the folder"
            )
        elif not file.is_file():
            found = ", ".join(sorted(file.name for file in root.iterdir() if file.suffix in (".kpxe", ".efi", ".pxe")))
            yield settings.boot.origin.error(f"there is no file {name} in {root}", key, hint=f"there are: {found or 'none'}")


def _images(settings: Settings) -> Iterator[Problem]:
    for name, image in settings.images.items():
        if not _URL_NAME.fullmatch(name):
            yield image.origin.error(f"{name!r} cannot stand in a URL", hint="letters, digits, '.', '_' and '-'")
        for served, file in image.served().items():
            if not _URL_NAME.fullmatch(served):
                yield image.origin.error(f"{served!r} cannot stand in a URL", "files", served)
            if not file.is_file():
                yield image.origin.error(f"there is no file {file}", *_image_key(image, served))


def _image_key(image: Image, served: str) -> tuple[str, ...]:
    return ("files", served) if served in image.files else (served,)


def _profiles(settings: Settings) -> Iterator[Problem]:
    yield from _unique(((p.name, p.origin, ("name",)) for p in settings.profiles), "the profile name")
    for profile in settings.profiles:
        if profile.image not in settings.images:
            yield profile.origin.error(
                f"there is no image {profile.image!r}", "image", hint=f"images: {_listed(settings.images)}"
            )
    names = [profile.name for profile in settings.profiles]
    if settings.default_profile is not None and settings.default_profile not in names:
        yield settings.origin.error(
            f"there is no profile {settings.default_profile!r}", "default_profile", hint=f"profiles: {_listed(names)}"
        )


def _hosts(settings: Settings) -> Iterator[Problem]:
    hosts, network = settings.hosts, settings.network
    yield from _unique(((h.name, h.origin, ("name",)) for h in hosts), "the host name")
    yield from _unique(((h.serial, h.origin, ("serial",)) for h in hosts if h.serial), "the serial")
    yield from _unique(((h.uuid, h.origin, ("uuid",)) for h in hosts if h.uuid), "the uuid")
    yield from _unique(((str(h.address), h.origin, ("address",)) for h in hosts), "the address")
    yield from _unique(((mac, h.origin, ("macs", str(n))) for h in hosts for n, mac in enumerate(h.macs)), "the MAC")
    profiles = [profile.name for profile in settings.profiles]
    for host in hosts:
        if not _LABEL.fullmatch(host.name):
            yield host.origin.error(
                f"{host.name!r} is no host name", "name", hint="lower-case letters, digits and '-', 63 at most (RFC 1123)"
            )
        if host.address not in network.subnet:
            yield host.origin.error(
                f"{host.address} is not in the subnet {network.subnet}", "address", hint=f"use one of {_usable(network.subnet)}"
            )
        elif host.address in (network.address, network.gateway):
            yield host.origin.error(f"{host.address} is the server's or the gateway's own address", "address")
        if host.profile not in profiles:
            yield host.origin.error(f"there is no profile {host.profile!r}", "profile", hint=f"profiles: {_listed(profiles)}")
        # A list of MACs that could not be read has its own problem already.
        if not host.macs and not host.uuid and host.origin.at("macs") == host.origin.mark:
            yield host.origin.error(
                "nothing tells this host from others in a DHCP packet", hint="give it `macs`, or the `uuid` of its board"
            )


def _dns(settings: Settings) -> Iterator[Problem]:
    dns = settings.dns
    if dns is None:
        return
    if not 1 <= dns.port <= 65535:
        yield dns.origin.error(f"{dns.port} is no port", "port", hint="1 to 65535; 53 is the default")
    if not 1 <= dns.seconds <= LONGEST_DNS_TTL:
        yield dns.origin.error(f"{dns.ttl} is no TTL for a rack's names", "ttl", hint="1s to 1d; 60s is the default")
    for number, forwarder in enumerate(dns.forwarders):
        if (forwarder.address, forwarder.port) == (settings.network.address, dns.port):
            yield dns.origin.error(
                "mayu would ask itself", "forwarders", number, hint="name the servers that mayu itself asks: see /etc/resolv.conf"
            )
    if dns.etcd is not None and settings.profile(dns.etcd.profile) is None:
        listed = _listed(profile.name for profile in settings.profiles)
        yield dns.etcd.origin.error(f"there is no profile {dns.etcd.profile!r}", "profile", hint=f"profiles: {listed}")
    yield from _dns_addresses(dns)
    yield from _dns_names(settings, dns)


def _dns_addresses(dns: Dns) -> Iterator[Problem]:
    for key, section in (("records", dns.records), ("wildcards", dns.wildcards)):
        for name, addresses in section.items():
            if not 1 <= len(addresses) <= MOST_ADDRESSES:
                yield dns.origin.error(f"{name} has {len(addresses)} addresses", key, name, hint=f"1 to {MOST_ADDRESSES}")


def _dns_names(settings: Settings, dns: Dns) -> Iterator[Problem]:
    """Every name is used once, is not too long, and every alias leads to an address."""
    taken = {SERVER_LABEL: "mayu's own name"}
    for host in settings.hosts:
        if host.name == SERVER_LABEL:
            yield host.origin.error(f"{SERVER_LABEL!r} is mayu's own name in the zone {dns.zone}", "name", hint="choose another")
        taken.setdefault(host.name, f"a host, at {host.origin.mark}")
    for key, section in (("records", dns.records), ("aliases", dns.aliases)):
        for name in section:
            if name in taken:
                yield dns.origin.error(f"{name} is used twice", key, name, hint=f"it is {taken[name]}")
            taken.setdefault(name, f"in {key}, at {dns.origin.at(key, name)}")
    for key, names in (("records", dns.records), ("aliases", dns.aliases), ("wildcards", dns.wildcards)):
        for name in names:
            if len(name) + len(dns.zone) > LONGEST_DNS_NAMES:
                yield dns.origin.error(f"{name}.{dns.zone} is too long for a name", key, name, hint="253 characters at most")
    zones = Zones.of(records(dns, settings.network, configured(settings), 1))
    for name, target in dns.aliases.items():
        found = zones.answer(qualified(dns, name), Type.A)
        if found is None or not any(record.type is Type.A for record in found.answer):
            hint = f"the target is a name below {dns.zone}, such as a host's"
            yield dns.origin.error(f"the alias leads to {target}.{dns.zone}, which has no address", "aliases", name, hint=hint)


def _unique(values: Iterable[tuple[str, Origin, tuple[str, ...]]], what: str) -> Iterator[Problem]:
    """One error at every later occurrence, naming the first."""
    first: dict[str, str] = {}
    for value, origin, steps in values:
        where = origin.at(*(int(step) if step.isdigit() else step for step in steps))
        if value in first:
            path = [int(step) if step.isdigit() else step for step in steps]
            yield origin.error(f"{what} {value} is used twice", *path, hint=f"it was first used at {first[value]}")
        else:
            first[value] = str(where)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _templates(settings: Settings, problems: list[Problem]) -> Iterator[tuple[str, Template]]:
    for profile in settings.profiles:
        try:
            yield profile.name, Template.parse(profile.ignition.read_text("utf-8"), str(profile.ignition))
        except OSError as error:
            problems.append(profile.origin.error(f"{profile.ignition} cannot be read: {error.strerror}", "ignition"))
        except UnicodeDecodeError:
            problems.append(profile.origin.error(f"{profile.ignition} is not UTF-8 text", "ignition"))
        except DocumentError as error:
            problems += error.problems


def _rendering(settings: Settings, renderer: Renderer) -> Iterator[Problem]:
    """Every host's config must render and be valid now, or it would fail on the machine."""
    for host, entry in zip(configured(settings), settings.hosts, strict=True):
        try:
            renderer.config(host)
            renderer.arguments(host)
        except DocumentError as error:
            for problem in error.problems:
                yield replace(problem, message=f"for host {host.name} ({entry.origin.mark}): {problem.message}")


_RULES: tuple[Callable[[Settings], Iterable[Problem]], ...] = (
    _network,
    _listeners,
    _boot_files,
    _images,
    _profiles,
    _hosts,
    _dns,
)
