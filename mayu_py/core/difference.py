"""What is different between two configs: names only, so that it may be shown to anybody."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mayu_py.core.settings import Settings

_NAMED = ("networks", "images", "profiles", "hosts")


@dataclass(frozen=True, slots=True)
class Delta:
    """Names that came, went, and whose record is another one; each sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def as_detail(self) -> dict[str, list[str]]:
        """For the history: without what is empty."""
        return {each.name: list(getattr(self, each.name)) for each in fields(self) if getattr(self, each.name)}


@dataclass(frozen=True, slots=True)
class Difference:
    """`settings` are the keys of everything that has no name; `configs` the hosts that are served another config from now on."""

    networks: Delta = Delta()
    images: Delta = Delta()
    profiles: Delta = Delta()
    hosts: Delta = Delta()
    settings: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()

    def as_detail(self) -> dict[str, Any]:
        """For the history: without what is empty."""
        named = {kind: getattr(self, kind).as_detail() for kind in _NAMED}
        plain = {"settings": list(self.settings), "configs": list(self.configs)}
        return {key: value for key, value in (named | plain).items() if value}

    def __str__(self) -> str:
        counted = [
            f"{len(names)} {kind if len(names) > 1 else kind.removesuffix('s')} {how}"
            for kind in _NAMED
            for how, names in getattr(self, kind).as_detail().items()
        ]
        if self.settings:
            counted.append(f"{', '.join(self.settings)} changed")
        if self.configs:
            counted.append(f"{len(self.configs)} served another config")
        return "; ".join(counted) or "nothing is different"


def compare(old: Settings, new: Settings, served: Mapping[str, str], serving: Mapping[str, str]) -> Difference:
    """From one config to another. `served` and `serving` are host name -> the digest of what it is served under each."""
    return Difference(
        **{kind: _delta(_by_name(getattr(old, kind)), _by_name(getattr(new, kind))) for kind in _NAMED},
        settings=tuple(
            each.name
            for each in fields(Settings)
            if each.compare and each.name not in _NAMED and getattr(old, each.name) != getattr(new, each.name)
        ),
        configs=tuple(sorted(name for name in served.keys() & serving.keys() if served[name] != serving[name])),
    )


def _by_name(values: Any) -> Mapping[str, Any]:
    return values if isinstance(values, Mapping) else {value.name: value for value in values}


def _delta(old: Mapping[str, Any], new: Mapping[str, Any]) -> Delta:
    return Delta(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
    )
