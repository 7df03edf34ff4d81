"""A TFTP load: many clients in one process that fetch the same file again and again. Prints one JSON object.

    python -m benchmarks.tftp_load --server 10.99.0.1 --file f --size 1000000 --clients 64 --block-size 1468 --window 16

It asks every server for the same options and takes what is granted, so a server without windows is measured in
lockstep. It only counts blocks in order and checks the size of each file. One process, because it is given one CPU. Blocks
that the kernel has in one piece it takes in one piece (UDP GRO): at some 4 us for each it would measure itself. The CPU
time of the server, which `benchmarks.tftp` puts beside the rate, has no such ceiling.
"""

import argparse
import json
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

UDP_GRO = 104  # linux/udp.h; the socket module of Python 3.11 does not name it
QUIET_SECONDS = 0.5
"""Without any packet for so long, a client asks or acknowledges again."""


@dataclass
class Totals:
    """What all clients did between the start and the end of the measurement; `served` counts the warm-up, too."""

    received: int = 0
    served: int = 0
    files: int = 0
    asked_again: int = 0
    out_of_order: int = 0
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """What every client asks for. `size` in bytes; `source` is the address to ask from, if not any."""

    server: tuple[str, int]
    size: int
    request: bytes
    source: str = ""


class Fetch:
    """One client, which begins the file anew whenever it has it."""

    def __init__(self, job: Job, epoll: select.epoll, totals: Totals) -> None:
        self._job = job
        self._epoll = epoll
        self._totals = totals
        self._buffer = bytearray(65536)
        self._open()

    def _open(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if self._job.source:
            self.socket.bind((self._job.source, 0))
        self.socket.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        self._negotiated = False
        self._block_size, self._window = 512, 1
        self._block = self._since_ack = self._got = 0
        self.heard = time.monotonic()
        self._epoll.register(self.socket.fileno(), select.EPOLLIN)
        self.socket.sendto(self._job.request, self._job.server)

    def on_readable(self, now: float) -> None:
        """Takes at most a window of packets. The hot path, so it is one function; everything rare is elsewhere."""
        self.heard = now
        if not self._negotiated:
            self._on_first()
            return
        receive, buffer, full = self.socket.recv_into, self._buffer, self._block_size + 4
        for _ in range(self._window):
            try:
                length = receive(buffer)
            except BlockingIOError:
                return
            for at in range(0, length, full):
                block = self._block + 1
                if buffer[at + 1] != 3 or buffer[at + 2] << 8 | buffer[at + 3] != block & 0xFFFF:
                    self._on_unexpected(at, length)
                    return
                size = min(full, length - at) - 4
                self._block = block
                self._since_ack += 1
                self._got += size
                self._totals.received += size
                if size < self._block_size:
                    self._acknowledge()
                    self._begin_anew()
                    return
                if self._since_ack == self._window:
                    self._acknowledge()

    def on_quiet(self) -> None:
        """Nothing has come for a while."""
        self._totals.asked_again += 1
        self.heard = time.monotonic()
        if self._negotiated:
            self._acknowledge()
        else:
            self.socket.sendto(self._job.request, self._job.server)

    def _on_first(self) -> None:
        """The answer to the request: an OACK, as every request here has options."""
        length, tid = self.socket.recvfrom_into(self._buffer)
        if self._buffer[1] != 6:
            self._on_unexpected(0, length)
            return
        strings = bytes(self._buffer[2:length]).split(b"\0")
        granted = dict(zip(strings[0::2], strings[1::2], strict=False))
        self._block_size = int(granted[b"blksize"])
        self._window = int(granted.get(b"windowsize", 1))
        self.socket.connect(tid)
        self._negotiated = True
        self._acknowledge()

    def _on_unexpected(self, at: int, length: int) -> None:
        """What begins at `at` is not the next block."""
        if self._buffer[at + 1] == 3:
            self._totals.out_of_order += 1
            if self._window > 1:
                self._acknowledge()
        elif self._buffer[at + 1] != 6:
            self._totals.errors.append(bytes(self._buffer[at + 4 : length]).decode(errors="replace"))
            self._begin_anew()

    def _acknowledge(self) -> None:
        self._since_ack = 0
        self.socket.send(b"\0\4%c%c" % (self._block >> 8 & 0xFF, self._block & 0xFF))

    def _begin_anew(self) -> None:
        self._count()
        self.socket.close()
        self._open()

    def _count(self) -> None:
        if self._got == self._job.size:
            self._totals.files += 1
        else:
            self._totals.errors.append(f"got {self._got} bytes of {self._job.size}")


def request(file: str, block_size: int, window: int) -> bytes:
    """A read request (RFC 1350, 2348, 7440)."""
    words = [file, "octet", "blksize", str(block_size)]
    if window > 1:
        words += ["windowsize", str(window)]
    return b"\0\1" + "".join(f"{word}\0" for word in words).encode()


def load(job: Job, clients: int, seconds: float, warm_up: float) -> Totals:
    """Runs the clients for `warm_up` seconds, then measures for `seconds`."""
    totals = Totals()
    with select.epoll() as epoll:
        fetches = {}
        for _ in range(clients):
            fetch = Fetch(job, epoll, totals)
            fetches[fetch.socket.fileno()] = fetch
        _run(epoll, fetches, warm_up)
        warm = totals.received
        began = time.monotonic()
        _run(epoll, fetches, seconds)
        totals.seconds = time.monotonic() - began
        totals.served, totals.received = totals.received, totals.received - warm
        for fetch in fetches.values():
            fetch.socket.close()
    return totals


def _run(epoll: select.epoll, fetches: dict[int, Fetch], seconds: float) -> None:
    end = time.monotonic() + seconds
    check = 0.0
    while (now := time.monotonic()) < end:
        for descriptor, _ in epoll.poll(QUIET_SECONDS):
            fetch = fetches[descriptor]
            fetch.on_readable(now)
            if fetch.socket.fileno() != descriptor:
                del fetches[descriptor]
                fetches[fetch.socket.fileno()] = fetch
        if now > check:
            check = now + QUIET_SECONDS
            for fetch in fetches.values():
                if now - fetch.heard > QUIET_SECONDS:
                    fetch.on_quiet()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="TFTP load; prints JSON")
    parser.add_argument("--server", required=True)
    parser.add_argument("--file", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--block-size", type=int, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--warm-up", type=float, default=0.3)
    args = parser.parse_args()
    wanted = request(args.file, args.block_size, args.window)
    totals = load(Job((args.server, 69), args.size, wanted), args.clients, args.seconds, args.warm_up)
    sys.stdout.write(json.dumps(asdict(totals)) + "\n")


if __name__ == "__main__":
    main()
