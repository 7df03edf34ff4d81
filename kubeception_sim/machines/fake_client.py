"""The protocols of a booting machine, as a client: DHCP, TFTP, HTTP. Plain, and not shared with any server."""

import http.client
import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from kubeception_sim.machines.fake_ipxe import BootFailed

_log = logging.getLogger("fake")

_HTTP_SECONDS = 30.0


class Unavailable(BootFailed):
    """An HTTP server that answers with a 5xx, or breaks off: not now."""


@dataclass(frozen=True)
class Hardware:
    """What the machine knows of itself. `arch` is option 93 (RFC 4578): 0 for BIOS, 7 for x64 UEFI."""

    serial: str
    uuid: UUID
    mac: bytes
    arch: int
    tap: str


@dataclass(frozen=True)
class Lease:
    """What a DHCP server said; `gateway` is empty when it named none."""

    address: str
    prefix: int
    gateway: str
    server: str
    boot_file: str


def dhcp(machine: Hardware, card: str, *, ipxe: bool) -> Lease:
    """A lease for the interface `card`: DISCOVER, OFFER, REQUEST, ACK (RFC 2131).

    Asks again after 1, 2, 4, 4 ... seconds, without end.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, card.encode())
        client.bind(("", 68))
        for attempt in range(sys.maxsize):
            patience = min(4.0, 2.0**attempt)
            xid = os.urandom(4)
            offer = _exchange(client, _request(machine, xid, 1, ipxe, b""), xid, 2, patience)
            if offer is None:
                continue
            wanted = b"\x32\x04" + offer[0][16:20] + b"\x36\x04" + offer[1][54]
            ack = _exchange(client, _request(machine, xid, 3, ipxe, wanted), xid, 5, patience)
            if ack is not None:
                return _lease(*ack)
    raise AssertionError("unreachable")


def _request(machine: Hardware, xid: bytes, kind: int, ipxe: bool, extra: bytes) -> bytes:
    header = struct.pack("!BBBB4sHH", 1, 1, 6, 0, xid, 0, 0x8000)  # broadcast: we have no address to receive on
    header += bytes(16) + machine.mac.ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63"
    vendor = b"PXEClient:Arch:%05d:UNDI:003016" % machine.arch
    options = [
        (53, bytes([kind])),
        (57, struct.pack("!H", 1472)),
        (93, struct.pack("!H", machine.arch)),
        (94, b"\x01\x03\x10"),
        (60, vendor),
        (97, b"\0" + machine.uuid.bytes_le),
        (55, bytes([1, 3, 6, 12, 15, 43, 54, 60, 66, 67])),
    ]
    if ipxe:
        options += [(77, b"iPXE"), (175, b"\xb0\x01\x01")]
    return header + b"".join(bytes([code, len(value)]) + value for code, value in options) + extra + b"\xff"


def _exchange(
    client: socket.socket, packet: bytes, xid: bytes, kind: int, patience: float
) -> tuple[bytes, dict[int, bytes]] | None:
    """Send, and wait for a reply of that kind to us; None when the time is up."""
    client.sendto(packet, ("255.255.255.255", 67))
    until = time.monotonic() + patience
    while (left := until - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            reply = client.recv(4096)
        except TimeoutError:
            break
        options = dict(_options(reply))
        if reply[4:8] == xid and options.get(53) == bytes([kind]) and 54 in options:
            return reply, options
    return None


def _options(packet: bytes) -> Iterator[tuple[int, bytes]]:
    at = 240
    while at < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        length = packet[at + 1]
        yield packet[at], packet[at + 2 : at + 2 + length]
        at += 2 + length


def _lease(packet: bytes, options: dict[int, bytes]) -> Lease:
    boot_file = options.get(67) or packet[108:236].rstrip(b"\0")
    prefix = bin(int.from_bytes(options.get(1, b"\xff\xff\xff\0"), "big")).count("1")
    server = packet[20:24] if any(packet[20:24]) else options[54]
    if not boot_file:
        raise BootFailed("the DHCP server named no boot file")
    text = boot_file.rstrip(b"\0").decode("ascii", errors="replace")
    gateway = socket.inet_ntoa(options[3][:4]) if 3 in options else ""
    return Lease(socket.inet_ntoa(packet[16:20]), prefix, gateway, socket.inet_ntoa(server), text)


def tftp(server: str, name: str) -> Iterator[bytes]:
    """Read a file in blocks of 512 bytes (RFC 1350); asks again for what is late, five times."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        packet, peer = b"\0\1" + name.encode() + b"\0octet\0", (server, 69)
        for block in range(1, 1 << 20):
            for _ in range(5):
                client.sendto(packet, peer)
                try:
                    reply, sender = client.recvfrom(2048)
                except TimeoutError:
                    continue
                if reply[:2] == b"\0\5":
                    raise BootFailed(f"TFTP: {name}: {reply[4:].rstrip(bytes(1)).decode(errors='replace')}")
                if reply[:4] == struct.pack("!HH", 3, block & 0xFFFF):
                    break
            else:
                raise BootFailed(f"TFTP: {name}: no block {block}")
            packet, peer = struct.pack("!HH", 4, block & 0xFFFF), sender
            yield reply[4:]
            if len(reply) < 516:
                client.sendto(packet, peer)
                return


def fetch(url: str) -> bytes:
    """GET. Raises Unavailable for 5xx, BootFailed for anything else but 2xx, OSError when there is no connection."""
    body = _http("GET", url, b"")
    _log.info("GET %s: %d bytes", url, len(body))
    return body


def put(url: str, body: bytes = b"") -> None:
    """PUT; errors as in `fetch`. A path without a server goes nowhere: nobody wanted a report."""
    if urlsplit(url).netloc:
        _http("PUT", url, body)
        _log.info("PUT %s", url)


def _http(method: str, url: str, body: bytes) -> bytes:
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=_HTTP_SECONDS)) as connection:
        try:
            connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body or None)
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise Unavailable(f"{method} {url}: {error!r}") from error
    if not 200 <= answer.status < 300:
        raise (Unavailable if answer.status >= 500 else BootFailed)(f"{method} {url}: HTTP {answer.status}")
    return content
