"""A whole boot, request by request: what a machine asks depends on what it was answered, as on the wire."""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from ipaddress import IPv4Address
from urllib.parse import quote, urlsplit

from mayu_py.core.networks import DhcpMode, Network
from mayu_py.rehearsal import clients
from mayu_py.rehearsal.clients import Machine, Place
from mayu_py.rehearsal.engine import Engine
from mayu_py.rehearsal.http import HttpAnswer, HttpRequest
from mayu_py.rehearsal.words import Step
from mayu_py.wire import dhcp4
from mayu_py.wire.dhcp4 import Message, MessageType, Option

# A ROM's iPXE is named by the card that it drives; any name but that of our own builds says so.
_ROM_DRIVER = "virtio-net"
_URL = re.compile(r"https?://[^\s|]+")
_CONFIG_URL = re.compile(r"\bignition\.config\.url=(\S+)")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a DHCP exchange has given the machine."""

    address: IPv4Address
    boot_file: str


class Ending(StrEnum):
    """How a boot ends."""

    STOPPED = "the boot stops here"
    DISK = "it boots from its disk"
    CONFIGURED = "it has its config"
    RUNNING = "it runs"


class Walk:
    """One boot of one machine. `steps` may be read once; after that, `ending` says how it went."""

    def __init__(self, engine: Engine, machine: Machine, place: Place, network: Network | None) -> None:
        self._engine = engine
        self._machine = machine
        self._place = place
        self._network = network
        self.ending = Ending.STOPPED

    def steps(self) -> Iterator[Step]:
        """Every request and its answer, until the machine runs, or is answered nothing that it could go on with."""
        rom = self._machine.rom_ipxe
        loaded = yield from self._lease(ipxe=rom)
        if loaded is not None and not rom:
            loaded = yield from self._first_stage(loaded)
        if loaded is None:
            return
        script = yield from self._script(loaded, _ROM_DRIVER if rom else self._machine.driver)
        if rom and script is not None and (chained := re.search(r"^chain --autofree tftp://[^/]+/(\S+)", script, re.MULTILINE)):
            loaded = yield from self._first_stage(replace(loaded, boot_file=chained[1]), ipxe=True)
            script = (yield from self._script(loaded, self._machine.driver)) if loaded is not None else None
        if loaded is not None and script is not None:
            yield from self._system(loaded.address, script)

    def _lease(self, *, ipxe: bool) -> Generator[Step, None, _Loaded | None]:
        discover = self._message(MessageType.DISCOVER, ipxe=ipxe)
        offer = yield from self._dhcp(discover)
        if offer is None:
            return None
        if self._network is not None and self._network.dhcp is DhcpMode.PROXY:
            return (yield from self._beside(offer, ipxe=ipxe))
        server = IPv4Address(offer.options[Option.SERVER_IDENTIFIER])
        request = self._message(MessageType.REQUEST, ipxe=ipxe, requested_address=offer.yiaddr, server_identifier=server)
        return _loaded((yield from self._dhcp(request)))

    def _beside(self, offer: Message, *, ipxe: bool) -> Generator[Step, None, _Loaded | None]:
        """The address is another server's: the one it gave last, else the first of its subnet stands for it."""
        assert self._network is not None
        host = self._engine.desk.snapshot().by_mac.get(self._machine.mac)
        address = host.address if host is not None and host.address is not None else next(self._network.subnet.hosts())
        owner = self._network.owner or self._network.gateway or address
        request = self._message(MessageType.REQUEST, ipxe=ipxe, requested_address=address, server_identifier=owner)
        yield from self._dhcp(request)
        if ipxe or self._machine.loads_by_http:
            return _loaded(replace(offer, yiaddr=address))
        binl = self._message(MessageType.REQUEST, ipxe=ipxe, ciaddr=address)
        acknowledged = yield from self._dhcp(binl, binl_sender=(str(address), dhcp4.CLIENT_PORT))
        return _loaded(replace(acknowledged or offer, yiaddr=address))

    def _first_stage(self, loaded: _Loaded, *, ipxe: bool = False) -> Generator[Step, None, _Loaded | None]:
        """The boot file, and the DHCP exchange of the iPXE in it."""
        if loaded.boot_file.startswith("http"):
            answer = yield from self._get(loaded.boot_file, loaded.address)
            found = answer.status == HTTPStatus.OK
        else:
            request = clients.read_request(self._machine, loaded.boot_file, ipxe=ipxe)
            outcome, step = self._engine.tftp(request.pack(), loaded.address)
            yield step
            found = outcome.terms is not None
        return (yield from self._lease(ipxe=True)) if found else None

    def _script(self, loaded: _Loaded, driver: str) -> Generator[Step, None, str | None]:
        entry = yield from self._get(loaded.boot_file, loaded.address)
        chain = re.search(r"^chain --replace ([^?\s]+)\?", entry.body.decode("utf-8", "replace"), re.MULTILINE)
        if chain is None:
            return None
        machine = self._machine
        told = {"serial": machine.serial or "", "uuid": machine.uuid or "", "mac": machine.mac, "chip": driver}
        query = "&".join(f"{name}={quote(value, safe=':')}" for name, value in {**told, "platform": machine.platform}.items())
        script = yield from self._get(f"{chain[1]}?{query}", loaded.address)
        return script.body.decode("utf-8", "replace") if script.status == HTTPStatus.OK else None

    def _system(self, address: IPv4Address, script: str) -> Iterator[Step]:
        """Kernel, initrd and whatever else of ours the script names; the config; the machine's own reports."""
        config = _CONFIG_URL.search(script)
        for url in dict.fromkeys(found.partition("=")[2] or found for found in _words(script) if _URL.search(found)):
            if config is None or url != config[1]:
                yield from self._get(url, address)
        if config is None:
            self.ending = Ending.DISK if "sanboot" in script else Ending.STOPPED
            return
        answer = yield from self._get(config[1], address)
        host = self._engine.desk.snapshot().by_address.get(address)
        if answer.status != HTTPStatus.OK or host is None:
            return
        self.ending = Ending.CONFIGURED
        for report in ("stage/switch-root", "boot_complete"):
            taken, step = self._engine.http(HttpRequest("PUT", f"/host/{quote(host.ident, safe='')}/{report}", address))
            yield step
        if taken.status == HTTPStatus.ACCEPTED:
            self.ending = Ending.RUNNING

    def _dhcp(self, message: Message, binl_sender: tuple[str, int] | None = None) -> Generator[Step, None, Message | None]:
        outcome, step = self._engine.dhcp(dhcp4.build(message), self._place.interface, binl_sender)
        yield step
        return dhcp4.parse(outcome.reply.datagram) if outcome.reply is not None else None

    def _get(self, url: str, source: IPv4Address) -> Generator[Step, None, HttpAnswer]:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        answer, step = self._engine.http(HttpRequest("GET", target, source))
        yield step
        return answer

    def _message(self, kind: MessageType, *, ipxe: bool, **fields: IPv4Address) -> Message:
        return clients.dhcp(self._machine, self._place, kind, ipxe=ipxe, **fields)


def _loaded(reply: Message | None) -> _Loaded | None:
    if reply is None or reply.type is MessageType.NAK:
        return None
    boot_file = reply.options.get(Option.BOOTFILE_NAME, reply.file).decode("utf-8", "replace")
    return _Loaded(reply.yiaddr, boot_file) if boot_file else None


def _words(script: str) -> Iterator[str]:
    for line in script.splitlines():
        if line.startswith(("kernel ", "initrd ")):
            yield from (word for word in line.split() if "://" in word)
