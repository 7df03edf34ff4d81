"""What a host is served: its Ignition config and its kernel's arguments, rendered from templates as data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote

from ignition.document import DocumentError, Kind, ScalarNode
from ignition.render import Rendered, Template
from ignition.render.text import BadText, Text
from ignition.secrets import SHORTEST, Secret, Secrets, redact_config
from mayu_py.core.hosts import Host
from mayu_py.core.networks import Network
from mayu_py.core.rendering.interfaces import interfaces
from mayu_py.core.rendering.keyfiles import keyfiles
from mayu_py.core.rendering.merged import beneath
from mayu_py.core.rendering.networkd import networkd
from mayu_py.core.settings import Image, NetworkFiles, Profile, Settings


@dataclass(frozen=True, slots=True)
class ServedConfig:
    """The bytes a host gets, their SHA-256 in hex, and what is secret in them as far as the template says.

    `id` is the template's `config_id`, by which a host can say which config it runs; empty for one that an older mayu served.
    """

    config: bytes = field(repr=False)
    sha256: str
    secrets: Secrets = field(default_factory=Secrets, compare=False, repr=False)
    id: str = field(default="", compare=False)

    @classmethod
    def of(cls, config: bytes, secrets: Secrets | None = None, *, id: str = "") -> Self:
        """With the hash of the bytes."""
        return cls(config, hashlib.sha256(config).hexdigest(), secrets or Secrets(), id)

    @property
    def redacted(self) -> bytes:
        """The config for people: every secret is `***`."""
        return redact_config(self.config, self.secrets)


class Renderer:
    """Renders each host once and keeps the bytes, or what is wrong, until its record changes."""

    def __init__(self, settings: Settings, templates: Mapping[str, Template]) -> None:
        self._settings = settings
        self._templates = templates
        self._arguments = {name: _texts(image) for name, image in settings.images.items()}
        self._configs: dict[str, tuple[Host, ServedConfig | DocumentError]] = {}

    def config(self, host: Host) -> ServedConfig:
        """The host's Ignition config: rendered, validated. Raises DocumentError with every problem."""
        of, found = self._configs.get(host.name, (None, None))
        if found is None or of != host:
            try:
                found = self._render(host)
            except DocumentError as error:
                found = error
            self._configs[host.name] = (host, found)
        if isinstance(found, DocumentError):
            raise DocumentError(found.problems)
        return found

    def _render(self, host: Host) -> ServedConfig:
        template, values = self._templates[self._profile(host).name], self._values(host)
        config_id = _config_id(template, values)
        rendered: Rendered = template.render({**values, "config_id": config_id})
        if rendered.report.is_fatal:
            raise DocumentError(rendered.report.problems)
        return ServedConfig.of(self._with_network_files(host, rendered.config), rendered.secrets, id=config_id)

    def _with_network_files(self, host: Host, config: bytes) -> bytes:
        wanted = self._profile(host).network_files
        if wanted is NetworkFiles.NONE:
            return config
        extra = [network for network in self._settings.networks if network.extra]
        found = interfaces(host, self._settings.seat(host), extra)
        files = networkd(found) if wanted is NetworkFiles.NETWORKD else keyfiles(host.name, found)
        return beneath(config, files, host.name)

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
            hint = f"profiles: {', '.join(profile.name for profile in self._settings.profiles) or 'none'}"
            problem = self._settings.origin.error(
                f"{host.name} has the profile {host.profile!r}, which is none", "profiles", hint=hint
            )
            raise DocumentError([problem])
        return profile

    def _values(self, host: Host) -> dict[str, Any]:
        settings = self._settings
        profile = self._profile(host)
        network = settings.seat(host)
        image, url = host.image or profile.image, settings.url(network)
        token = host.facts.etcd_token or settings.etcd_discovery.token or ""
        return {
            "host": {
                "name": host.name,
                "serial": host.serial or "",
                "uuid": host.uuid or "",
                "mac": host.macs[0] if host.macs else "",
                "address": str(host.address or ""),
                "addresses": {name: str(address) for name, address in host.addresses.items()},
                "profile": profile.name,
                "tags": list(profile.tags),
                "provider_id": host.facts.provider_id,
                "cabinet": host.facts.cabinet,
                "etcd_token": _secret(token),
                "metadata": dict(host.facts.metadata),
            },
            "network": _network_values(network) if network else {},
            "server": {"url": url, "address": str(settings.address(network))},
            "image": {"name": image, "url": f"{url}/images/{image}"},
            "values": {**settings.templates_env, **profile.values, **host.values},
            "ignition_url": _ignition_url(url, host),
            "etcd_discovery_url": _secret(f"{url}/etcd/{token}") if token else "",
            "report_url": f"{url}/host/{quote(host.ident, safe='')}",
        }


def _config_id(template: Template, values: Mapping[str, Any]) -> str:
    """16 hex digits over all that a config is made of, so that a host can say which one it runs.

    The config cannot hold its own hash. Values that are equal give equal digits, whatever order a person wrote them in.
    """
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(f"{template.sha256}\n{text}".encode()).hexdigest()[:16]


def _secret(text: str) -> str:
    """Marked, so that nobody is shown it; what is too short for that has its parts in any text anyway."""
    return Secret(text) if len(text.strip()) >= SHORTEST else text


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
