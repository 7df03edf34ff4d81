"""The TFTP server: reads only, one process, one thread, one epoll set.

A request at the listener becomes a `Transfer` with its own sockets; what is decided lies in `mayu_py.wire`. Malformed
datagrams get no answer, so that the server is no use as a reflector. Nothing that a peer sends or does not send can
hold up another: every wake-up handles one datagram per transfer, and waiting is done by a heap of deadlines.
"""

import contextlib
import errno
import heapq
import itertools
import logging
import os
import resource
import select
import socket
import time
from collections import Counter as Tally
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from mayu_py.services.datagrams import Overflows, told_by_kernel
from mayu_py.services.tftp_files import Library, Refused
from mayu_py.services.tftp_listener import Dropped, destination, listen, made_ready
from mayu_py.services.tftp_recorder import Counter, Ending, Peer, Recorder
from mayu_py.services.tftp_transfer import Transfer
from mayu_py.wire import Malformed
from mayu_py.wire.tftp import DEFAULT_LIMITS, Error, ErrorCode, Limits, Opcode, Request, negotiate, parse

__all__ = ["Counter", "Ending", "Recorder", "TftpServer", "listen"]

log = logging.getLogger(__name__)

LARGEST_REQUEST: Final = 1024
"""Bytes. RFC 2347 allows 512; a longer datagram is no request."""

REQUESTS_PER_WAKE: Final = 64

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

FINISH: Final = b"d"
"""What the supervisor writes to a worker that another has replaced."""

_TIMERS: Final = -1
"""Stands for a file descriptor: the timers are handled like one that is always ready."""

Handler = Callable[[int, float], None]


class TftpServer:
    """Serves the regular files beneath `root` to whoever asks at `listener`, a bound UDP socket (see `listen`).

    Beyond `max_sessions` transfers at once, or `max_per_client` for one address, requests are dropped: clients repeat them, and
    an ERROR would end a boot. But first a client's own stale transfers give way: it was switched off and on again.
    """

    def __init__(
        self,
        listener: socket.socket,
        root: Path,
        *,
        recorder: Recorder,
        max_sessions: int = 2048,
        max_per_client: int = 16,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = listener
        self._library = Library(root)
        self._recorder = recorder
        self._max_sessions = max_sessions
        self._max_per_client = max_per_client
        self._per_client: Tally[str] = Tally()
        self._limits = limits
        self._clock = clock
        self._handlers: dict[int, Handler] = {_TIMERS: self._on_timers}
        self._transfers: dict[Peer, Transfer] = {}
        self._deadlines: list[tuple[float, int, Transfer]] = []
        self._ticket = itertools.count()
        self._current: Transfer | None = None
        self._overflows = Overflows()
        made_ready(listener)

    def serve(self, stop_fd: int) -> None:
        """Serves until `stop_fd` is readable. The listener stays open.

        `FINISH` on `stop_fd` lets the transfers that run be finished; anything else, and the pipe's end, aborts them.
        """
        _allow_descriptors(3 * self._max_sessions + 64)
        self._stopping = self._draining = False
        with select.epoll() as self._epoll:
            self._watch(stop_fd, partial(self._on_stop, stop_fd))
            self._watch(self._listener.fileno(), self._on_requests)
            try:
                while not self._stopping and (self._transfers or not self._draining):
                    self._turn()
            finally:
                for transfer in list(self._transfers.values()):
                    transfer.say(ErrorCode.UNDEFINED, "the server is stopping")
                    self._end(transfer, Ending.STOPPED)

    def _watch(self, descriptor: int, handler: Handler) -> None:
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, select.EPOLLIN)

    def _on_stop(self, stop_fd: int, events: int, now: float) -> None:
        if os.read(stop_fd, 1) != FINISH:
            self._stopping = True
        elif not self._draining:
            self._draining = True
            # A successor takes the requests from here on.
            self._epoll.unregister(self._listener.fileno())
            del self._handlers[self._listener.fileno()]

    def _turn(self) -> None:
        """Waits once, then handles whatever is ready or due."""
        pause = max(0.0, self._deadlines[0][0] - self._clock()) if self._deadlines else None
        ready = self._epoll.poll(pause)
        ready.append((_TIMERS, 0))
        now = self._clock()
        for descriptor, events in ready:
            # A handler may have closed this one; a new owner of the same number finds nothing to read, and waits.
            handler = self._handlers.get(descriptor)
            if handler is None:
                continue
            try:
                handler(events, now)
            except Exception:  # noqa: BLE001 - the one guard: a bug must not stop the rack's boot
                self._on_bug()

    def _on_bug(self) -> None:
        """The packet at hand has found a bug: it is reported, and costs nobody but its sender."""
        log.exception("tftp: a packet could not be handled")
        self._recorder.count(Counter.DROPPED, "internal")
        if self._current is not None and self._transfers.get(self._current.peer) is self._current:
            self._end(self._current, Ending.INTERNAL)

    def _on_requests(self, events: int, now: float) -> None:
        for _ in range(REQUESTS_PER_WAKE):
            self._current = None
            try:
                datagram, ancillary, flags, peer = self._listener.recvmsg(LARGEST_REQUEST, 128)
            except BlockingIOError:
                return
            if lost := self._overflows.new(told_by_kernel(ancillary)[1]):
                self._recorder.count(Counter.DROPPED, "queue-full", lost)
            try:
                if flags & socket.MSG_TRUNC:
                    raise Dropped("oversize")
                self._on_datagram(datagram, peer, destination(ancillary), now)
            except (Malformed, Dropped) as dropped:
                self._recorder.count(Counter.DROPPED, dropped.reason)

    def _on_datagram(self, datagram: bytes, peer: Peer, local: str, now: float) -> None:
        request = parse(datagram)
        if not isinstance(request, Request):
            raise Dropped("unexpected")
        if peer[1] == 0:
            raise Dropped("port")
        try:
            if request.opcode is Opcode.WRQ:
                raise Refused(ErrorCode.ACCESS_VIOLATION, "write", "this server only reads")
            self._on_read(request, peer, local, now)
        except Refused as refused:
            log.info("tftp: refused %r to %s:%d: %s", request.filename, *peer, refused.message)
            self._recorder.count(Counter.REFUSED, refused.reason)
            _refuse(local, peer, refused)

    def _on_read(self, request: Request, peer: Peer, local: str, now: float) -> None:
        running = self._transfers.get(peer)
        if running is not None:
            # Sent again before our answer arrived, which has a timer of its own. By now the client may have got it and gone on.
            again = running.untouched and running.request == request
            self._catch_up([running], now)
            if running.ending is None:
                if again:
                    raise Dropped("duplicate")
                self._end(running, Ending.SUPERSEDED)
        if self._per_client[peer[0]] >= self._max_per_client:
            self._catch_up([transfer for other, transfer in self._transfers.items() if other[0] == peer[0]], now)
        if self._per_client[peer[0]] >= self._max_per_client:
            self._end_stale(peer[0])
        if len(self._transfers) >= self._max_sessions:
            raise Dropped("busy")
        transfer = self._current = self._transfers[peer] = self._new_transfer(request, peer, local)
        self._per_client[peer[0]] += 1
        self._watch(transfer.socket.fileno(), partial(self._on_transfer, transfer))
        self._watch(transfer.doorman.fileno(), partial(self._on_stranger, transfer))
        transfer.start(now)
        self._set_alarm(transfer)
        self._settle(transfer, 0)

    def _catch_up(self, transfers: list[Transfer], now: float) -> None:
        """Have transfers read what has come for them, so that none is held against its client that it has finished with."""
        for transfer in transfers:
            self._on_transfer(transfer, select.EPOLLIN, now)

    def _end_stale(self, address: str) -> None:
        """End a client's transfers that leave us waiting. Raises Dropped when all of them go on."""
        stale = [transfer for peer, transfer in self._transfers.items() if peer[0] == address and transfer.stale]
        for transfer in stale:
            self._end(transfer, Ending.STALE)
        if not stale:
            raise Dropped("client-busy")

    def _new_transfer(self, request: Request, peer: Peer, local: str) -> Transfer:
        content = self._library.acquire(request.filename, request.mode)
        try:
            terms = negotiate(request.options, content.size, self._limits)
            return Transfer(peer, local, request, terms, content, self._library, self._recorder)
        except OSError as error:
            self._library.release(content)
            log.warning("tftp: no transfer to %s:%d: %s", *peer, error)
            raise Dropped("resources" if error.errno in _EXHAUSTED else "unroutable") from error

    def _on_transfer(self, transfer: Transfer, events: int, now: float) -> None:
        """The hot path: nearly every packet of a boot comes through here."""
        self._current = transfer
        transfer.on_ready(events, now)
        self._settle(transfer, events)

    def _on_stranger(self, transfer: Transfer, events: int, now: float) -> None:
        self._current = transfer
        transfer.on_stranger()

    def _on_timers(self, events: int, now: float) -> None:
        """An alarm stays as it is when its deadline is put off, as every packet does; the deadline is checked here."""
        while self._deadlines and self._deadlines[0][0] <= now:
            due, _, transfer = heapq.heappop(self._deadlines)
            if transfer.ending is not None or due != transfer.alarm:
                continue
            self._current = transfer
            if transfer.deadline <= due:
                transfer.on_deadline(now)
            self._set_alarm(transfer)
            self._settle(transfer, 0)

    def _set_alarm(self, transfer: Transfer) -> None:
        transfer.alarm = transfer.deadline
        heapq.heappush(self._deadlines, (transfer.deadline, next(self._ticket), transfer))

    def _settle(self, transfer: Transfer, events: int) -> None:
        """After a transfer has done something: is it over, must it wait for room to send, is its alarm too late?"""
        if transfer.ending is not None:
            self._end(transfer, transfer.ending)
        elif transfer.unsent is not None or events & select.EPOLLOUT:
            wanted = select.EPOLLIN if transfer.unsent is None else select.EPOLLIN | select.EPOLLOUT
            self._epoll.modify(transfer.socket.fileno(), wanted)
        if transfer.deadline < transfer.alarm:
            self._set_alarm(transfer)

    def _end(self, transfer: Transfer, ending: Ending) -> None:
        transfer.end(ending)
        del self._transfers[transfer.peer]
        self._per_client[transfer.peer[0]] -= 1
        if not self._per_client[transfer.peer[0]]:
            del self._per_client[transfer.peer[0]]
        for one in (transfer.socket, transfer.doorman):
            self._handlers.pop(one.fileno(), None)
        transfer.close()
        transfer.report(self._clock())


def _refuse(local: str, peer: Peer, refused: Refused) -> None:
    """An ERROR from a port of its own: the client may already take the listener's port for the server's TID."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as reply:
        reply.bind((local, 0))
        reply.sendto(Error(refused.code, refused.message).pack(), peer)


def _allow_descriptors(wanted: int) -> None:
    """Raises the soft limit of open files, often 1024, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
