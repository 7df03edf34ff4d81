"""The heart: one pure function decides what every request is answered, and says why.

`decide(request, snapshot)` is called by the live handlers, and by everything that explains or replays them, so that
they cannot disagree. It never blocks, never writes, and does not know what time it is.
"""

from ipaddress import IPv4Address
from typing import NamedTuple, TypeAlias, assert_never

from mayu_py.core.exchange import (
    UNSET,
    Accept,
    Answer,
    Became,
    BootDisk,
    BootImage,
    ChainTo,
    DhcpKind,
    DhcpRequest,
    Enrol,
    Event,
    IgnitionRequest,
    ImageRead,
    Learned,
    Lease,
    Nak,
    Reached,
    Refusal,
    Refuse,
    Report,
    Request,
    ScriptRequest,
    ServeConfig,
    TftpRead,
)
from mayu_py.core.hosts import Host, Identity, Stage, State
from mayu_py.core.settings import DhcpMode, Install, Network, Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot

Reasons: TypeAlias = tuple[str, ...]

ARCH_BIOS = frozenset({0})
ARCH_UEFI_X64 = frozenset({7, 9})  # RFC 4578 lists 9 for x64; firmware has always sent 7, and the registry followed.


def decide(request: Request, snapshot: Snapshot) -> Answer:
    """What to answer, what to record, and why. Pure and total: any request, any snapshot, no exception."""
    match request:
        case DhcpRequest():
            return _dhcp(request, snapshot)
        case TftpRead():
            return _tftp(request, snapshot)
        case ScriptRequest():
            return _script(request, snapshot)
        case ImageRead():
            return _image(request, snapshot)
        case IgnitionRequest():
            return _ignition(request, snapshot)
        case Report():
            return _report(request, snapshot)
        case _:
            assert_never(request)


def _dhcp(request: DhcpRequest, snapshot: Snapshot) -> Answer:
    settings = snapshot.settings
    network, came = _network(request, settings)
    if network is None or network.dhcp is DhcpMode.OFF:
        return Answer(None, reasons=(came,) if network is None else (came, f"dhcp: off ({network.origin.at('dhcp')})"))
    if request.identity.mac in settings.ignored_hosts:
        return Answer(None, reasons=(came, f"ignored_hosts names {request.identity.mac} ({settings.origin.at('ignored_hosts')})"))
    if request.server_id is not None and request.server_id != settings.address(network):
        return Answer(None, reasons=(came, f"the client chose another server, {request.server_id}"))
    host, found = snapshot.find(request.identity)
    if host is None:
        return _unknown(request.identity, network, settings, (came, found))
    address = network.address_of(host)
    if address is None:
        return _astray(request, network, host, (came, found))
    return _known(request, settings, Place(network, host, address), (came, found))


class Place(NamedTuple):
    """Where a host is: its network and its address there."""

    network: Network
    host: Host
    address: IPv4Address


def _network(request: DhcpRequest, settings: Settings) -> tuple[Network | None, str]:
    """The network that a packet comes from: what the relay says, else the interface it came in on (RFC 2131, 4.3.1)."""
    if request.giaddr == UNSET:
        network = next((network for network in settings.local if network.interface == request.interface), None)
        return (
            network,
            f"network {network.name} is on {request.interface}" if network else f"no network is on {request.interface}",
        )
    link = request.link or request.giaddr
    network = settings.network_of(link) or next((n for n in settings.networks if request.giaddr in n.relays), None)
    if network is None:
        return None, f"no network holds the relay {link}, and none names it in `relays`"
    return network, f"the relay {link} speaks for network {network.name} ({network.origin.mark})"


def _known(request: DhcpRequest, settings: Settings, place: Place, reasons: Reasons) -> Answer:
    match request.kind:
        case DhcpKind.DISCOVER:
            return _lease(request, settings, place, reasons, ack=False)
        case DhcpKind.REQUEST:
            return _request(request, settings, place, reasons)
        case DhcpKind.INFORM:
            lease = Lease(place.host, place.network, ack=True, yiaddr=None, boot_file=None)
            return Answer(lease, reasons=(*reasons, "DHCPINFORM: no address"))
        case DhcpKind.RELEASE:
            return Answer(None, reasons=(*reasons, "DHCPRELEASE: the address stays the host's own"))
        case DhcpKind.DECLINE:
            return Answer(None, reasons=(*reasons, f"DHCPDECLINE: somebody else uses {request.requested}"))
        case _:
            assert_never(request.kind)


def _unknown(identity: Identity, network: Network, settings: Settings, reasons: Reasons) -> Answer:
    rule = f"unknown_hosts: {settings.unknown_hosts} ({settings.origin.at('unknown_hosts')})"
    if settings.unknown_hosts is UnknownHosts.IGNORE or network.extra:
        why = (f"network {network.name} is extra: nobody enrols there",) if network.extra else ()
        return Answer(None, reasons=(*reasons, rule, *why))
    return Answer(Enrol(identity, network), reasons=(*reasons, rule))


def _astray(request: DhcpRequest, network: Network, host: Host, reasons: Reasons) -> Answer:
    """A known host in a network where it has no address. It learns so at once if it claims to have one."""
    why = f"{host.name} has no address in network {network.name}; it has {host.address}"
    nak = Nak(network, why) if request.kind is DhcpKind.REQUEST else None
    return Answer(nak, reasons=(*reasons, why))


def _request(request: DhcpRequest, settings: Settings, place: Place, reasons: Reasons) -> Answer:
    """DHCPREQUEST in its states SELECTING, INIT-REBOOT, RENEWING and REBINDING (RFC 2131, section 4.3.2)."""
    claimed = request.ciaddr if request.ciaddr != UNSET else request.requested
    if claimed is None:
        return Answer(None, reasons=(*reasons, "the DHCPREQUEST names no address"))
    if claimed != place.address:
        why = f"{place.host.name} has {place.address}, not {claimed}"
        return Answer(Nak(place.network, why), reasons=(*reasons, why))
    return _lease(request, settings, place, reasons, ack=True)


def _lease(request: DhcpRequest, settings: Settings, place: Place, reasons: Reasons, *, ack: bool) -> Answer:
    network, host, address = place
    netboot = request.netboot and not network.extra
    boot_file, rule = _boot_file(request, settings, network)
    lease = Lease(host, network, ack, address, boot_file, ipxe=request.ipxe, netboot=netboot)
    booting = ack and netboot and request.ciaddr == UNSET
    events = (Reached(host, Stage.DHCP, from_ipxe=request.ipxe),) if booting else ()
    return Answer(lease, events, (*reasons, f"{address} is {host.name}'s own", rule))


def _boot_file(request: DhcpRequest, settings: Settings, network: Network) -> tuple[str | None, str]:
    if network.extra:
        return None, f"network {network.name} is extra: nobody boots from it"
    if not request.netboot:
        return None, "the client does not boot from the network"
    if request.ipxe:
        return f"{settings.url(network)}/boot.ipxe", "the client is iPXE: it gets the entry script"
    if request.arch is None or request.arch in ARCH_BIOS:
        return settings.boot.bios, f"option 93 is {request.arch}: boot.bios ({settings.boot.origin.at('bios')})"
    if request.arch in ARCH_UEFI_X64:
        rule = f"option 93 is {request.arch}: boot.uefi_x64 ({settings.boot.origin.at('uefi_x64')})"
        return settings.boot.uefi_x64, rule
    return None, f"option 93 is {request.arch}, for which there is no boot file"


def _tftp(request: TftpRead, snapshot: Snapshot) -> Answer:
    host = snapshot.by_address.get(request.source)
    events = (Reached(host, Stage.TFTP),) if host else ()
    return Answer(Accept(host), events, ("any file below tftp.root may be read by anyone",))


def _script(request: ScriptRequest, snapshot: Snapshot) -> Answer:
    settings = snapshot.settings
    host, found = snapshot.find(request.identity)
    if host is None:
        return Answer(Refuse(Refusal.NOT_READY, found), reasons=(found,))
    from_rom = request.platform == "pcbios" and not request.chip.startswith("undionly")
    if settings.boot.replace_rom_ipxe and from_rom:
        rule = f"{request.chip} is a ROM's iPXE: boot.replace_rom_ipxe ({settings.boot.origin.at('replace_rom_ipxe')})"
        return Answer(ChainTo(settings.boot.bios), reasons=(found, rule))
    learned = _learned(host, request.identity)
    profile = settings.profile(host.profile) if host.profile else None
    if profile is None:
        why = f"{host.name} has no profile yet"
        return Answer(Refuse(Refusal.NOT_READY, why), learned, (found, why))
    if host.installed and profile.install is Install.ONCE:
        rule = f"{host.name} is installed, and profile {profile.name} installs once ({profile.origin.at('install')})"
        return Answer(BootDisk(host), learned, (found, rule))
    image = host.image or profile.image
    rule = f"profile {profile.name} boots image {profile.image} ({profile.origin.at('image')})"
    if host.image:
        rule = f"{host.name} boots image {image} of its own ({host.origin})"
    return Answer(BootImage(host, image), (*learned, Reached(host, Stage.IPXE)), (found, rule))


def _learned(host: Host, identity: Identity) -> tuple[Event, ...]:
    news = (identity.serial and not host.serial) or (identity.uuid and not host.uuid)
    return (Learned(host, identity),) if news else ()


def _image(request: ImageRead, snapshot: Snapshot) -> Answer:
    image = snapshot.settings.images.get(request.image)
    if image is None or request.file not in image.served():
        why = f"there is no file {request.file!r} in image {request.image!r}"
        return Answer(Refuse(Refusal.UNKNOWN, why), reasons=(why,))
    host = snapshot.by_address.get(request.source) if request.source else None
    events = (Reached(host, Stage.HTTP),) if host and request.file == "kernel" else ()
    return Answer(Accept(host), events, (f"images.{request.image} ({image.origin.mark})",))


def _ignition(request: IgnitionRequest, snapshot: Snapshot) -> Answer:
    host, found = snapshot.find(request.identity)
    if host is None or host.profile is None:
        why = found if host is None else f"{host.name} has no profile yet"
        return Answer(Refuse(Refusal.NOT_READY, why), reasons=(found, why))
    events = (*_learned(host, request.identity), Reached(host, Stage.IGNITION), Became(host, State.INSTALLING))
    return Answer(ServeConfig(host), events, (found, f"profile {host.profile}"))


def _report(request: Report, snapshot: Snapshot) -> Answer:
    host = snapshot.by_ident.get(request.ident)
    if host is None:
        why = f"there is no host {request.ident!r}"
        return Answer(Refuse(Refusal.UNKNOWN, why), reasons=(why,))
    if request.source not in (host.address, *host.addresses.values()):
        why = f"only {host.name} itself ({host.address}) may report for it, not {request.source}"
        return Answer(Refuse(Refusal.FORBIDDEN, why), reasons=(why,))
    match request.what:
        case Stage.RUNNING:
            profile = snapshot.settings.profile(host.profile or "")
            once = profile is not None and profile.install is Install.ONCE
            running = (Reached(host, Stage.RUNNING), Became(host, State.RUNNING, installed=once))
            news = request.os_version and request.os_version != host.facts.os_version
            events: tuple[Event, ...] = (*running, *((Learned(host, os_version=request.os_version),) if news else ()))
        case Stage() as stage:
            events = (Reached(host, stage),)
        case state:
            events = (Became(host, state, request.text),)
    return Answer(Accept(host), events, (f"reported by {host.name} itself",))
