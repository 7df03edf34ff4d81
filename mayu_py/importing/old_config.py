"""Mayu's config.yaml, of both generations, as ours."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from ignition.document import MapNode, Mark, Node, ScalarNode, to_data
from mayu_py.core.hosts import Mac
from mayu_py.importing import old_networks
from mayu_py.importing.reading import Reader
from mayu_py.importing.report import Journal
from mayu_py.importing.yaml_text import text_of

IMAGE = "flatcar"
TEMPLATE = "ignition.bu"

# Keys of config.yaml that are flags of the new server, live elsewhere, or mean nothing here.
_GONE: Mapping[str, str] = {
    "default_coreos_version": "images are files here: see `images`",
    "default_flatcar_version": "images are files here: see `images`",
    "tftproot": "see `tftp.root`",
    "ipxe": "both firmwares have their boot files: see `boot`",
    "images_cache_dir": "images are files here: see `images`",
    "http_port": "see `http.port` and `admin.port`",
    "http_bind_addr": "the boot face listens on the networks' addresses",
    "dnsmasq": "mayu answers DHCP, TFTP and DNS itself",
    "dnsmasq_template": "mayu answers DHCP, TFTP and DNS itself",
    "yochu_path": "yochu is gone",
    "static_html_path": "see `admin.files`",
    "first_stage_script": "there is one stage",
    "last_stage_cloudconfig": "cloud-config is not served",
    "template_snippets": "snippets are put into the template",
    "no_secure": "see `admin.tls`",
}
_PROFILE_GONE: Mapping[str, str] = {
    "disable_engine": "Mayu did not read it either",
    "flatcar_version": "give the profile an image of its own",
    "coreos_version": "give the profile an image of its own",
    "etcd_cluster_token": "`mayuctl` sets the token of a host",
}


@dataclass(frozen=True)
class Config:
    """What config.yaml becomes, without hosts. `nics` leads from the names of extra NICs to those of their networks."""

    networks: list[dict[str, Any]]
    profiles: list[dict[str, Any]]
    ignored: list[str]
    static: list[tuple[str, IPv4Address, Mark]]
    templates_env: dict[str, Any]
    nics: Mapping[str, str]
    default_profile: str | None


def convert(root: Node, journal: Journal) -> Config:
    """All of config.yaml."""
    reader = Reader(root if isinstance(root, MapNode) else None, "config", journal)
    if not isinstance(root, MapNode):
        journal.left(root.mark, "config.yaml", f"a mapping is expected, here is {root.describe()}")
    network = reader.below("network")
    networks, nics = old_networks.networks(network, journal)
    ignored = list(_macs(network, "ignoredhosts", journal))
    static = list(_static(network, journal))
    network.rest()
    profiles = list(_profiles(reader, journal))
    env = to_data(node) if (node := reader.get("templates_env")) is not None else {}
    if not isinstance(env, dict):
        journal.left(reader.at("templates_env"), "config.templates_env", "a mapping is expected")
        env = {}
    reader.rest(_GONE)
    names = [profile["name"] for profile in profiles]
    default = "default" if "default" in names else None
    if default is None and names:
        journal.changed(reader.at("profiles"), "profile default", "there is none, so machines that no quota wants get no profile")
    return Config(networks, profiles, ignored, static, {**env, **old_networks.cluster_network(network)}, nics, default)


def _macs(reader: Reader, key: str, journal: Journal) -> Iterator[str]:
    seen = set()
    for node in reader.items(key):
        text = text_of(node) if isinstance(node, ScalarNode) else ""
        try:
            mac = Mac.parse(text)
        except ValueError as error:
            journal.left(node.mark, f"{reader.path}.{key}", str(error))
            continue
        if mac not in seen:
            seen.add(mac)
            yield str(mac)


def _static(network: Reader, journal: Journal) -> Iterator[tuple[str, IPv4Address, Mark]]:
    for n, node in enumerate(network.items("statichosts")):
        reader = Reader(node if isinstance(node, MapNode) else None, f"config.network.statichosts[{n}]", journal)
        # Go's YAML library writes MacAddr small; the key of `ip` is the same either way.
        mac, address = reader.text("macaddr"), reader.address("ip")
        reader.rest()
        try:
            found = Mac.parse(mac or "")
        except ValueError as error:
            journal.left(reader.mark, reader.path, str(error))
            continue
        if address is not None:
            yield str(found), address, reader.mark


def _profiles(reader: Reader, journal: Journal) -> Iterator[dict[str, Any]]:
    names: set[str] = set()
    for n, node in enumerate(reader.items("profiles")):
        profile = Reader(node if isinstance(node, MapNode) else None, f"config.profiles[{n}]", journal)
        name, quantity = profile.text("name"), profile.text("quantity")
        tags = [text_of(tag) for tag in profile.items("tags") if isinstance(tag, ScalarNode)]
        profile.rest(_PROFILE_GONE)
        if not name or name in names:
            journal.left(profile.mark, profile.path, f"its name is {name!r}, and every profile has one of its own")
            continue
        names.add(name)
        found: dict[str, Any] = {"name": name, "image": IMAGE, "ignition": TEMPLATE}
        if quantity and quantity.isascii() and quantity.isdecimal():
            found["quantity"] = int(quantity[:9])
        elif quantity:
            journal.left(profile.at("quantity"), f"{profile.path}.quantity: {quantity[:20]}", "is no number of hosts")
        yield found | ({"tags": tags} if tags else {})
