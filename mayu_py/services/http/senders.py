"""Whom a request comes from, as far as it shows before anybody asks for a password."""

import ipaddress
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

from mayu_py.core.access import Credentials
from mayu_py.core.settings import Settings
from mayu_py.services.http.admin import CREDENTIALS
from mayu_py.services.http.doors import Door
from mayu_py.services.http.proto import RequestHeaders, Scope
from mayu_py.services.http.replies import client_address


def plain(settings: Settings) -> "Plain":
    """For a listener without TLS."""
    return Plain({network.address for network in settings.local if network.address is not None})


def secured(settings: Settings, door: Door) -> "Secured":
    """For the listener behind the door."""
    return Secured(door, {network.address for network in settings.local if network.address is not None})


class Plain:
    """Tells of requests by the address they come from."""

    def __init__(self, own: Collection[IPv4Address]) -> None:
        self._own = own

    def __call__(self, scope: Scope) -> Mapping[str, Any]:
        """What the WSGI environment is told."""
        local = is_local(client_address(scope.client), self._own) and not from_a_page(scope.headers)
        return {CREDENTIALS: Credentials(local, scope.headers.get("authorization"))}


class Secured:
    """Tells of requests that came through the door; others bring nothing, so that nobody knows them."""

    def __init__(self, door: Door, own: Collection[IPv4Address]) -> None:
        self._door = door
        self._own = own

    def __call__(self, scope: Scope) -> Mapping[str, Any]:
        """What the WSGI environment is told."""
        port = scope.client.rpartition(":")[2]
        peer = self._door.peer(int(port)) if port.isdecimal() else None
        if peer is None:
            return {CREDENTIALS: Credentials(), "REMOTE_ADDR": "0.0.0.0"}
        local = is_local(client_address(f"{peer.address}:0"), self._own) and not from_a_page(scope.headers)
        credentials = Credentials(local, scope.headers.get("authorization"), peer.common_name)
        return {CREDENTIALS: credentials, "REMOTE_ADDR": peer.address, "wsgi.url_scheme": "https"}


def is_local(source: IPv4Address | None, own: Collection[IPv4Address]) -> bool:
    """Whether a request comes from the server's own machine."""
    return source is not None and (source.is_loopback or source in own)


def from_a_page(headers: RequestHeaders) -> bool:
    """Whether a browser on this machine sends it for a web page: it names the page's origin, or came by a name of the page's."""
    try:
        host = urlsplit(f"//{headers.get('host') or ''}").hostname or ""
    except ValueError:
        return True
    return headers.get("origin") is not None or not (host == "localhost" or _is_address(host))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
