"""TLS for the admin face, with the certificates of clients.

Granian verifies client certificates and tells nobody whose they are. So the worker itself ends TLS, and carries the bytes to
Granian over a connection of its own on the loopback; who is at the other end of that connection is known by its port. The
listener behind takes nothing else: what comes from an unknown port is refused.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mayu_py.core.faces import AdminTls
from mayu_py.errors import StartError

log = logging.getLogger(__name__)

CONNECTIONS = 256
HANDSHAKE_SECONDS = 10.0
CHUNK = 64 * 1024
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection: the address, and the subject's common name of a verified certificate."""

    address: str
    common_name: str | None


class Door:
    """The TLS listener in front of Granian's port `inner`. Raises StartError when its files cannot be used."""

    def __init__(self, tls: AdminTls, listener: socket.socket, inner: int) -> None:
        self._tls = tls
        self._listener = listener
        self._inner = inner
        self._peers: dict[int, Peer] = {}
        self._carriers: set[asyncio.Task[None]] = set()
        try:
            self._seen = self._stamps()
            self._context = self._load()
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"the admin face cannot speak TLS: {error}", hint="see `admin.tls` in the config") from error

    async def open(self) -> None:
        """Begin to take connections."""
        await asyncio.start_server(self._arrived, sock=self._listener, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_SECONDS)

    def peer(self, port: int) -> Peer | None:
        """Who sends what arrives from this port of the loopback; None for everybody who did not come through the door."""
        return self._peers.get(port)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._tls.certificate, self._tls.key)
        if self._tls.client_ca is not None:
            context.load_verify_locations(self._tls.client_ca)
            # Asked for, not demanded: who has a token needs none. One that is shown must be good.
            context.verify_mode = ssl.CERT_OPTIONAL
        context.sni_callback = self._greeted
        return context

    def _stamps(self) -> tuple[int, ...]:
        files: tuple[Path | None, ...] = (self._tls.certificate, self._tls.key, self._tls.client_ca)
        return tuple(file.stat().st_mtime_ns for file in files if file is not None)

    def _greeted(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """At every ClientHello: a certificate that was renewed is used from now on."""
        try:
            if (stamps := self._stamps()) != self._seen:
                self._seen = stamps
                self._context = self._load()
                log.info("the admin face has a new certificate")
        except (OSError, ssl.SSLError) as error:
            log.error("the admin face keeps its certificate: %s", error)
        connection.context = self._context

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._carriers) >= CONNECTIONS:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._carriers.add(task)
        task.add_done_callback(self._carriers.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, self._inner)
            port = inner_writer.get_extra_info("sockname")[1]
            # Known before the first byte is carried.
            self._peers[port] = Peer(writer.get_extra_info("peername")[0], common_name(writer.get_extra_info("peercert")))
            ways = {asyncio.ensure_future(_pump(reader, inner_writer)), asyncio.ensure_future(_pump(inner_reader, writer))}
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                del self._peers[port]
                for way in ways:
                    way.cancel()
                inner_writer.close()
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


def common_name(certificate: Mapping[str, Any] | None) -> str | None:
    """The subject's common name in what `ssl` tells of a verified certificate."""
    parts = (part for names in (certificate or {}).get("subject", ()) for part in names)
    return next((value for key, value in parts if key == "commonName"), None)
