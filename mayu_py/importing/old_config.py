"""Mayu's config.yaml, of both generations, as ours."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ignition.document import ListNode, MapNode, Mark, Node, ScalarNode, to_data
from mayu_py.core.hosts import Mac
from mayu_py.core.nics import BondMode, is_interface_name
from mayu_py.importing.report import Journal
from mayu_py.importing.yaml_text import text_of

IMAGE = "flatcar"
TEMPLATE = "ignition.bu"
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

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


@dataclass
class Reader:
    """A mapping that tells which of its keys nobody asked for."""

    node: Node | None
    path: str
    journal: Journal
    asked: set[str] = field(default_factory=set)

    @property
    def mark(self) -> Mark:
        """Where it stands."""
        return self.node.mark if self.node is not None else Mark("config.yaml", 0, 0)

    @property
    def entries(self) -> Mapping[str, Node]:
        """Its values by their keys."""
        return self.node.by_key if isinstance(self.node, MapNode) else {}

    def get(self, key: str) -> Node | None:
        """A value, None when it is not there or empty."""
        self.asked.add(key)
        node = self.entries.get(key)
        return None if isinstance(node, ScalarNode) and to_data(node) is None else node

    def at(self, key: str) -> Mark:
        """Where a value stands."""
        return node.mark if (node := self.entries.get(key)) is not None else self.mark

    def below(self, key: str) -> "Reader":
        """A mapping in it."""
        node = self.get(key)
        if node is not None and not isinstance(node, MapNode):
            self.journal.left(node.mark, f"{self.path}.{key}", f"a mapping is expected, here is {node.describe()}")
            node = None
        return Reader(node, f"{self.path}.{key}", self.journal)

    def text(self, key: str) -> str | None:
        """A scalar as text."""
        node = self.get(key)
        if node is None or isinstance(node, ScalarNode):
            return text_of(node) if node is not None else None
        self.journal.left(node.mark, f"{self.path}.{key}", f"text is expected, here is {node.describe()}")
        return None

    def items(self, key: str) -> Sequence[Node]:
        """A list."""
        node = self.get(key)
        if node is None or isinstance(node, ListNode):
            return node.items if node is not None else ()
        self.journal.left(node.mark, f"{self.path}.{key}", f"a list is expected, here is {node.describe()}")
        return ()

    def address(self, key: str) -> IPv4Address | None:
        """An address."""
        text = self.text(key)
        return _address(text, self.at(key), f"{self.path}.{key}", self.journal) if text else None

    def addresses(self, key: str) -> list[str]:
        """A list of addresses."""
        texts = [(text_of(node), node.mark) for node in self.items(key) if isinstance(node, ScalarNode)]
        found = [_address(text, mark, f"{self.path}.{key}", self.journal) for text, mark in texts]
        return [str(address) for address in found if address is not None]

    def rest(self, gone: Mapping[str, str] | None = None) -> None:
        """Report the keys that were not asked for."""
        for key, value in self.node.entries if isinstance(self.node, MapNode) else ():
            if key.text not in self.asked:
                why = (gone or {}).get(key.text, "no key that Mayu reads here")
                self.journal.dropped(key.mark, f"{self.path}.{key.text}: {str(to_data(value))[:60]}", why)


def _address(text: str, mark: Mark, path: str, journal: Journal) -> IPv4Address | None:
    try:
        return IPv4Address(text.strip())
    except ValueError:
        journal.left(mark, f"{path}: {text[:60]}", "is no IPv4 address")
        return None


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
    networks, nics = _networks(network, journal)
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
    return Config(networks, profiles, ignored, static, {**env, **_cluster_network(network)}, nics, default)


def _cluster_network(network: Reader) -> dict[str, Any]:
    """What templates saw as `.ClusterNetwork` and is no value of its own here, under the names of Go's fields."""
    nic = network.below("primary_nic") if "primary_nic" in network.entries else network
    model = nic.get("network_model")
    read = Reader(model if isinstance(model, MapNode) else None, "model", Journal())
    kind = read.text("type") if isinstance(model, MapNode) else text_of(model) if isinstance(model, ScalarNode) else "singlenic"
    match, mode = read.text("bond_interface_match") or "", read.text("bond_mode") or ""
    found = {"Type": kind or "singlenic", "BondInterfaceMatch": match, "BondMode": mode, "VlanId": read.text("vlan_id") or ""}
    extra = [_go_names(to_data(node)) for node in network.items("extra_nics")]
    name = nic.text("interface_name") or ""
    return {"ClusterNetwork": {"PrimaryNIC": {"InterfaceName": name, "Model": found}, "NetworkModel": kind, "ExtraNICs": extra}}


_INITIALS = {"cidr": "CIDR", "dns": "DNS", "ip": "IP"}


def _go_names(value: Any) -> Any:
    """Keys as Go's fields are called: `subnet_size` is SubnetSize."""
    if isinstance(value, dict):
        parts = {key: [_INITIALS.get(part, part.capitalize()) for part in str(key).split("_")] for key in value}
        return {"".join(parts[key]): _go_names(member) for key, member in value.items()}
    return [_go_names(item) for item in value] if isinstance(value, list) else value


def _networks(network: Reader, journal: Journal) -> tuple[list[dict[str, Any]], dict[str, str]]:
    address = network.address("bind_addr")
    pxe = network.below("pxe") if isinstance(network.get("pxe"), MapNode) else Reader(None, "config.network.pxe", journal)
    boot = pxe.below("pxe_interface")
    pxe.get("enabled")
    pxe.rest()
    primary = network.below("primary_nic") if "primary_nic" in network.entries else network
    for key in ("uefi", "interface"):
        network.get(key)
    interface = boot.text("interface_name") or network.text("interface") or primary.text("interface_name")
    if "uefi" in network.entries:
        journal.changed(network.at("uefi"), "network.uefi", "BIOS and UEFI machines are told apart by what they say in DHCP")
    for old in ("bootstrap_range",):
        if network.get(old) is not None:
            journal.dropped(network.at(old), f"network.{old}", "a machine has its own address from its first packet on")
    if boot.get("ip_range") is not None:
        journal.dropped(boot.at("ip_range"), "pxe_interface.ip_range", "a machine has its own address from its first packet on")
    for key in ("subnet_size", "subnet_gateway", "dns", "routes", "network_model"):
        boot.get(key)
    boot.rest()
    first = _network("primary", primary, address, journal)
    if first is None or address is None or not interface:
        journal.left(network.mark, "config.network", "`bind_addr`, an interface and a range are needed for a network")
        first = first or {"name": "primary"}
    if interface and address:
        first |= {"interface": interface, "address": str(address)}
    ntp = network.addresses("ntp")
    if ntp:
        first["ntp"] = ntp
    extra: list[dict[str, Any]] = []
    nics: dict[str, str] = {}
    for n, node in enumerate(network.items("extra_nics")):
        reader = Reader(node if isinstance(node, MapNode) else None, f"config.network.extra_nics[{n}]", journal)
        name = reader.text("interface_name") or ""
        label = name.lower() if _LABEL.fullmatch(name.lower()) else f"extra-{n + 1}"
        if label != name:
            journal.changed(reader.mark, f"NIC {name}", f"its network is called {label}")
        found = _network(label, reader, None, journal)
        reader.rest()
        if found is not None and label not in nics.values():
            extra.append({"name": label, "extra": True, **found})
            nics[name] = label
    if primary is not network:
        primary.rest()
    return [first, *extra], nics


def _network(name: str, reader: Reader, address: IPv4Address | None, journal: Journal) -> dict[str, Any] | None:
    """One NIC's network; None when nothing says where it is."""
    span = reader.below("ip_range")
    start, end = span.address("start"), span.address("end")
    span.rest()
    size, gateway = reader.text("subnet_size"), reader.address("subnet_gateway") or reader.address("router")
    dns, nic, routes = reader.addresses("dns"), _nic(reader, journal), list(_routes(reader, journal))
    inside = address or start or gateway
    if inside is None:
        return None
    subnet = _subnet(inside, size, reader, journal)
    found: dict[str, Any] = {"name": name, "subnet": str(subnet)}
    if start is not None and end is not None and start in subnet and end in subnet and start <= end:
        found["range"] = {"start": str(start), "end": str(end)}
    elif start is not None or end is not None:
        journal.left(reader.at("ip_range"), f"{reader.path}.ip_range", f"is no range of {subnet}")
    if gateway is not None and gateway in subnet:
        found["gateway"] = str(gateway)
    elif gateway is not None:
        journal.left(reader.at("subnet_gateway"), f"{reader.path}.subnet_gateway: {gateway}", f"is not in {subnet}")
    return found | {key: value for key, value in (("dns", dns), ("routes", routes), ("nic", nic)) if value}


def _subnet(inside: IPv4Address, size: str | None, reader: Reader, journal: Journal) -> IPv4Network:
    if size is None:
        journal.changed(reader.mark, f"{reader.path}.subnet_size", "there is none; /24 is taken")
        size = "24"
    try:
        return IPv4Interface(f"{inside}/{size.removeprefix('/').strip()}").network
    except ValueError:
        journal.left(reader.at("subnet_size"), f"{reader.path}.subnet_size: {size[:20]}", "is no prefix length; /24 is taken")
        return IPv4Interface(f"{inside}/24").network


def _routes(reader: Reader, journal: Journal) -> Iterator[dict[str, str]]:
    for n, node in enumerate(reader.items("routes")):
        route = Reader(node if isinstance(node, MapNode) else None, f"{reader.path}.routes[{n}]", journal)
        to, via = route.text("destination_cidr") or "", route.address("route_hop")
        route.rest()
        try:
            network = IPv4Network(to)
        except ValueError:
            journal.left(route.mark, f"{route.path}: {to[:40]}", "is no subnet")
            continue
        if via is not None:
            yield {"to": str(network), "via": str(via)}


def _nic(reader: Reader, journal: Journal) -> dict[str, Any]:
    """The hosts' NIC in a network: a name, or a bond, and a VLAN."""
    name, model = reader.text("interface_name"), reader.get("network_model")
    if model is None:
        return {"name": name} if name and is_interface_name(name) and reader.path.startswith("config.network.extra") else {}
    if not isinstance(model, MapNode):
        if isinstance(model, ScalarNode) and text_of(model) == "bond":
            return {"bond": {"members": ["en*"]}}
        return {}
    read = Reader(model, f"{reader.path}.network_model", journal)
    kind, vlan = read.text("type") or "singlenic", read.text("vlan_id")
    mode, match = read.text("bond_mode"), read.text("bond_interface_match")
    read.rest()
    found: dict[str, Any] = {}
    if kind == "bond":
        found["bond"] = {"members": [match or "en*"]}
        if mode and mode in list(BondMode):
            found["bond"]["mode"] = mode
        elif mode:
            journal.left(read.at("bond_mode"), f"{read.path}.bond_mode: {mode}", f"none of {', '.join(BondMode)}")
    elif kind == "singlenic":
        found |= {"name": name} if name and is_interface_name(name) and reader.path.startswith("config.network.extra") else {}
    else:
        journal.left(read.at("type"), f"{read.path}.type: {kind}", "neither singlenic nor bond")
    if vlan and vlan.isascii() and vlan.isdecimal() and 1 <= int(vlan) <= 4094:
        found["vlan"] = int(vlan)
    elif vlan:
        journal.left(read.at("vlan_id"), f"{read.path}.vlan_id: {vlan[:20]}", "is no VLAN: 1 to 4094")
    return found


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
