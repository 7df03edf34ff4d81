"""One TFTP transfer: two sockets, a file and the state machine that says what to send."""

import contextlib
import errno
import logging
import select
import socket
from typing import Final

from mayu_py.services.tftp_files import Content, FileChanged, Library, blocks_per_chunk
from mayu_py.services.tftp_recorder import Counter, Ending, Peer, Recorder
from mayu_py.wire import Malformed
from mayu_py.wire.tftp import HEADER_SIZE, Ack, Error, ErrorCode, OptionAck, Request, Terms, parse
from mayu_py.wire.tftp_sender import Action, Sender, Signal

log = logging.getLogger(__name__)

SEND_BUFFER: Final = 1 << 20
UDP_SEGMENT: Final = 103  # linux/udp.h; the socket module of Python 3.11 does not name it
MAX_SEGMENTS: Final = 64
MAX_PAYLOAD: Final = 65507
# What the kernel says when it cannot segment: no checksum offload, blocks larger than the path's MTU, no UDP_SEGMENT.
_NO_SEGMENTATION: Final = (errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT)


class Transfer:
    """Sends one file to one peer.

    The owner calls `on_ready`, `on_stranger` and `on_deadline`, and then looks at `ending`, at `unsent` (blocks that
    wait for room in the socket's buffer) and at `deadline`. `alarm` is the owner's: the time its timer is set to.

    The socket is connected: the kernel then compares the peer's TID, keeps the route, and tells us when the peer has
    closed its port. A second socket on the same port, the doorman, gets what strangers send there (RFC 1350 section 4).
    """

    def __init__(
        self,
        peer: Peer,
        local: str,
        request: Request,
        terms: Terms,
        content: Content,
        library: Library,
        recorder: Recorder,
    ) -> None:
        self.peer = peer
        self.request = request
        self.file = request.filename.decode(errors="replace")
        self.content = content
        self.ending: Ending | None = None
        self.detail = ""
        self.started = False
        self.deadline = 0.0
        self.alarm = 0.0
        self.unsent: tuple[int, int] | None = None
        self._began = 0.0
        self._library = library
        self._recorder = recorder
        self._terms = terms
        self._sender = Sender(content.size, terms)
        self._patience = self._sender.interval
        self._stride = terms.block_size + HEADER_SIZE
        self._batch = 1
        self._frames = memoryview(b"")
        self._frames_from = self._frames_to = 0
        self.socket, self.doorman = _connected_pair(local, peer)
        self._enable_segmentation()

    @property
    def untouched(self) -> bool:
        """Whether the peer has not said anything since its request."""
        return self._sender.awaiting_oack or self._sender.progress == 0

    @property
    def stale(self) -> bool:
        """Whether the peer leaves us waiting: it may have been switched off."""
        return self._sender.unanswered

    def start(self, now: float) -> None:
        """Sends the first packets."""
        self._began = now
        self._perform(self._sender.start(), now)

    def on_ready(self, events: int, now: float) -> None:
        """The socket is readable, has room again, or reports an error."""
        if self.unsent is not None and events & select.EPOLLOUT:
            self._send_blocks(*self.unsent)
        if not events & ~select.EPOLLOUT:
            return
        try:
            datagram = self.socket.recv(2048)
        except BlockingIOError:
            return
        except OSError as error:
            self._on_socket_error(error)
            return
        # Acknowledgements are nearly all there is: they skip the parser.
        if len(datagram) == HEADER_SIZE and datagram[:2] == b"\0\4":
            action = self._sender.ack(datagram[2] << 8 | datagram[3])
            self._perform(action, now)
        else:
            self._on_other(datagram, now)

    def on_stranger(self) -> None:
        """Somebody who is not the peer has sent something to our port."""
        try:
            datagram, stranger = self.doorman.recvfrom(2048)
        except OSError:
            return
        if stranger == self.peer:
            # Came between bind and connect; the peer could not know the port yet, so it guesses.
            self._recorder.count(Counter.IGNORED, "early")
        elif datagram[:2] == b"\0\5":
            self._recorder.count(Counter.IGNORED, "stranger-error")  # Errors are never answered by errors.
        else:
            self._recorder.count(Counter.REFUSED, "stranger")
            with contextlib.suppress(OSError):
                self.doorman.sendto(Error(ErrorCode.UNKNOWN_TID, "unknown transfer ID").pack(), stranger)

    def on_deadline(self, now: float) -> None:
        """No ACK has come in time."""
        action = self._sender.timeout()
        if action is not Signal.GIVE_UP:
            self._recorder.count(Counter.RESENT, "timeout")
        self._perform(action, now)
        self.deadline = now + self._sender.interval

    def end(self, ending: Ending, detail: str = "") -> None:
        """Marks the transfer as over. The first reason stays."""
        if self.ending is None:
            self.ending = ending
            self.detail = detail

    def report(self, now: float) -> None:
        """Tells the recorder how it ended."""
        assert self.ending is not None
        log.debug("tftp: %s to %s:%d: %s %s", self.file, *self.peer, self.ending, self.detail)
        if self.ending is Ending.FINISHED:
            self._recorder.finished(self.peer, self.file, self.content.size, now - self._began)
        elif self.started:
            why = f"{self.ending}: {self.detail}" if self.detail else str(self.ending)
            self._recorder.aborted(self.peer, self.file, why)
        else:
            self._recorder.count(Counter.UNSTARTED, self.ending)

    def say(self, code: ErrorCode, message: str) -> None:
        """Tells the peer why nothing more will come. Nobody waits for an answer to that."""
        with contextlib.suppress(OSError):
            self.socket.send(Error(code, message).pack())

    def close(self) -> None:
        """Frees the port and the file."""
        self.socket.close()
        self.doorman.close()
        self._library.release(self.content)

    def _on_other(self, datagram: bytes, now: float) -> None:
        try:
            packet = parse(datagram)
        except Malformed as malformed:
            self._recorder.count(Counter.IGNORED, malformed.reason)
            return
        match packet:
            case Ack(block):  # with bytes behind it
                self._perform(self._sender.ack(block), now)
            case Error(code, message):
                # Firmware asks for the size, says "aborted" and comes back for the file.
                asked_only = self._sender.awaiting_oack and code in (ErrorCode.UNDEFINED, ErrorCode.OPTION_REFUSED)
                self.end(Ending.PROBE if asked_only else Ending.PEER_ERROR, f"{code} {message!r:.100}")
            case _:
                self._recorder.count(Counter.IGNORED, "unexpected")

    def _perform(self, action: Action, now: float) -> None:
        if isinstance(action, tuple):
            if not self.started:
                self.started = True
                self._recorder.started(self.peer, self.file)
            self.deadline = now + (self._sender.interval if self._sender.in_doubt else self._patience)
            self._send_blocks(action[0], action[1])
        elif action is Signal.IGNORE:
            self._recorder.count(Counter.IGNORED, "repeated-ack")
            self.deadline = min(self.deadline, now + self._sender.interval)
        elif action is Signal.SEND_OACK:
            self.deadline = now + self._patience
            self._send(OptionAck(self._terms.accepted).pack())
        elif action is Signal.DONE:
            self.end(Ending.FINISHED)
        elif action is Signal.GIVE_UP:
            self.end(Ending.TIMEOUT)

    def _send_blocks(self, first: int, last: int) -> None:
        self.unsent = None
        stride = self._stride
        while first <= last:
            if not self._frames_from <= first < self._frames_to and not self._load(first):
                return
            stop = last + 1 if self._batch > last - first else first + self._batch
            if stop > self._frames_to:
                stop = self._frames_to
            at = (first - self._frames_from) * stride
            try:
                self.socket.send(self._frames[at : at + (stop - first) * stride])
            except BlockingIOError:
                self.unsent = (first, last)
                return
            except OSError as error:
                if self._batch > 1 and error.errno in _NO_SEGMENTATION:
                    self._disable_segmentation()
                    continue
                self._on_socket_error(error)
                return
            first = stop

    def _send(self, datagram: bytes) -> None:
        try:
            self.socket.send(datagram)
        except BlockingIOError:
            return  # as good as lost: the timer sends it again
        except OSError as error:
            self._on_socket_error(error)

    def _load(self, block: int) -> bool:
        """Makes the frames around a block the current ones; ends the transfer if they cannot be read."""
        blocks = blocks_per_chunk(self._terms.block_size)
        chunk = (block - 1) // blocks
        try:
            self._frames = memoryview(self._library.frames(self.content, self._terms.block_size, chunk))
        except FileChanged:
            self.say(ErrorCode.UNDEFINED, "the file has changed")
            self.end(Ending.FILE_CHANGED)
            return False
        except OSError as error:
            self.say(ErrorCode.UNDEFINED, "the file cannot be read")
            self.end(Ending.READ_ERROR, str(error))
            return False
        self._frames_from = chunk * blocks + 1
        self._frames_to = self._frames_from + blocks
        return True

    def _on_socket_error(self, error: OSError) -> None:
        if error.errno == errno.ECONNREFUSED:
            self.end(Ending.UNREACHABLE, "the peer has closed its port")
        else:
            # No route, no neighbour, a firewall: may pass, and if not the timer gives up.
            log.debug("tftp to %s:%d: %s", *self.peer, error)

    def _enable_segmentation(self) -> None:
        """Whole batches of blocks in one system call; the kernel or the card cuts them apart (UDP GSO)."""
        batch = min(self._terms.window, MAX_SEGMENTS, MAX_PAYLOAD // self._stride)
        if batch > 1:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, self._stride)
                self._batch = batch

    def _disable_segmentation(self) -> None:
        self._batch = 1
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)


def _connected_pair(local: str, peer: Peer) -> tuple[socket.socket, socket.socket]:
    """A socket on a free port of `local`, connected to `peer`, and one on the same port for everybody else."""
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with contextlib.ExitStack() as undo:
        connected = undo.enter_context(socket.socket(socket.AF_INET, kind))
        doorman = undo.enter_context(socket.socket(socket.AF_INET, kind))
        connected.bind((local, 0))
        # Sharing is allowed for just as long as it takes to share, so that no other program can join in later.
        for one in (connected, doorman):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        doorman.bind((local, connected.getsockname()[1]))
        for one in (connected, doorman):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        connected.connect(peer)
        undo.pop_all()
    return connected, doorman
