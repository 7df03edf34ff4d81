"""What a DHCP client is answered: the part of `boot.decide` for DHCP (RFC 2131, section 4.3; PXE 2.1)."""

from ipaddress import IPv4Address
from typing import NamedTuple, TypeAlias, assert_never
from urllib.parse import quote

from mayu_py.core import firmware
from mayu_py.core.exchange import UNSET, Answer, Conflict, DhcpKind, DhcpRequest, Enrol, Event, Learned, Lease, Nak, Reached
from mayu_py.core.hosts import Host, Stage
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.core.settings import Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot

Reasons: TypeAlias = tuple[str, ...]

_ENROLLING = frozenset({DhcpKind.DISCOVER, DhcpKind.REQUEST})


class Place(NamedTuple):
    """Where a host is: its network and its address there."""

    network: Network
    host: Host
    address: IPv4Address


def decide_dhcp(request: DhcpRequest, snapshot: Snapshot) -> Answer:
    """What to answer to a client's DHCP message. Pure and total."""
    settings = snapshot.settings
    network, came = _network(request, settings)
    if network is None or network.dhcp is DhcpMode.OFF:
        return Answer(None, reasons=(came,) if network is None else (came, f"dhcp: off ({network.origin.at('dhcp')})"))
    if request.identity.mac in settings.ignored_hosts:
        return Answer(None, reasons=(came, f"ignored_hosts names {request.identity.mac} ({settings.origin.at('ignored_hosts')})"))
    if network.dhcp is DhcpMode.PROXY:
        return _proxied(request, network, snapshot, came)
    if request.server_id not in (None, settings.address(network), request.override):
        return Answer(None, reasons=(came, f"the client chose another server, {request.server_id}"))
    host, found = snapshot.find(request.identity)
    if host is None:
        return _unknown(request, network, settings, (came, found))
    address = network.address_of(host)
    if address is None:
        return _astray(request, network, host, (came, found))
    return _known(request, settings, Place(network, host, address), (came, found))


def _network(request: DhcpRequest, settings: Settings) -> tuple[Network | None, str]:
    """The network that a packet comes from: what the relay says, else the interface it came in on (RFC 2131, 4.3.1)."""
    if request.binl and (network := settings.network_of(request.ciaddr)) is not None:
        return network, f"{request.ciaddr} is in network {network.name}"
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
            return _decline(request, place, reasons)
        case _:
            assert_never(request.kind)


def _unknown(request: DhcpRequest, network: Network, settings: Settings, reasons: Reasons) -> Answer:
    rule = f"unknown_hosts: {settings.unknown_hosts} ({settings.origin.at('unknown_hosts')})"
    if settings.unknown_hosts is UnknownHosts.IGNORE or network.extra:
        why = (f"network {network.name} is extra: nobody enrols there",) if network.extra else ()
        return Answer(None, reasons=(*reasons, rule, *why))
    if request.kind not in _ENROLLING:
        return Answer(None, reasons=(*reasons, f"DHCP{request.kind.name} asks for no address: it enrols nobody"))
    return Answer(Enrol(request.identity, network), reasons=(*reasons, rule))


def _astray(request: DhcpRequest, network: Network, host: Host, reasons: Reasons) -> Answer:
    """A known host in a network where it has no address. It learns so at once if it claims to have one."""
    why = f"{host.name} has no address in network {network.name}; it has {host.address or 'none yet'}"
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


def _decline(request: DhcpRequest, place: Place, reasons: Reasons) -> Answer:
    """DHCPDECLINE (RFC 2131, section 4.3.3). Who declines what it was never given says nothing about its own address."""
    if request.requested != place.address:
        return Answer(None, reasons=(*reasons, f"DHCPDECLINE of {request.requested}, which is not {place.host.name}'s address"))
    keeps = place.host.is_configured
    then = f"it stays {place.host.name}'s, as {place.host.origin} says" if keeps else f"{place.host.name} gets another"
    conflict = Conflict(place.host, place.network, place.address)
    return Answer(conflict, reasons=(*reasons, f"DHCPDECLINE: somebody else uses {place.address}; {then}"))


def _lease(request: DhcpRequest, settings: Settings, place: Place, reasons: Reasons, *, ack: bool) -> Answer:
    network, host, address = place
    netboot = request.netboot and not network.extra
    boot_file, rule = _boot_file(request, settings, network)
    lease = Lease(host, network, ack, address, boot_file, ipxe=request.ipxe, netboot=netboot, http=request.http)
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
    chosen = firmware.choose(request.arch, settings.boot)
    if chosen.key is None or chosen.file is None:
        missing = f": `boot` names no {chosen.key} ({settings.boot.origin.mark})" if chosen.key else ""
        return None, f"option 93 is {request.arch}, for which there is no boot file{missing}"
    rule = f"option 93 is {request.arch}: boot.{chosen.key} ({settings.boot.origin.at(chosen.key)})"
    return f"{settings.url(network)}/boot/{quote(chosen.file)}" if request.http else chosen.file, rule


def _proxied(request: DhcpRequest, network: Network, snapshot: Snapshot, came: str) -> Answer:
    """Beside another server that owns the addresses: boot files for who boots, and silence for everybody else."""
    reasons: Reasons = (came, f"dhcp: proxy ({network.origin.at('dhcp')})")
    if not request.netboot:
        return Answer(None, reasons=(*reasons, "the client does not boot from the network"))
    host, found = snapshot.find(request.identity)
    if host is None:
        return _unknown(request, network, snapshot.settings, (*reasons, found))
    boot_file, rule = _boot_file(request, snapshot.settings, network)
    reasons = (*reasons, found, rule)
    lease = Lease(host, network, request.binl, None, boot_file, ipxe=request.ipxe, netboot=True, http=request.http)
    if request.binl:
        if request.kind not in (DhcpKind.REQUEST, DhcpKind.INFORM):
            return Answer(None, reasons=(*reasons, f"DHCP{request.kind.name} is nothing to ask port 4011"))
        return Answer(lease if boot_file else None, learned_address(host, request.ciaddr, snapshot), reasons)
    match request.kind:
        case DhcpKind.DISCOVER:
            return Answer(lease if boot_file else None, reasons=reasons)
        case DhcpKind.REQUEST if request.ciaddr == UNSET and request.requested is not None:
            # It goes to the owner of the addresses, for everybody to hear: the machine is about to have this one.
            reached = Reached(host, Stage.DHCP, from_ipxe=request.ipxe)
            address = learned_address(host, request.requested, snapshot)
            return Answer(None, (*address, reached), (*reasons, f"the client takes {request.requested} of {request.server_id}"))
        case _:
            return Answer(None, reasons=(*reasons, f"DHCP{request.kind.name} is the other server's affair"))


def learned_address(host: Host, source: IPv4Address | None, snapshot: Snapshot) -> tuple[Event, ...]:
    """That a host is at `source`: news if another server gives it its address, in a network where that is so."""
    if not host.proxied or source is None or source == host.address:
        return ()
    network = snapshot.settings.network_of(source)
    if network is None or network.dhcp is not DhcpMode.PROXY:
        return ()
    return (Learned(host, address=source),)
