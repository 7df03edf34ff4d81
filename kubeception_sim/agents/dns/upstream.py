"""Names of others: asked at the name servers of the pod's own /etc/resolv.conf, one after another."""

import secrets
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import dnslib

from kubeception_sim.agents.dns.message import HEADER, QR, RD, TC, UDP_PAYLOAD, Query, Rcode, answer, label, reply
from kubeception_sim.agents.dns.zone import Zone

RESOLV_CONF = Path("/etc/resolv.conf")
SECONDS = 2.0
MOST_SERVERS = 3  # as resolv.conf(5)
_LENGTH = struct.Struct("!H")


@dataclass(frozen=True)
class Upstream:
    """Other name servers, IPv4 or IPv6 addresses. With none, every name of others is refused."""

    servers: tuple[str, ...]
    port: int = 53

    @classmethod
    def of(cls, text: str) -> "Upstream":
        """From the text of a resolv.conf; lines that name no address are passed over, as libc does."""
        lines = (line.split() for line in text.splitlines())
        return cls(
            tuple(line[1] for line in lines if len(line) > 1 and line[0] == "nameserver" and _is_address(line[1]))[:MOST_SERVERS]
        )

    def ask(self, query: Query, *, tcp: bool) -> bytes:
        """The answer of the first server that gives one, under the query's own number; SERVFAIL when none does."""
        if not self.servers:
            return reply(query, Rcode.REFUSED)
        question = HEADER.pack(secrets.randbits(16), RD, 1, 0, 0, 1) + query.question
        question += struct.pack("!BHHIH", 0, 41, query.udp_limit, 0, 0)
        for server in self.servers:
            try:
                message = (_over_tcp if tcp else _over_udp)(server, self.port, question)
            except OSError:
                continue
            if query.payload == 0:
                return _without_edns(query, message)
            return _LENGTH.pack(query.number) + message[2:]
        return reply(query, Rcode.SERVFAIL)

    def follow(self, query: Query, zone: Zone, name: str, *, tcp: bool) -> bytes:
        """The answer to a name of ours that leads to `name` of others: our alias, and what they say of the other name (2.5)."""
        target = label(name)
        buffer = dnslib.DNSBuffer()
        dnslib.DNSQuestion(target, query.type).pack(buffer)
        theirs = Query(query.number, query.flags, bytes(buffer.data), target.label, name, query.type, UDP_PAYLOAD)
        limit = 65535 if tcp else query.udp_limit
        try:
            there = dnslib.DNSRecord.parse(self.ask(theirs, tcp=tcp))
            ours = dnslib.DNSRecord.parse(answer(query, zone, limit))
        except dnslib.DNSError:
            return reply(query, Rcode.SERVFAIL)
        if there.header.rcode == Rcode.REFUSED:
            return answer(query, zone, limit)
        return reply(query, there.header.rcode, 0, [*ours.rr, *there.rr], authority=there.auth, limit=limit)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _without_edns(query: Query, message: bytes) -> bytes:
    """Who asked without EDNS is not told of it (RFC 6891, section 6.1.1)."""
    try:
        record = dnslib.DNSRecord.parse(message)
    except dnslib.DNSError:
        return reply(query, Rcode.SERVFAIL)
    flags = int(record.header.bitmap) & (TC | 0x0480)
    return reply(query, record.header.rcode, flags, record.rr, authority=record.auth, limit=65535)


def _over_udp(server: str, port: int, question: bytes) -> bytes:
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        # A port of its own for each question, and only this server may answer there (RFC 5452).
        sock.connect((server, port))
        sock.send(question)
        while not _answers(message := sock.recv(4096), question):
            continue
        return message


def _over_tcp(server: str, port: int, question: bytes) -> bytes:
    with socket.create_connection((server, port), SECONDS) as sock, sock.makefile("rb") as stream:
        sock.sendall(_LENGTH.pack(len(question)) + question)
        head = stream.read(_LENGTH.size)
        message = stream.read(*_LENGTH.unpack(head)) if len(head) == _LENGTH.size else b""
        if not _answers(message, question):
            raise ConnectionError("not an answer to the question")
        return message


def _answers(message: bytes, question: bytes) -> bool:
    end = len(question) - 11  # what follows the question is our own OPT
    if len(message) < end or message[:2] != question[:2] or not message[2] & (QR >> 8):
        return False
    return message[HEADER.size : end].lower() == question[HEADER.size : end].lower()
