"""Which certificates end soon, whose turn it is to get new ones, and what has to start again for them. Pure, but for `renew`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from kubeception_sim.errors import BadInput
from kubeception_sim.pki.authority import Authority, Issued, Request


@dataclass(frozen=True)
class Held:
    """A certificate (PEM) that a host holds under a name of its own for it, and the request that it was issued for."""

    host: str
    name: str
    request: Request
    cert: str


@dataclass(frozen=True)
class Turn:
    """What one host gets at once: `renewed` by the names that it has for them; then `restarts`, one after another."""

    host: str
    renewed: Mapping[str, Request]
    restarts: tuple[str, ...]


def read(cert: str) -> x509.Certificate:
    """A certificate from its PEM. Raises BadInput for what is none."""
    try:
        return x509.load_pem_x509_certificate(cert.encode())
    except ValueError as error:
        raise BadInput(f"not a certificate: {error}") from error


def ends(cert: str) -> datetime:
    """When a certificate ends, in UTC. Raises BadInput for what is no certificate."""
    return read(cert).not_valid_after_utc


def due(held: Iterable[Held], before: datetime) -> tuple[Held, ...]:
    """Those of `held` that end before `before` (aware); one that ends right then is kept."""
    return tuple(each for each in held if ends(each.cert) < before)


def plan(chosen: Iterable[Held], users: Mapping[str, tuple[str, ...]]) -> tuple[Turn, ...]:
    """The turns after which every certificate of `chosen` is a new one.

    Hosts keep the order that they have in `chosen`, and each has one turn: while one restarts, the others serve. `users` maps the
    name of a certificate to what must start again for it; a turn restarts each of them once, in the order of `users`.
    """
    wanted: dict[str, dict[str, Request]] = {}
    for each in chosen:
        wanted.setdefault(each.host, {})[each.name] = each.request
    return tuple(Turn(host, renewed, _restarts(renewed, users)) for host, renewed in wanted.items())


def renew(by: Authority, turn: Turn) -> dict[str, Issued]:
    """New keys and certificates for a turn, through an issuer that can have these only. The old ones stay good until they end."""
    issuer = by.issuer(turn.host, tuple(turn.renewed.values()))
    return {name: issuer.issue(request) for name, request in turn.renewed.items()}


def _restarts(renewed: Mapping[str, Request], users: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(user for name, of_name in users.items() if name in renewed for user in of_name))
