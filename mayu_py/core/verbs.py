"""What an operator may do to a host. Each verb is a value; `carry_out` makes of it the changes, and the line in the history.

What the config says of a host is changed in the config: a verb that would contradict it is refused with the place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias, assert_never

from mayu_py.core.exchange import Became, Event, Learned
from mayu_py.core.hosts import Host, State
from mayu_py.core.inventory import Changes, Edits, Inventory, Note
from mayu_py.core.settings import Install, Settings
from mayu_py.errors import Outdated, VerbRefused


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


@dataclass(frozen=True, slots=True)
class SetState:
    """Move a host in the state machine; `os_version` is what it runs, for a host that cannot say so itself."""

    state: State
    text: str = ""
    os_version: str = ""


@dataclass(frozen=True, slots=True)
class MarkFresh:
    """Treat a host as if it had just been given its profile: its state begins anew, and its next boot installs it."""


@dataclass(frozen=True, slots=True)
class MarkInstalled:
    """Have a host whose profile installs once boot from its disk from now on."""


@dataclass(frozen=True, slots=True)
class Together:
    """Several verbs in one step: all of them, or none. `seen` is the host as the operator saw it, if that matters."""

    verbs: "tuple[Verb, ...]"
    seen: Host | None = None


Verb: TypeAlias = (
    SetFact | Label | Override | Pin | UseImage | Reinstall | Delete | SetState | MarkFresh | MarkInstalled | Together
)


def carry_out(verb: Verb, host: Host, by: str, inventory: Inventory, settings: Settings) -> Changes:
    """The changes that a verb makes, noted as `by`'s doing. Raises VerbRefused with the reason and a way out."""
    edits = inventory.edits.get(host.name, Edits())
    match verb:
        case SetFact(fact, value):
            facts: Any = {fact.value: value}
            # The history is for everyone who may look; a token that lets machines join a cluster is not.
            shown = {fact.value: "(secret)"} if fact is Fact.ETCD_TOKEN and value else facts
            return _edit(host, by, replace(edits, facts=replace(edits.facts, **facts)), "set", shown)
        case Label(key, value):
            metadata = _with(edits.facts.metadata, key, value, remove=value is None)
            return _edit(host, by, replace(edits, facts=replace(edits.facts, metadata=metadata)), "label", {key: value})
        case Override(key, value, remove):
            values = _with(edits.values, key, value, remove=remove)
            # Values may be secrets, as facts may: the history says which was set, not to what.
            return _edit(host, by, replace(edits, values=values), "override", {key: None if remove else "(set)"})
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
            address = str(host.address) if host.address else None
            return Changes(gone=(host.name,), notes=(Note("deleted", host, {"by": by, "address": address}),))
        case SetState():
            return _move(verb, host, by, settings)
        case MarkFresh():
            return Changes(fresh=(host.name,), anew=(host.name,), notes=(Note("fresh", host, {"by": by}),))
        case MarkInstalled():
            if not _installs_once(host, settings):
                why = f"{host.name} is given its image at every boot"
                raise VerbRefused(why, hint="set `install: once` for its profile in the config file")
            return Changes(settled=(host.name,), notes=(Note("installed", host, {"by": by}),))
        case Together(verbs, seen):
            if seen is not None and seen != host:
                raise Outdated(f"{host.name} has changed meanwhile", hint="read it again, and decide again")
            return _together(verbs, host, by, inventory, settings)
        case _:
            assert_never(verb)


def _move(verb: SetState, host: Host, by: str, settings: Settings) -> Changes:
    once = verb.state is State.RUNNING and _installs_once(host, settings)
    if verb.state is State.CONFIGURED and host.profile is None:
        raise VerbRefused(f"{host.name} has no profile", hint="give it one; that makes it configured")
    learned = (Learned(host, os_version=verb.os_version),) if verb.os_version else ()
    events: tuple[Event, ...] = (Became(host, verb.state, verb.text, installed=once), *learned)
    return Changes(events=events, notes=(Note("set-state", host, {"by": by, "to": verb.state}),))


def _installs_once(host: Host, settings: Settings) -> bool:
    profile = settings.profile(host.profile or "")
    return profile is not None and profile.install is Install.ONCE


def _together(verbs: tuple[Verb, ...], host: Host, by: str, inventory: Inventory, settings: Settings) -> Changes:
    """The sum of the steps; each one sees the edits of those before it."""
    steps: list[Changes] = []
    for verb in verbs:
        steps.append(carry_out(verb, host, by, inventory, settings))
        inventory = replace(inventory, edits={**inventory.edits, **steps[-1].edits})
    return Changes(
        edits={name: edits for step in steps for name, edits in step.edits.items()},
        gone=tuple(name for step in steps for name in step.gone),
        fresh=tuple(name for step in steps for name in step.fresh),
        settled=tuple(name for step in steps for name in step.settled),
        anew=tuple(name for step in steps for name in step.anew),
        events=tuple(event for step in steps for event in step.events),
        notes=tuple(note for step in steps for note in step.notes),
    )


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
