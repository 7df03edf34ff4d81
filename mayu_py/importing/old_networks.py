"""`network` of Mayu's config.yaml, of both generations: NICs, their addresses and routes, as our networks."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ignition.document import MapNode, ScalarNode, to_data
from mayu_py.core.nics import BondMode, is_interface_name
from mayu_py.importing.reading import Reader
from mayu_py.importing.report import Journal
from mayu_py.importing.yaml_text import text_of

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_OWN_ADDRESS = "a machine has its own address from its first packet on"


def cluster_network(network: Reader) -> dict[str, Any]:
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


def networks(network: Reader, journal: Journal) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Our networks, the one that hosts boot from first; and which of them each extra NIC is in, by the NICs' names."""
    address = network.address("bind_addr")
    primary = network.below("primary_nic") if "primary_nic" in network.entries else network
    interface = _boot_interface(network, journal)
    interface = interface or network.text("interface") or primary.text("interface_name")
    if "uefi" in network.entries:
        journal.changed(network.at("uefi"), "network.uefi", "BIOS and UEFI machines are told apart by what they say in DHCP")
    if network.get("bootstrap_range") is not None:
        journal.dropped(network.at("bootstrap_range"), "network.bootstrap_range", _OWN_ADDRESS)
    first = _network("primary", primary, address, journal)
    if first is None or address is None or not interface:
        journal.left(network.mark, "config.network", "`bind_addr`, an interface and a range are needed for a network")
        first = first or {"name": "primary"}
    if interface and address:
        first |= {"interface": interface, "address": str(address)}
    ntp = network.addresses("ntp")
    if ntp:
        first["ntp"] = ntp
    nics: dict[str, str] = {}
    extra = list(_extra(network, nics, journal))
    if primary is not network:
        primary.rest()
    return [first, *extra], nics


def _boot_interface(network: Reader, journal: Journal) -> str | None:
    """`pxe.pxe_interface`, of which only the name has a meaning here."""
    pxe = network.below("pxe") if isinstance(network.get("pxe"), MapNode) else Reader(None, "config.network.pxe", journal)
    boot = pxe.below("pxe_interface")
    pxe.get("enabled")
    pxe.rest()
    for key in ("uefi", "interface"):
        network.get(key)
    if boot.get("ip_range") is not None:
        journal.dropped(boot.at("ip_range"), "pxe_interface.ip_range", _OWN_ADDRESS)
    for key in ("subnet_size", "subnet_gateway", "dns", "routes", "network_model"):
        boot.get(key)
    name = boot.text("interface_name")
    boot.rest()
    return name


def _extra(network: Reader, nics: dict[str, str], journal: Journal) -> Iterator[dict[str, Any]]:
    """The networks of extra NICs; fills in `nics`."""
    for n, node in enumerate(network.items("extra_nics")):
        reader = Reader(node if isinstance(node, MapNode) else None, f"config.network.extra_nics[{n}]", journal)
        name = reader.text("interface_name") or ""
        label = name.lower() if _LABEL.fullmatch(name.lower()) else f"extra-{n + 1}"
        if label != name:
            journal.changed(reader.mark, f"NIC {name}", f"its network is called {label}")
        found = _network(label, reader, None, journal)
        reader.rest()
        if found is not None and label not in nics.values():
            nics[name] = label
            yield {"name": label, "extra": True, **found}


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
