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
    """A certificate that somebody needs. `name` is its own within the mount: letters, digits, and dots and dashes inside.

    `ttl_hours` is its life; it begins five minutes before it is issued, for clocks of hosts that have just booted.
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
    """A certificate and its private key, PEM. What it is issued by is the mount's root, which all who check it have."""

    cert: str
    key: str = field(repr=False)


class Issuer(Protocol):
    """What one host holds: it can have the certificates that it was made for, and no other."""

    def issue(self, request: Request) -> Issued:
        """A new key and certificate. Raises Refused for a request that it was not made for, HarnessError for other failures."""
        ...


class Authority(Protocol):
    """An authority with any number of mounts, each with a root of its own whose key never leaves it.

    All methods raise HarnessError when the authority does not answer, or when there is no such mount.
    """

    def mount(self, name: str) -> str:
        """Make sure that there is a mount with a root; its certificate, PEM. The same at every call."""
        ...

    def issuer(self, host: str, requests: Sequence[Request]) -> Issuer:
        """An issuer for `host` that is good for exactly these requests. An earlier one of the same host may end with that."""
        ...

    def intermediate(self, mount: str, common_name: str) -> Issued:
        """An authority below the mount's root, that signs certificates and no authorities. Its key is given out."""
        ...

    def revoke(self, mount: str, cert: str) -> None:
        """Put a certificate (PEM) on the mount's list of revoked ones. Raises HarnessError when it is none of the mount's."""
        ...

    def crl(self, mount: str) -> str:
        """The mount's list of revoked certificates, PEM."""
        ...

    def unmount(self, name: str) -> None:
        """Remove a mount with all that it knows. Nothing happens when there is none."""
        ...
