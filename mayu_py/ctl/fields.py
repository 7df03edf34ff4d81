"""Fields of hosts by dotted names, such as `facts.cabinet` or `facts.metadata.rack`: choosing, reading and sorting by them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mayu_py.errors import MayuError

# What anybody may add a key to; a host that lacks it is not mistaken.
OPEN = ("addresses", "facts.metadata", "values")


def flat(host: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a host by their dotted names. What anybody may add keys to is one field."""
    for key, value in host.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in OPEN:
            yield from flat(value, f"{name}.")
        else:
            yield name, value


def read(host: Mapping[str, Any], name: str) -> Any:
    """The value of a field; None where the host has none. A key may have dots in it itself."""
    found: Any = host
    rest = name
    while rest:
        if not isinstance(found, dict):
            return None
        key = rest if rest in found else rest.partition(".")[0]
        found, rest = found.get(key), rest[len(key) + 1 :]
    return found


def chosen(text: str, hosts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields in a list with commas. Raises MayuError for one that no host can have, with those that there are."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise MayuError("no field is named", hint="as in --fields name,state,facts.cabinet")
    known = dict.fromkeys(name for host in hosts for name, _ in flat(host))
    groups = {".".join(name.split(".")[:depth]) for name in known for depth in range(1, name.count(".") + 1)}
    for name in names:
        if hosts and not (name in known or name in groups or any(f"{each}." in name and each in known for each in OPEN)):
            raise MayuError(f"there is no field {name!r}", hint=f"fields: {', '.join(known)}")
    return names


def ordered(hosts: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Sorted by a field, as people count: node-9 before node-10, and what lacks it last. `-name` turns the order round."""
    backwards, name = name.startswith("-"), name.removeprefix("-")
    chosen(name, hosts)
    present = [host for host in hosts if read(host, name) not in (None, "")]
    lacking = [host for host in hosts if read(host, name) in (None, "")]
    return sorted(present, key=lambda host: natural(str(read(host, name))), reverse=backwards) + lacking


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbers within texts as numbers. ASCII digits only: others are letters here."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts)
