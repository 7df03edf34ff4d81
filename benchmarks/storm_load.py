"""A rack that is switched on: every machine does DHCP, TFTP, script and Ignition, all at once. Prints one JSON object.

    python -m benchmarks.storm_load --machines 1000 --size 1000000 --port 4081 --script '/script?serial=S{:06d}' ...

The machines are behind one relay, which is this process: it speaks for them on port 67, and opens their connections from
their own addresses. Everything is asked again after a second without an answer, as firmware does.
"""

import argparse
import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import lab
from benchmarks.tftp_load import Fetch, Job, Totals, request

RETRY_SECONDS = 1.0
COOKIE = b"\x63\x82\x53\x63"
_SO_RCVBUFFORCE = 33  # socket(7); Python does not name it.
PXE = b"PXEClient:Arch:00007:UNDI:003000"


@dataclass(frozen=True)
class Plan:
    """What all machines do. `script` and `ignition` are paths with the machine's number to be filled in."""

    size: int
    port: int
    script: str
    ignition: str
    window: int


class OneFile(Fetch):
    """A machine's boot file: fetched once."""

    is_done = False

    def _begin_anew(self) -> None:
        self._count()
        self.is_done = True


class Page:
    """One HTTP request on a connection of its own, closed by the server."""

    def __init__(self, epoll: select.epoll, source: str, port: int, path: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.bind((source, 0))
        # The cable's kernel shakes hands without the server, so this does not wait for it.
        self.socket.connect((lab.SERVER, port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {lab.SERVER}\r\nConnection: close\r\n\r\n".encode())
        self.socket.setblocking(False)
        epoll.register(self.socket.fileno(), select.EPOLLIN)
        self._got = bytearray()
        self.is_done = False

    def on_readable(self, now: float) -> None:
        """Takes what there is. Raises RuntimeError for anything but a whole 200."""
        data = self.socket.recv(65536)
        self._got += data
        if data:
            return
        if not self._got.startswith(b"HTTP/1.1 200") or self._got.endswith(b"\r\n\r\n"):
            raise RuntimeError(bytes(self._got[:300]).decode(errors="replace"))
        self.is_done = True


def message(number: int, kind: int, address: str) -> bytes:
    """A DISCOVER (1) or a REQUEST (3) of one machine, as its relay passes it on (RFC 2131)."""
    head = struct.pack("!4B2I", 1, 1, 6, 1, number, 0)
    relay = socket.inet_aton(lab.CLIENT)
    mac = bytes.fromhex(lab.mac(number).replace(":", ""))
    options = b"\x35\1%c" % kind + b"\x3c%c%b" % (len(PXE), PXE) + b"\x37\4\1\3\x42\x43\x5d\2\0\7"
    if kind == 3:
        options += b"\x32\4" + socket.inet_aton(address) + b"\x36\4" + socket.inet_aton(lab.SERVER)
    return head + bytes(12) + relay + mac.ljust(16, b"\0") + bytes(192) + COOKIE + options + b"\xff"


class Storm:
    """All machines. Each is where it stands: a DHCP message that waits for its answer, or a step that has a socket."""

    def __init__(self, plan: Plan, machines: int) -> None:
        self._plan = plan
        self._machines = machines
        self._epoll = select.epoll()
        self._relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._relay.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
        self._relay.bind((lab.CLIENT, 67))
        self._epoll.register(self._relay.fileno(), select.EPOLLIN)
        self._asked: dict[int, tuple[float, bytes]] = {}
        self._steps: dict[int, tuple[Iterator[Page | OneFile], Page | OneFile]] = {}
        self._totals = Totals()
        self.asked_again = 0

    def run(self, patience: float) -> float:
        """Seconds from the first DISCOVER to the last machine's config. Raises TimeoutError after `patience` seconds."""
        began = time.monotonic()
        for number in range(self._machines):
            self._ask(number, message(number, 1, ""))
        check = began + RETRY_SECONDS
        while self._asked or self._steps:
            for descriptor, _ in self._epoll.poll(RETRY_SECONDS / 4):
                if descriptor == self._relay.fileno():
                    self._on_relayed()
                else:
                    self._on_step(descriptor)
            if time.monotonic() > check:
                check = time.monotonic() + RETRY_SECONDS / 4
                self._ask_again(check)
            if time.monotonic() > began + patience:
                raise TimeoutError(f"{len(self._asked)} wait for DHCP, {len(self._steps)} for files")
        if self._totals.errors:
            raise RuntimeError(f"TFTP: {self._totals.errors[:3]}")
        return time.monotonic() - began

    def _ask(self, number: int, packet: bytes) -> None:
        self._asked[number] = (time.monotonic(), packet)
        self._relay.sendto(packet, (lab.SERVER, 67))

    def _ask_again(self, now: float) -> None:
        for number, (when, packet) in list(self._asked.items()):
            if now - when > RETRY_SECONDS:
                self.asked_again += 1
                self._ask(number, packet)
        for _, step in list(self._steps.values()):
            if isinstance(step, OneFile) and now - step.heard > RETRY_SECONDS:
                self.asked_again += 1
                step.on_quiet()

    def _on_relayed(self) -> None:
        while True:
            try:
                packet = self._relay.recv(2048)
            except BlockingIOError:
                return
            number = int.from_bytes(packet[4:8])
            kind = packet[packet.index(b"\x35\1", 240) + 2]
            address = socket.inet_ntoa(packet[16:20])
            # An answer to what was asked again may come twice.
            awaited = number in self._asked and self._asked[number][1][242] == kind - (1 if kind == 2 else 2)
            if awaited and kind == 2:
                self._ask(number, message(number, 3, address))
            elif awaited and kind == 5:
                del self._asked[number]
                self._go_on(self._files(number, address))
            elif awaited:
                raise RuntimeError(f"machine {number} is answered DHCP message {kind}")

    def _files(self, number: int, address: str) -> Iterator[Page | OneFile]:
        plan = self._plan
        job = Job((lab.SERVER, 69), plan.size, request("file", 1468, plan.window), address)
        yield OneFile(job, self._epoll, self._totals)
        yield Page(self._epoll, address, plan.port, plan.script.format(number))
        yield Page(self._epoll, address, plan.port, plan.ignition.format(number))

    def _go_on(self, machine: Iterator[Page | OneFile]) -> None:
        if step := next(machine, None):
            self._steps[step.socket.fileno()] = (machine, step)

    def _on_step(self, descriptor: int) -> None:
        machine, step = self._steps[descriptor]
        step.on_readable(time.monotonic())
        if step.is_done:
            del self._steps[descriptor]
            step.socket.close()
            self._go_on(machine)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="a rack that is switched on; prints JSON")
    parser.add_argument("--machines", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", required=True)
    parser.add_argument("--ignition", required=True)
    parser.add_argument("--window", type=int, default=4)
    args = parser.parse_args()
    storm = Storm(Plan(args.size, args.port, args.script, args.ignition, args.window), args.machines)
    seconds = storm.run(patience=120)
    sys.stdout.write(json.dumps({"seconds": seconds, "asked_again": storm.asked_again}) + "\n")


if __name__ == "__main__":
    main()
