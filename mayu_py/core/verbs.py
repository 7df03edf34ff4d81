"""What an operator may do to a host. Each verb is a value; `carry_out` makes of it the changes, and the line in the history.

What the config says of a host is changed in the config: a verb that would contradict it is refused with the place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias, assert_never

from mayu_py.core.hosts import Host
from mayu_py.core.inventory import Changes, Edits, Inventory, Note
from mayu_py.core.settings import Settings
from mayu_py.errors import VerbRefused


class Fact(StrEnum):
    """The single-valued facts that operators note."""

    PROVIDER_ID = "provider_id"
    IPMI_ADDRESS = "ipmi_address"
    CABINET = "cabinet"
    ETCD_TOKEN = "etcd_token"


@dataclass(frozen=True, slots=True)
class SetFact:
    """Note a fact; an empty value forgets it."""

    fact: Fact
    value: str


@dataclass(frozen=True, slots=True)
class Label:
    """Set a metadata entry; None removes it."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Override:
    """Lay a value over what the config gives the host's template; None as `value` with `remove` takes it away."""

    key: str
    value: Any = None
    remove: bool = False


@dataclass(frozen=True, slots=True)
class Pin:
    """Give an enrolled host a profile; None takes it away."""

    profile: str | None


@dataclass(frozen=True, slots=True)
class UseImage:
    """Have the host boot another image than its profile's; None goes back to that."""

    image: str | None


@dataclass(frozen=True, slots=True)
class Reinstall:
    """Have a host that runs from its disk be installed anew at its next boot."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget an enrolled host. Its address is free again."""


Verb: TypeAlias = SetFact | Label | Override | Pin | UseImage | Reinstall | Delete


def carry_out(verb: Verb, host: Host, by: str, inventory: Inventory, settings: Settings) -> Changes:
    """The changes that a verb makes, noted as `by`'s doing. Raises VerbRefused with the reason and a way out."""
    edits = inventory.edits.get(host.name, Edits())
    match verb:
        case SetFact(fact, value):
            facts: Any = {fact.value: value}
            return _edit(host, by, replace(edits, facts=replace(edits.facts, **facts)), "set", facts)
        case Label(key, value):
            metadata = _with(edits.facts.metadata, key, value, remove=value is None)
            return _edit(host, by, replace(edits, facts=replace(edits.facts, metadata=metadata)), "label", {key: value})
        case Override(key, value, remove):
            values = _with(edits.values, key, value, remove=remove)
            return _edit(host, by, replace(edits, values=values), "override", {key: None if remove else value})
        case Pin(profile):
            _check_pin(profile, host, settings)
            return _edit(host, by, replace(edits, profile=profile), "pin", {"from": host.profile, "to": profile})
        case UseImage(image):
            if image is not None and image not in settings.images:
                raise VerbRefused(f"there is no image {image!r}", hint=f"images: {', '.join(sorted(settings.images)) or 'none'}")
            return _edit(host, by, replace(edits, image=image), "image", {"from": host.image, "to": image})
        case Reinstall():
            return Changes(fresh=(host.name,), notes=(Note("reinstall", host, {"by": by}),))
        case Delete():
            if host.is_configured:
                raise VerbRefused(f"{host.name} is named in the config ({host.origin})", hint="take it out of the config file")
            return Changes(gone=(host.name,), notes=(Note("deleted", host, {"by": by, "address": str(host.address)}),))
        case _:
            assert_never(verb)


def _edit(host: Host, by: str, edits: Edits, kind: str, detail: Mapping[str, Any]) -> Changes:
    return Changes(edits={host.name: edits}, notes=(Note(kind, host, {"by": by, **detail}),))


def _with(values: Mapping[str, Any], key: str, value: Any, *, remove: bool) -> Mapping[str, Any]:
    rest = {name: held for name, held in values.items() if name != key}
    return rest if remove else {**rest, key: value}


def _check_pin(profile: str | None, host: Host, settings: Settings) -> None:
    if host.is_configured:
        raise VerbRefused(f"the config gives {host.name} its profile ({host.origin})", hint="change it in the config file")
    if profile is not None and settings.profile(profile) is None:
        names = ", ".join(sorted(known.name for known in settings.profiles))
        raise VerbRefused(f"there is no profile {profile!r}", hint=f"profiles: {names or 'none'}")
