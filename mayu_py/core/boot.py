"""The heart: one pure function decides what every request is answered, and says why.

`decide(request, snapshot)` is called by the live handlers, and by everything that explains or replays them, so that
they cannot disagree. It never blocks, never writes, and does not know what time it is.
"""

from typing import assert_never

from mayu_py.core.exchange import (
    UNSET,
    Accept,
    Answer,
    Became,
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
from mayu_py.core.settings import Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot

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
    server = snapshot.settings.network.address
    if request.server_id is not None and request.server_id != server:
        return Answer(None, reasons=(f"the client chose another server, {request.server_id}",))
    host, found = snapshot.find(request.identity)
    if host is None:
        return _unknown(request.identity, snapshot, found)
    match request.kind:
        case DhcpKind.DISCOVER:
            return _lease(request, snapshot, host, found, ack=False)
        case DhcpKind.REQUEST:
            return _request(request, snapshot, host, found)
        case DhcpKind.INFORM:
            return Answer(Lease(host, ack=True, yiaddr=None, boot_file=None), reasons=(found, "DHCPINFORM: no address"))
        case DhcpKind.RELEASE:
            return Answer(None, reasons=(found, "DHCPRELEASE: the address stays the host's own"))
        case DhcpKind.DECLINE:
            return Answer(None, reasons=(found, f"DHCPDECLINE: somebody else uses {request.requested}"))
        case _:
            assert_never(request.kind)


def _unknown(identity: Identity, snapshot: Snapshot, found: str) -> Answer:
    settings = snapshot.settings
    rule = f"unknown_hosts: {settings.unknown_hosts} ({settings.origin.at('unknown_hosts')})"
    if settings.unknown_hosts is UnknownHosts.IGNORE:
        return Answer(None, reasons=(found, rule))
    return Answer(Enrol(identity), reasons=(found, rule))


def _request(request: DhcpRequest, snapshot: Snapshot, host: Host, found: str) -> Answer:
    """DHCPREQUEST in its states SELECTING, INIT-REBOOT, RENEWING and REBINDING (RFC 2131, section 4.3.2)."""
    claimed = request.ciaddr if request.ciaddr != UNSET else request.requested
    if claimed is None:
        return Answer(None, reasons=(found, "the DHCPREQUEST names no address"))
    if claimed != host.address:
        why = f"{host.name} has {host.address}, not {claimed}"
        return Answer(Nak(why), reasons=(found, why))
    return _lease(request, snapshot, host, found, ack=True)


def _lease(request: DhcpRequest, snapshot: Snapshot, host: Host, found: str, *, ack: bool) -> Answer:
    boot_file, rule = _boot_file(request, snapshot.settings)
    lease = Lease(host, ack, host.address, boot_file, ipxe=request.ipxe, netboot=request.netboot)
    booting = ack and request.netboot and request.ciaddr == UNSET
    events = (Reached(host, Stage.DHCP, from_ipxe=request.ipxe),) if booting else ()
    return Answer(lease, events, (found, f"{host.address} is {host.name}'s own", rule))


def _boot_file(request: DhcpRequest, settings: Settings) -> tuple[str | None, str]:
    if not request.netboot:
        return None, "the client does not boot from the network"
    if request.ipxe:
        return f"{settings.url}/boot.ipxe", "the client is iPXE: it gets the entry script"
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
    rule = f"profile {profile.name} boots image {profile.image} ({profile.origin.at('image')})"
    return Answer(BootImage(host, profile.image), (*learned, Reached(host, Stage.IPXE)), (found, rule))


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
    if request.source != host.address:
        why = f"only {host.name} itself ({host.address}) may report for it, not {request.source}"
        return Answer(Refuse(Refusal.FORBIDDEN, why), reasons=(why,))
    match request.what:
        case Stage.RUNNING:
            events: tuple[Event, ...] = (Reached(host, Stage.RUNNING), Became(host, State.RUNNING))
        case Stage() as stage:
            events = (Reached(host, stage),)
        case state:
            events = (Became(host, state, request.text),)
    return Answer(Accept(host), events, (f"reported by {host.name} itself",))
