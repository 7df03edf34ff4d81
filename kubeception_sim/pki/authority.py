"""What an authority is asked for, and what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Protocol

from kubeception_sim.errors import HarnessError


class Refused(HarnessError):
    """The authority does not issue that to this issuer."""


@dataclass(frozen=True)
class Request:
    """A certificate that somebody needs. `name` is its own within the mount; `ttl_hours` its life.

    `client` and `server` are the extended key usages (RFC 5280, 4.2.1.12): clientAuth and serverAuth.
    """

    mount: str
    name: str
    common_name: str
    organization: str = ""
    dns: tuple[str, ...] = ()
    addresses: tuple[IPv4Address, ...] = ()
    client: bool = False
    server: bool = False
    ttl_hours: int = 24 * 30


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, PEM. `serial` in hex pairs with colons, as OpenBao writes it."""

    cert: str
    key: str = field(repr=False)
    serial: str = ""


class Issuer(Protocol):
    """What one host holds: it can have the certificates that it was made for, and no other."""

    def issue(self, request: Request) -> Issued:
        """A new key and certificate. Raises Refused for a request that it was not made for."""
        ...


class Authority(Protocol):
    """An authority with any number of mounts, each with a root of its own whose key never leaves it."""

    def mount(self, name: str) -> str:
        """Make sure that there is a mount with a root; its certificate, PEM. The same at every call."""
        ...

    def issuer(self, host: str, requests: Sequence[Request]) -> Issuer:
        """An issuer for `host` that is good for exactly these requests."""
        ...

    def intermediate(self, mount: str, common_name: str) -> Issued:
        """An authority below the mount's root, that signs certificates and no authorities. Its key is given out."""
        ...

    def revoke(self, mount: str, issued: Issued) -> None:
        """Put a certificate on the mount's list of revoked ones."""
        ...

    def crl(self, mount: str) -> str:
        """The mount's list of revoked certificates, PEM."""
        ...

    def unmount(self, name: str) -> None:
        """Remove a mount with all that it knows. Nothing happens when there is none."""
        ...
