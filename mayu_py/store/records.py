"""Hosts and operators' edits as JSON, the form in which a store keeps and exports them."""

import json
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from mayu_py.core.hosts import ENROLLED, Facts, Host, Mac, Uuid
from mayu_py.core.inventory import Edits


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
