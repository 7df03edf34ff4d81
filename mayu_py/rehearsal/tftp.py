"""A TFTP read request to the first packet it is answered with, and how many follow."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from mayu_py.core.exchange import TftpRead
from mayu_py.rehearsal.desk import RehearsalDesk
from mayu_py.services.tftp_files import Library, Refused
from mayu_py.wire import Malformed
from mayu_py.wire.tftp import Error, ErrorCode, Opcode, OptionAck, Request, Terms, count_blocks, negotiate, parse


@dataclass(frozen=True, slots=True)
class TftpOutcome:
    """What became of a request: the file's size in bytes and its terms, or an ERROR; `dropped` if it gets no answer."""

    request: Request | None
    size: int = 0
    terms: Terms | None = None
    error: Error | None = None
    dropped: str = ""

    @property
    def packet(self) -> bytes:
        """The first packet, if it is not the file's own contents: OACK or ERROR; empty otherwise."""
        if self.error is not None:
            return self.error.pack()
        return OptionAck(self.terms.accepted).pack() if self.terms is not None and self.terms.accepted else b""

    @property
    def blocks(self) -> int:
        """How many DATA packets the file takes."""
        return count_blocks(self.size, self.terms.block_size) if self.terms is not None else 0


class TftpRehearsal:
    """Answers datagrams over a desk."""

    def __init__(self, desk: RehearsalDesk) -> None:
        self._desk = desk
        self._library = Library(desk.settings.tftp.root)

    def answer(self, datagram: bytes, source: IPv4Address) -> TftpOutcome:
        """What a datagram to port 69 is answered. Never raises."""
        try:
            request = parse(datagram)
        except Malformed as error:
            return TftpOutcome(None, dropped=error.reason)
        if not isinstance(request, Request):
            return TftpOutcome(None, dropped="unexpected")
        if request.opcode is Opcode.WRQ:
            return TftpOutcome(request, error=Error(ErrorCode.ACCESS_VIOLATION, "this server only reads"))
        try:
            content = self._library.acquire(request.filename, request.mode)
        except Refused as refused:
            return TftpOutcome(request, error=Error(refused.code, refused.message))
        size = content.size
        self._library.release(content)
        self._desk.answer(TftpRead(source, request.filename.decode(errors="replace")))
        return TftpOutcome(request, size, negotiate(request.options, size))
