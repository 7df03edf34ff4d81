"""Hosts and operators' edits as JSON, the form in which a store keeps and exports them; and a whole inventory, for who asks."""

import json
from collections.abc import Collection, Mapping
from dataclasses import fields
from ipaddress import IPv4Address
from typing import Any

from mayu_py.core.hosts import ENROLLED, Facts, Host, Mac, Uuid
from mayu_py.core.inventory import Edits, Inventory, Told

_HOST = ("address", "addresses", "macs", "serial", "uuid", "profile")
_EDITS = ("profile", "image", "values", "facts")


def of_host(host: Host) -> dict[str, Any]:
    """An enrolled host, without its name."""
    return {
        "address": str(host.address) if host.address else None,
        "addresses": {network: str(address) for network, address in host.addresses.items()},
        "macs": list(host.macs),
        "serial": host.serial,
        "uuid": host.uuid,
        "profile": host.profile,
    }


def host(name: str, text: str) -> Host:
    """The enrolled host of that name. Raises ValueError, KeyError or TypeError when the text is no record."""
    record = json.loads(text)
    return Host(
        name=name,
        address=IPv4Address(record["address"]) if record["address"] else None,
        proxied=record["address"] is None,
        addresses={network: IPv4Address(address) for network, address in record["addresses"].items()},
        macs=tuple(Mac(mac) for mac in record["macs"]),
        serial=record["serial"],
        uuid=Uuid(record["uuid"]) if record["uuid"] else None,
        profile=record["profile"],
        origin=ENROLLED,
    )


def of_edits(edits: Edits) -> str:
    """What operators set for a host."""
    facts = {name: value if isinstance(value, str) else dict(value) for name, value in _facts(edits.facts).items()}
    return json.dumps({"profile": edits.profile, "image": edits.image, "values": dict(edits.values), "facts": facts})


def edits(text: str) -> Edits:
    """The reverse of `of_edits`. Raises ValueError, KeyError or TypeError when the text is no record."""
    record: Mapping[str, Any] = json.loads(text)
    return Edits(record["profile"], record["image"], record["values"], Facts(**record["facts"]))


def _facts(facts: Facts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in Facts.__dataclass_fields__}


_INVENTORY = ("revision", "enrolled", "told", "edits")
_TOLD = tuple(each.name for each in fields(Told))


def of_inventory(inventory: Inventory) -> dict[str, Any]:
    """All that the store adds to the config, hosts by their names."""
    return {
        "revision": inventory.revision,
        "enrolled": {host.name: of_host(host) for host in inventory.enrolled},
        "told": {name: _of_told(told) for name, told in inventory.told.items()},
        "edits": {name: json.loads(of_edits(edits)) for name, edits in inventory.edits.items()},
    }


def inventory(record: Mapping[str, Any]) -> Inventory:
    """The reverse of `of_inventory`. Raises ValueError, KeyError, TypeError or AttributeError when it is none.

    A key that is not known is an error: what it means for the hosts is not known either.
    """
    only(record, _INVENTORY)
    return Inventory(
        record["revision"],
        tuple(host(name, json.dumps(only(each, _HOST))) for name, each in record["enrolled"].items()),
        {name: _told(only(each, _TOLD)) for name, each in record["told"].items()},
        {name: edits(json.dumps(only(each, _EDITS))) for name, each in record["edits"].items()},
    )


def only(record: Mapping[str, Any], known: Collection[str]) -> Mapping[str, Any]:
    """The record. Raises ValueError when it has a key that is not known."""
    if unknown := record.keys() - set(known):
        raise ValueError(f"the key {min(unknown)!r} is not known")
    return record


def _of_told(told: Told) -> dict[str, Any]:
    address = str(told.address) if told.address else None
    return {**{name: getattr(told, name) for name in _TOLD}, "address": address}


def _told(record: Mapping[str, Any]) -> Told:
    uuid, address = record["uuid"], record["address"]
    return Told(
        record["serial"],
        Uuid(uuid) if uuid else None,
        record["os_version"],
        record["installed"],
        IPv4Address(address) if address else None,
    )
