"""The requests in a capture, each decided by the engine, beside what another server had answered."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mayu_py.core.settings import Settings
from mayu_py.rehearsal import words
from mayu_py.rehearsal.engine import Engine
from mayu_py.rehearsal.streams import Streams
from mayu_py.rehearsal.words import Step
from mayu_py.wire import Malformed, dhcp4, pcap, tcp4, tftp, udp4
from mayu_py.wire.dhcp4 import Message, Op
from mayu_py.wire.pcap import Frame
from mayu_py.wire.udp4 import Datagram

_TFTP_PORT = 69
# What two servers cannot but say differently.
_OWN = frozenset({"server"})


@dataclass(frozen=True, slots=True)
class Contrast:
    """A part of an answer that the captured server gave otherwise; empty is not at all."""

    name: str
    captured: str
    ours: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """One request of the capture. `captured` is the other server's answer in words, if there is one in the capture.

    `at` is ns since the epoch.
    """

    frame: int
    at: int
    step: Step
    captured: str = ""
    captured_frame: int = 0
    contrasts: tuple[Contrast, ...] = ()

    def to_data(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return {
            "frame": self.frame,
            "at_ns": self.at,
            **self.step.to_data(),
            "captured": {"frame": self.captured_frame, "answer": self.captured} if self.captured else None,
            "differences": [{"name": each.name, "captured": each.captured, "ours": each.ours} for each in self.contrasts],
        }


@dataclass
class Replay:
    """Reads captures. `skipped` counts the frames that hold nothing to answer, by what they are."""

    engine: Engine
    interface: str
    frames: int = 0
    damage: str = ""
    skipped: dict[str, int] = field(default_factory=dict)
    _found: list[Replayed] = field(default_factory=list)
    _asked: dict[tuple[int, bytes], tuple[int, Message | None]] = field(default_factory=dict)
    _streams: Streams = field(default_factory=Streams)

    def read(self, capture: bytes) -> list[Replayed]:
        """Every request of a capture, in its order. Where it is damaged the reading ends, and `damage` says why. Never raises."""
        frames = pcap.frames(capture)
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                return self._found
            except Malformed as error:
                self.damage = error.reason
                return self._found
            self.frames += 1
            self._frame(frame)

    def _frame(self, frame: Frame) -> None:
        try:
            packet = pcap.ipv4(frame)
            if packet[9:10] == b"\x06":
                for request in self._streams.requests(tcp4.parse(packet)):
                    _, step = self.engine.http(request)
                    self._found.append(Replayed(frame.number, frame.at, step))
            else:
                self._datagram(frame, udp4.parse(packet))
        except Malformed as error:
            self.skipped[error.reason] = self.skipped.get(error.reason, 0) + 1

    def _datagram(self, frame: Frame, datagram: Datagram) -> None:
        match datagram.destination_port:
            case dhcp4.SERVER_PORT | dhcp4.BINL_PORT | dhcp4.CLIENT_PORT:
                self._dhcp(frame, datagram)
            case port if port == _TFTP_PORT and _is_read(datagram.payload):
                _, step = self.engine.tftp(datagram.payload, datagram.source)
                self._found.append(Replayed(frame.number, frame.at, step))
            case _:
                self.skipped["other-port"] = self.skipped.get("other-port", 0) + 1

    def _dhcp(self, frame: Frame, datagram: Datagram) -> None:
        message = dhcp4.parse(datagram.payload)
        message.type  # noqa: B018 - raises Malformed for BOOTP, which is nobody's request here
        key = (message.xid, message.chaddr)
        if message.op is Op.BOOTREPLY:
            if key in self._asked:
                self._contrast(frame, message, *self._asked.pop(key))
            return
        binl = datagram.destination_port == dhcp4.BINL_PORT
        sender = (str(datagram.source), datagram.source_port) if binl else None
        interface = _interface(self.engine.settings, datagram, self.interface)
        outcome, step = self.engine.dhcp(datagram.payload, interface, sender, datagram.source_port)
        ours = dhcp4.parse(outcome.reply.datagram) if outcome.reply is not None else None
        self._asked[key] = (len(self._found), ours)
        self._found.append(Replayed(frame.number, frame.at, step))

    def _contrast(self, frame: Frame, captured: Message, index: int, ours: Message | None) -> None:
        theirs, own = dict(_parts(captured)), dict(_parts(ours)) if ours is not None else {}
        if ours is None:
            contrasts: tuple[Contrast, ...] = ()
        else:
            names = dict.fromkeys((*own, *theirs))
            contrasts = tuple(
                Contrast(name, theirs.get(name, ""), own.get(name, "")) for name in names if theirs.get(name) != own.get(name)
            )
        what = f"DHCP{captured.type.name}"
        boot = ", ".join(f"{name} {value}" for name, value in theirs.items() if name in ("address", "boot file"))
        self._found[index] = replace(
            self._found[index], captured=f"{what}{f': {boot}' if boot else ''}", captured_frame=frame.number, contrasts=contrasts
        )


def _parts(message: Message) -> Iterator[tuple[str, str]]:
    """By name, without the options' numbers: where a server says a thing is no difference."""
    for name, value in words.told(message):
        if name not in _OWN:
            yield name, words.bare(value)


def _is_read(payload: bytes) -> bool:
    return isinstance(tftp.parse(payload), tftp.Request)


def _interface(settings: Settings, datagram: Datagram, default: str) -> str:
    """Where the datagram would have come in: on the interface of its sender's network, if it has an address already."""
    network = settings.network_of(datagram.source)
    return network.interface if network is not None and network.interface is not None else default
