"""The heart: one pure function decides what every request is answered, and says why.

`decide(request, snapshot)` is called by the live handlers, and by everything that explains or replays them, so that
they cannot disagree. It never blocks, never writes, and does not know what time it is.
"""

from ipaddress import IPv4Address
from typing import assert_never

from mayu_py.core.boot_dhcp import decide_dhcp, learned_address
from mayu_py.core.exchange import (
    Accept,
    Answer,
    Became,
    BootDisk,
    BootFileRead,
    BootImage,
    ChainTo,
    DhcpRequest,
    Event,
    IgnitionRequest,
    ImageRead,
    Learned,
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
from mayu_py.core.settings import Install
from mayu_py.core.snapshot import Snapshot


def decide(request: Request, snapshot: Snapshot) -> Answer:
    """What to answer, what to record, and why. Pure and total: any request, any snapshot, no exception."""
    match request:
        case DhcpRequest():
            return decide_dhcp(request, snapshot)
        case TftpRead():
            return _tftp(request, snapshot)
        case BootFileRead():
            return Answer(Accept(None), reasons=("any file below tftp.root may be read by anyone",))
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
    learned = _learned(host, request.identity, request.source, snapshot)
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


def _learned(host: Host, identity: Identity, source: IPv4Address | None, snapshot: Snapshot) -> tuple[Event, ...]:
    news = (identity.serial and not host.serial) or (identity.uuid and not host.uuid)
    told = (Learned(host, identity),) if news else ()
    return (*told, *learned_address(host, source, snapshot))


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
    learned = _learned(host, request.identity, request.source, snapshot)
    events = (*learned, Reached(host, Stage.IGNITION), Became(host, State.INSTALLING))
    return Answer(ServeConfig(host), events, (found, _config_rule(host.profile, snapshot)))


def _config_rule(profile: str, snapshot: Snapshot) -> str:
    known = snapshot.settings.profile(profile)
    return f"profile {profile} ({known.origin.at('ignition')})" if known else f"profile {profile}"


def _report(request: Report, snapshot: Snapshot) -> Answer:
    host = snapshot.by_ident.get(request.ident)
    if host is None:
        why = f"there is no host {request.ident!r}"
        return Answer(Refuse(Refusal.UNKNOWN, why), reasons=(why,))
    if request.source not in host.all_addresses:
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
