"""What the rules of a config have in common: names, and values that may stand only once."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from ignition.document import Origin, Problem

# A DNS label (RFC 1123), and a name that may stand in a URL.
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
URL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
LABEL_HINT = "lower-case letters, digits and '-', 63 at most (RFC 1123)"


def usable(subnet: IPv4Network) -> str:
    """The addresses of a subnet that hosts may have, for a hint."""
    return f"use one of {subnet.network_address + 1} to {subnet.broadcast_address - 1}"


def listed(names: Iterable[str]) -> str:
    """Names for a hint."""
    return ", ".join(sorted(names)) or "none"


def unique(values: Iterable[tuple[str, Origin, tuple[str | int, ...]]], what: str) -> Iterator[Problem]:
    """One error at every later occurrence of a value, naming the first. Values come with where they stand."""
    first: dict[str, str] = {}
    for value, origin, steps in values:
        if value in first:
            yield origin.error(f"{what} {value} is used twice", *steps, hint=f"it was first used at {first[value]}")
        else:
            first[value] = str(origin.at(*steps))
