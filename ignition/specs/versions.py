"""The stable versions of Ignition's config specification 3 and the Ignition release that first read each (docs/specs.md)."""

import re
from dataclasses import dataclass
from typing import Final

# coreos/go-semver takes 3.03.0 and 3.3.0+ for 3.3.0, so a config that Ignition accepts may be written that way.
_OWN = re.compile(r"0*3\.0*(?P<minor>[0-9])\.0+-?\+?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Spec:
    """A stable version of the specification: 3.`minor`.0, first read by Ignition `release`."""

    minor: int
    release: str

    @property
    def version(self) -> str:
        return f"3.{self.minor}.0"

    def __str__(self) -> str:
        return self.version


SPECS: Final = tuple(Spec(minor, release) for minor, release in enumerate(("2.0", "2.3", "2.7", "2.11", "2.15", "2.20", "2.26")))
OLDEST: Final = SPECS[0]
NEWEST: Final = SPECS[-1]
_BY_VERSION = {spec.version: spec for spec in SPECS}


class UnknownSpec(Exception):
    """A spec version is none of the stable versions of spec 3. The message names those; `version` is the one asked for."""

    def __init__(self, version: str, subject: str = "the spec asked for") -> None:
        known = ", ".join(_BY_VERSION)
        draft = "; experimental specs change from release to release" if "-experimental" in version else ""
        super().__init__(f"{subject} is {version[:40]!r}; known are {known}{draft}")
        self.version = version


def spec_named(version: str) -> Spec:
    """Return the spec of a version such as `3.4.0`, written exactly so; raise UnknownSpec for any other text."""
    spec = _BY_VERSION.get(version)
    if spec is None:
        raise UnknownSpec(version)
    return spec


def spec_of(version: str) -> Spec:
    """Return the spec that a config's own `ignition.version` means to Ignition; raise UnknownSpec when it is none."""
    found = _OWN.fullmatch(version)
    if found is None or int(found["minor"]) > NEWEST.minor:
        raise UnknownSpec(version, "the config's spec")
    return SPECS[int(found["minor"])]
