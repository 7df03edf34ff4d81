"""The way into an API server, for clients that speak to it without kubectl."""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Door:
    """Where an API is and how one gets in: a socket factory, an address, PEM files. Without a certificate one is anonymous."""

    connect: Callable[[], socket.socket]
    address: str
    port: int
    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS that believes this authority only."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context
