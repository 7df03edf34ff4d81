"""Who may do what on the admin face: roles, tokens, certificates."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ignition.document import Origin
from mayu_py.errors import Forbidden, Unidentified

SCHEME = "Bearer"


class Role(StrEnum):
    """What a caller may do; each role may do what those before it may."""

    READ = "read"  # look at everything that is not secret
    OPERATE = "operate"  # change hosts, and see what they are served
    ADMIN = "admin"  # change the server's config

    def includes(self, needed: "Role") -> bool:
        """Whether who has this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class Token:
    """A bearer token, known by the SHA-256 of its text (64 hex digits). `mayu token new` makes one."""

    name: str
    role: Role
    sha256: str
    origin: Origin = field(default_factory=Origin.none, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """Everyone who may come in: tokens, and the common names of client certificates."""

    tokens: tuple[Token, ...] = ()
    certificates: Mapping[str, Role] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether nobody has credentials, so that the server's own machine needs none."""
        return not self.tokens and not self.certificates


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one request says of its sender.

    `local`: it comes from the server's own machine, and no web page made a browser send it. `common_name` is that of a client
    certificate whose signature has been verified.
    """

    local: bool = False
    authorization: str | None = None
    common_name: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody known. `name` is what the history says: `token ci`, `certificate ann`, or `local`."""

    name: str
    role: Role

    def demand(self, needed: Role | None) -> None:
        """Raise Forbidden unless the caller's role includes the one that is needed."""
        if needed is not None and not self.role.includes(needed):
            raise Forbidden(f"{self.name} has the role {self.role}; this needs {needed}", hint=f"use a token with role {needed}")


def identify(credentials: Credentials, access: Access) -> Caller:
    """Who a request comes from. What it shows must be right: a wrong token is not made good by a certificate.

    Raises Unidentified; Forbidden for a verified certificate that the config does not name.
    """
    if credentials.authorization is not None:
        token = _token(credentials.authorization, access.tokens)
        return Caller(f"token {token.name}", token.role)
    if (name := credentials.common_name) is not None:
        if (role := access.certificates.get(name)) is None:
            raise Forbidden(f"the certificate of {name!r} has no role", hint="name it in `admin.tls.certificates`")
        return Caller(f"certificate {name}", role)
    if credentials.local and access.is_open:
        return Caller("local", Role.ADMIN)
    if access.is_open:
        raise Unidentified(
            "without tokens, the admin face answers only on the machine that mayu runs on",
            hint="`mayu token new NAME` makes a token",
        )
    raise Unidentified("who are you?", hint="send `Authorization: Bearer TOKEN`, or a client certificate")


def _token(header: str, tokens: tuple[Token, ...]) -> Token:
    scheme, _, text = header.strip().partition(" ")
    digest = digest_of(text.strip())
    # Every token is compared, each in constant time, so that the time tells nothing of which one is nearly right.
    found = [token for token in tokens if hmac.compare_digest(token.sha256.lower().encode(), digest.encode())]
    if scheme.lower() != SCHEME.lower() or not found:
        raise Unidentified("nobody has this token", hint="`mayu token new NAME` makes one, and the line for the config")
    return found[0]


def digest_of(token: str) -> str:
    """What the config keeps of a token: its SHA-256 in hex. A token is random and long, so no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
