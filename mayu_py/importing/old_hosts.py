"""Mayu's conf.json, one of each host, as hosts of the config and what the state keeps about them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from ignition.document import MapNode, Mark, Node, ScalarNode, to_data
from mayu_py.core.hosts import Facts, Mac, State, Uuid, real_serial
from mayu_py.importing.old_config import Config
from mayu_py.importing.reading import Reader
from mayu_py.importing.report import Journal
from mayu_py.importing.yaml_text import text_of

_GONE: Mapping[str, str] = {
    "Id": "hosts have names",
    "Enabled": "`mayuctl` decides; `ignored_hosts` get no answer",
    "ConnectedNIC": "a machine tells by its first packet which NIC it boots from",
    "BondInterfaces": "see `nic` of the network",
    "KeepDiskData": "Ignition decides what is written to disks",
    "FleetDisableEngine": "fleet is gone",
}
_VERSIONS = ("FlatcarVersion", "CoreOSVersion")
_STATES = {"unknown": State.CONFIGURED, "configured": State.CONFIGURED, "installing": State.INSTALLING, "running": State.RUNNING}
# What Go's time.Time is before anything was written into it.
_NEVER = "0001-01-01"
LONGEST = 253


@dataclass(frozen=True)
class OldHost:
    """One machine. `entry` is what the config says of it; `missing` is why that cannot stand there, empty when it can."""

    name: str
    entry: Mapping[str, Any]
    missing: str
    state: State
    facts: Facts
    os_version: str = ""
    last_boot: str | None = None
    mark: Mark = field(default=Mark("", 0, 0), compare=False)

    @property
    def serial(self) -> str | None:
        """Its serial."""
        return self.entry.get("serial")


@dataclass
class _Taken:
    """What only one host may have."""

    names: set[str] = field(default_factory=set)
    others: dict[str, str] = field(default_factory=dict)


def convert(records: Mapping[str, Node], config: Config, journal: Journal) -> list[OldHost]:
    """All hosts, by the names of their folders."""
    taken = _Taken(others={f"address {network['address']}": "mayu" for network in config.networks if "address" in network})
    taken.others |= {f"address {network['gateway']}": "the gateway" for network in config.networks if "gateway" in network}
    hosts = [_host(folder, node, config, taken, journal) for folder, node in sorted(records.items())]
    return [host for host in hosts if host is not None]


def _host(folder: str, node: Node, config: Config, taken: _Taken, journal: Journal) -> OldHost | None:
    if not isinstance(node, MapNode):
        journal.left(node.mark, "the host", f"an object is expected, here is {node.describe()}")
        return None
    reader = Reader(node, f"host {_printable(folder)}", journal)
    serial, missing = _identity(reader, folder)
    macs = [mac for mac in _macs(reader, journal) if _claim(taken, f"mac {mac}", reader, journal)]
    address = reader.address("InternalAddr")
    name = _name(reader, address, taken, journal)
    entry: dict[str, Any] = {"name": name}
    if serial and _claim(taken, f"serial {serial}", reader, journal):
        entry["serial"] = serial
    if (uuid := _uuid(serial)) is not None:
        entry["uuid"] = str(uuid)
    if macs:
        entry["macs"] = macs
    subnet = IPv4Network(config.networks[0]["subnet"]) if "subnet" in config.networks[0] else None
    if address is None or subnet is None or address not in subnet:
        missing = missing or f"its address {address} is not in the network {subnet}"
    elif _claim(taken, f"address {address}", reader, journal):
        entry["address"] = str(address)
    else:
        missing = missing or f"its address {address} is taken"
    extra = dict(_extra(reader, config, taken, journal))
    if extra:
        entry["addresses"] = extra
    profile = reader.text("Profile") or config.default_profile or ""
    entry["profile"] = profile
    if profile not in [each["name"] for each in config.profiles]:
        missing = missing or f"there is no profile {profile!r}"
    if not macs and uuid is None:
        missing = missing or "Mayu knew no MAC of it, and DHCP tells machines by nothing else: add `macs`"
    if values := _values(reader):
        entry["values"] = values
    host = _noted(OldHost(name, entry, missing, State.CONFIGURED, Facts(), mark=node.mark), reader, journal)
    reader.rest(_GONE)
    if missing:
        journal.left(node.mark, f"host {name}", missing)
    return host


def _identity(reader: Reader, folder: str) -> tuple[str | None, str]:
    told = reader.text("Serial") or folder
    serial = real_serial(told)
    if serial is None or len(serial) > LONGEST or not serial.isprintable():
        return None, f"its serial {_printable(told)[:40]!r} is none"
    return serial, ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _uuid(serial: str | None) -> Uuid | None:
    """Mayu called a machine by its UUID where it had no serial."""
    is_one = re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", serial or "", re.ASCII)
    return Uuid.parse(serial) if is_one and serial else None


def _claim(taken: _Taken, what: str, reader: Reader, journal: Journal) -> bool:
    if what in taken.others:
        journal.left(reader.mark, f"{reader.path}: {what}", f"{taken.others[what]} has it already")
        return False
    taken.others[what] = reader.path
    return True


def _name(reader: Reader, address: IPv4Address | None, taken: _Taken, journal: Journal) -> str:
    old = reader.text("Hostname") or reader.text("Name") or ""
    reader.asked.add("Name")
    name = re.sub(r"[^a-z0-9-]+", "-", old.lower().split(".")[0])[:63].strip("-")
    name = name or (str(address).replace(".", "-") if address else "host")
    number, base = 1, name[:58]
    while name in taken.names:
        number += 1
        name = f"{base}-{number}"
    taken.names.add(name)
    if name != old:
        journal.changed(reader.at("Hostname"), f"{reader.path}.Hostname: {_printable(old)[:60]!r}", f"is called {name}")
    return name


def _macs(reader: Reader, journal: Journal) -> Iterator[str]:
    for node in reader.items("MacAddresses"):
        try:
            yield str(Mac.parse(text_of(node) if isinstance(node, ScalarNode) else ""))
        except ValueError as error:
            journal.left(node.mark, f"{reader.path}.MacAddresses", str(error))


def _extra(reader: Reader, config: Config, taken: _Taken, journal: Journal) -> Iterator[tuple[str, str]]:
    subnets = {network["name"]: IPv4Network(network["subnet"]) for network in config.networks if "subnet" in network}
    addresses = reader.below("AdditionalAddrs")
    for nic in addresses.entries:
        address, network = addresses.address(nic), config.nics.get(nic)
        if network is None:
            journal.left(addresses.at(nic), f"{addresses.path}.{_printable(nic)}", "there is no such extra NIC in config.yaml")
        elif address is None or address not in subnets[network]:
            journal.left(addresses.at(nic), f"{addresses.path}.{nic}: {address}", f"is not in {subnets[network]}")
        elif _claim(taken, f"address {address}", reader, journal):
            yield network, str(address)


def _values(reader: Reader) -> dict[str, Any]:
    overrides = reader.get("Overrides")
    found = to_data(overrides) if isinstance(overrides, MapNode) else {}
    values = dict(found) if isinstance(found, dict) else {}
    machine_id = reader.text("MachineID")
    return {**values, **({"MachineID": machine_id} if machine_id else {})}


def _noted(host: OldHost, reader: Reader, journal: Journal) -> OldHost:
    """With what the state keeps."""
    told = reader.text("State") or "unknown"
    if told not in _STATES:
        journal.left(reader.at("State"), f"{reader.path}.State: {told[:40]}", "no state of a host; it is configured now")
    cabinet, place = reader.text("Cabinet") or "", reader.text("MachineOnCabinet") or ""
    metadata = [text_of(node) for node in reader.items("FleetMetadata") if isinstance(node, ScalarNode)]
    facts = Facts(
        provider_id=reader.text("ProviderId") or "",
        ipmi_address=reader.text("IPMIAddr") or "",
        cabinet=f"{cabinet}/{place}" if place not in ("", "0") else cabinet,
        etcd_token=reader.text("EtcdClusterToken") or "",
        metadata={**{key: value for key, _, value in (entry.partition("=") for entry in metadata)}, **_versions(reader)},
    )
    versions = [version for key in _VERSIONS if (version := reader.text(key))]
    state, boot = _STATES.get(told, State.CONFIGURED), _time(reader, journal)
    return replace(host, state=state, facts=facts, os_version=versions[0] if versions else "", last_boot=boot)


def _versions(reader: Reader) -> dict[str, str]:
    """The versions of other programs that Mayu kept beside that of the system."""
    keys = [key for key in reader.entries if key.endswith("Version") and key not in _VERSIONS]
    return {key: text for key in keys if (text := reader.text(key))}


def _time(reader: Reader, journal: Journal) -> str | None:
    text = reader.text("LastBoot")
    if not text or text.startswith(_NEVER):
        return None
    try:
        # Go writes nanoseconds, which Python's clock has not.
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        return at.astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        journal.left(reader.at("LastBoot"), f"{reader.path}.LastBoot: {text[:40]}", "is no time")
        return None
