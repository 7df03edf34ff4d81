"""The three services over one copy of the state, each answer told as a step."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address

from mayu_py.config import Config
from mayu_py.rehearsal import words
from mayu_py.rehearsal.desk import RehearsalDesk
from mayu_py.rehearsal.dhcp import DhcpOutcome, DhcpRehearsal
from mayu_py.rehearsal.http import HttpAnswer, HttpRehearsal, HttpRequest
from mayu_py.rehearsal.tftp import TftpOutcome, TftpRehearsal
from mayu_py.rehearsal.words import Step
from mayu_py.store import Store
from mayu_py.wire import dhcp4


@dataclass(frozen=True, slots=True)
class Told:
    """The reasons of the decisions of a step, and what they would write down."""

    reasons: tuple[str, ...]
    events: tuple[str, ...]


class Engine:
    """What machines would be answered by this config and this state. The state is a copy: it is changed as the boot goes on."""

    def __init__(self, config: Config, store: Store) -> None:
        self.settings = config.settings
        self._desk = RehearsalDesk(config.settings, store)
        self._dhcp = DhcpRehearsal(self._desk)
        self._tftp = TftpRehearsal(self._desk)
        self._http = HttpRehearsal(self._desk, config.renderer)
        self._renderer = config.renderer

    @property
    def desk(self) -> RehearsalDesk:
        """The desk that decides."""
        return self._desk

    def dhcp(
        self, datagram: bytes, interface: str, binl_sender: tuple[str, int] | None = None, source_port: int = dhcp4.SERVER_PORT
    ) -> tuple[DhcpOutcome, Step]:
        """Answer a datagram to port 67, or from `binl_sender` to port 4011."""
        known = set(self._desk.snapshot().hosts)
        outcome = self._dhcp.answer(datagram, interface, binl_sender, source_port)
        told = self._told()
        enrolled = tuple(f"{name} is enrolled" for name in self._desk.snapshot().hosts if name not in known)
        request = words.asked(outcome.request) if outcome.request else f"{len(datagram)} bytes to the DHCP server"
        if outcome.reply is None:
            why = f"nothing: {outcome.dropped}" if outcome.dropped else "nothing"
            return outcome, Step(request, why, (), told.reasons, (*enrolled, *told.events), answered=False)
        reply = dhcp4.parse(outcome.reply.datagram)
        size = len(outcome.reply.datagram)
        answer = f"DHCP{reply.type.name} {words.destination(outcome.reply.destination)}, {size} bytes"
        details = [*words.told(reply)]
        if outcome.reply.left_out:
            details.append(("left out", f"options {', '.join(map(str, outcome.reply.left_out))}, for want of room"))
        return outcome, Step(request, answer, tuple(details), told.reasons, (*enrolled, *told.events))

    def tftp(self, datagram: bytes, source: IPv4Address) -> tuple[TftpOutcome, Step]:
        """Answer a datagram to port 69."""
        outcome = self._tftp.answer(datagram, source)
        told = self._told()
        if outcome.request is None:
            return outcome, Step(f"{len(datagram)} bytes to the TFTP server", f"nothing: {outcome.dropped}", answered=False)
        options = " ".join(f"{name}={value}" for name, value in outcome.request.options.items())
        name = words.printable(outcome.request.filename)
        request = f"TFTP {outcome.request.opcode.name} {name}{f' ({options})' if options else ''} from {source}"
        if outcome.terms is None:
            assert outcome.error is not None
            refused = f"ERROR {int(outcome.error.code)}: {outcome.error.message}"
            return outcome, Step(request, refused, (), told.reasons, told.events, answered=False)
        granted = " ".join(f"{name}={value}" for name, value in outcome.terms.accepted.items())
        details = (("options", granted),) if granted else ()
        answer = f"{outcome.size:,} bytes in {outcome.blocks:,} blocks"
        return outcome, Step(request, answer, details, told.reasons, told.events)

    def http(self, request: HttpRequest) -> tuple[HttpAnswer, Step]:
        """Answer an HTTP request."""
        answer = self._http.answer(request)
        told = self._told()
        asked = (
            f"HTTP {request.method} {words.printable(request.target.encode('utf-8', 'surrogateescape'))} from {request.source}"
        )
        phrase = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        headline, good = f"{phrase}, {answer.size:,} bytes", answer.status < HTTPStatus.BAD_REQUEST
        return answer, Step(asked, headline, tuple(_content(answer)), told.reasons, told.events, answered=good)

    def _told(self) -> Told:
        decisions = self._desk.take()
        reasons = dict.fromkeys(words.reason(reason) for decision in decisions for reason in decision.answer.reasons)
        events = dict.fromkeys(words.event(event) for decision in decisions for event in decision.answer.events)
        return Told(tuple(reasons), tuple(events))


def _content(answer: HttpAnswer) -> Sequence[tuple[str, str]]:
    headers = dict(answer.headers)
    if answer.file is not None:
        return (("file", str(answer.file)),)
    if "json" in headers.get("content-type", "") and answer.status == HTTPStatus.OK:
        return _config(answer.body)
    text = answer.body.decode("utf-8", "replace").rstrip("\n")
    return tuple(("" if n else "text", line) for n, line in enumerate(text.splitlines()))


def _config(body: bytes) -> Sequence[tuple[str, str]]:
    """An Ignition config may hold secrets: it is told by what it is, not by what is in it."""
    version = json.loads(body).get("ignition", {}).get("version", "unknown")
    return (("Ignition spec", version), ("sha256", hashlib.sha256(body).hexdigest()))
