"""What a host is served: its Ignition config and its kernel's arguments, rendered from templates as data."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ignition.document import DocumentError, Kind, ScalarNode
from ignition.render import Template
from ignition.render.text import BadText, Text
from mayu_py.core.hosts import Host
from mayu_py.core.settings import Image, Network, Profile, Settings


@dataclass(frozen=True, slots=True)
class ServedConfig:
    """The bytes a host gets, and their SHA-256 in hex."""

    config: bytes
    sha256: str


class Renderer:
    """Renders each host once and keeps the bytes, until its record changes."""

    def __init__(self, settings: Settings, templates: Mapping[str, Template]) -> None:
        self._settings = settings
        self._templates = templates
        self._arguments = {name: _texts(image) for name, image in settings.images.items()}
        self._configs: dict[str, tuple[Host, ServedConfig]] = {}

    def config(self, host: Host) -> ServedConfig:
        """The host's Ignition config: rendered, validated. Raises DocumentError with every problem."""
        of, served = self._configs.get(host.name, (None, None))
        if served is None or of != host:
            rendered = self._templates[host.profile or ""].render(self._values(host))
            if rendered.report.is_fatal:
                raise DocumentError(rendered.report.problems)
            served = ServedConfig(rendered.config, hashlib.sha256(rendered.config).hexdigest())
            self._configs[host.name] = (host, served)
        return served

    def arguments(self, host: Host) -> tuple[str, ...]:
        """The kernel's arguments for a host with a profile. Raises DocumentError."""
        profile = self._profile(host)
        values = self._values(host)
        try:
            nodes = [text.render(values) for text in self._arguments[host.image or profile.image]]
        except BadText as error:
            raise DocumentError([error.problem]) from error
        return tuple(node.text for node in nodes if isinstance(node, ScalarNode))

    def _profile(self, host: Host) -> Profile:
        profile = self._settings.profile(host.profile or "")
        if profile is None:
            raise LookupError(f"{host.name} has no profile")
        return profile

    def _values(self, host: Host) -> dict[str, Any]:
        settings = self._settings
        profile = self._profile(host)
        network = settings.network_of(host.address)
        image, url = host.image or profile.image, settings.url(network)
        return {
            "host": {
                "name": host.name,
                "serial": host.serial or "",
                "uuid": host.uuid or "",
                "mac": host.macs[0] if host.macs else "",
                "address": str(host.address),
                "addresses": {name: str(address) for name, address in host.addresses.items()},
                "profile": profile.name,
                "tags": list(profile.tags),
                "provider_id": host.facts.provider_id,
                "cabinet": host.facts.cabinet,
                "etcd_token": host.facts.etcd_token,
                "metadata": dict(host.facts.metadata),
            },
            "network": _network_values(network) if network else {},
            "server": {"url": url, "address": str(settings.address(network))},
            "image": {"name": image, "url": f"{url}/images/{image}"},
            "values": {**settings.templates_env, **profile.values, **host.values},
            "ignition_url": _ignition_url(url, host),
            "report_url": f"{url}/host/{quote(host.ident, safe='')}",
        }


def _network_values(network: Network) -> dict[str, Any]:
    return {
        "name": network.name,
        "subnet": str(network.subnet),
        "prefix": network.subnet.prefixlen,
        "netmask": str(network.subnet.netmask),
        "gateway": str(network.gateway or ""),
        "dns": [str(address) for address in network.dns],
        "ntp": [str(address) for address in network.ntp],
        "domain": network.domain or "",
        "search": list(network.search),
        "routes": [{"to": str(route.to), "via": str(route.via)} for route in network.routes],
    }


def _ignition_url(url: str, host: Host) -> str:
    """By everything that is known, so that Ignition finds the same record whatever it can read of the board."""
    known = {"serial": host.serial, "uuid": host.uuid, "mac": host.macs[0] if host.macs else None}
    query = "&".join(f"{key}={quote(value, safe=':')}" for key, value in known.items() if value)
    return f"{url}/ignition?{query}"


def _texts(image: Image) -> tuple[Text, ...]:
    nodes = [ScalarNode(text, Kind.STR, image.origin.at("args", n), '"') for n, text in enumerate(image.args)]
    try:
        return tuple(Text.compile(node, f"args[{n}]") for n, node in enumerate(nodes))
    except BadText as error:
        raise DocumentError([error.problem]) from error
