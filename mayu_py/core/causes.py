"""Why a host is served something else: found by experiment, not guessed.

Everything that goes into a host's config is an `Aspect`. One that differs between two configs is a cause if changing it alone
changes what is rendered, or if leaving it alone as it was does.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ignition.document import DocumentError
from ignition.render import Template
from mayu_py.core.hosts import Host
from mayu_py.core.render import Renderer, ServedConfig
from mayu_py.core.settings import HostEntry, Profile, Settings

_MOST_REGIONS = 3
_ABSENT: Any = object()
# What of a record and of a profile goes into no config, or is an aspect of its own.
_HOST_FIELDS = ("profile", "image", "address", "addresses", "macs", "serial", "uuid", "facts")
_PROFILE_FIELDS = tuple(
    each.name for each in fields(Profile) if each.name not in ("name", "ignition", "values", "quantity", "origin")
)
_SETTINGS_FIELDS = ("networks", "images", "http", "dns")


@dataclass(frozen=True, slots=True)
class Source:
    """The template of a profile: where it is, and its text."""

    path: Path
    text: str
    template: Template


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that one host's config is made of."""

    settings: Settings
    sources: Mapping[str, Source]
    host: Host


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a host is served: its config and its kernel's arguments; or why there are none."""

    config: ServedConfig | None = None
    arguments: tuple[str, ...] = ()
    problem: str = ""

    def differs(self, other: "Outcome") -> bool:
        """Whether the machine would notice."""
        mine, others = (each.config.sha256 if each.config else "" for each in (self, other))
        return (mine, self.arguments, self.problem) != (others, other.arguments, other.problem)


@dataclass(frozen=True, slots=True)
class Aspect:
    """One thing that differs. `place` is a file and line, or who set it; `swap` takes it over from the second inputs."""

    name: str
    place: str
    swap: Callable[[Inputs, Inputs], Inputs]


def outcome(inputs: Inputs, renderer: Renderer | None = None) -> Outcome:
    """Render. What cannot be rendered is an outcome too."""
    if inputs.host.profile is None:
        return Outcome()
    made = renderer or Renderer(inputs.settings, {name: source.template for name, source in inputs.sources.items()})
    try:
        return Outcome(made.config(inputs.host), made.arguments(inputs.host))
    except DocumentError as error:
        return Outcome(problem=str(error))
    except LookupError:
        return Outcome(problem=f"there is no profile or image for {inputs.host.name}")


def causes(old: Inputs, new: Inputs) -> tuple[Aspect, ...]:
    """The aspects to which the difference is due. Empty if only several of them together make it."""
    before, after = outcome(old), outcome(new)
    return tuple(
        aspect
        for aspect in aspects(old, new)
        if outcome(aspect.swap(old, new)).differs(before) or outcome(aspect.swap(new, old)).differs(after)
    )


def aspects(old: Inputs, new: Inputs) -> Iterator[Aspect]:
    """Everything that differs."""
    profile = new.settings.profile(new.host.profile or "")
    former = old.settings.profile(old.host.profile or "")
    yield from _template(old, new)
    for name in _HOST_FIELDS:
        if getattr(old.host, name) != getattr(new.host, name):
            yield Aspect(f"host.{name}", _host_place(new, name), _swap_host(name))
    before, after = _values(old, former), _values(new, profile)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key, _ABSENT) != after.get(key, _ABSENT):
            yield Aspect(f"values.{key}", _value_place(key, old, new), _swap_value(key))
    for name in _PROFILE_FIELDS if profile and former and profile.name == former.name else ():
        if getattr(former, name) != getattr(profile, name):
            assert profile is not None
            yield Aspect(f"profile.{name}", str(profile.origin.at(name)), _swap_profile(name))
    for name in _SETTINGS_FIELDS:
        if getattr(old.settings, name) != getattr(new.settings, name):
            yield Aspect(name, str(new.settings.origin.at(name)), _swap_settings(name))


def _template(old: Inputs, new: Inputs) -> Iterator[Aspect]:
    name = new.host.profile or ""
    before, after = old.sources.get(name), new.sources.get(name)
    if before is None or after is None or before.text == after.text:
        return

    def swap(base: Inputs, donor: Inputs) -> Inputs:
        return replace(base, sources={**base.sources, name: donor.sources[name]})

    yield Aspect("template", f"{after.path}:{', '.join(regions(before.text, after.text))}", swap)


def regions(before: str, after: str) -> list[str]:
    """The lines of the new text that are not those of the old one: `12` or `12-14`; where lines went, the line after them."""
    matcher = difflib.SequenceMatcher(a=before.splitlines(), b=after.splitlines(), autojunk=False)
    found = [(first + 1, max(first + 1, last)) for tag, _, _, first, last in matcher.get_opcodes() if tag != "equal"]
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in found]
    return texts if len(texts) <= _MOST_REGIONS else [*texts[:_MOST_REGIONS], "..."]


def _values(inputs: Inputs, profile: Profile | None) -> dict[str, Any]:
    return {**inputs.settings.templates_env, **(profile.values if profile else {}), **inputs.host.values}


def _swap_host(name: str) -> Callable[[Inputs, Inputs], Inputs]:
    def swap(base: Inputs, donor: Inputs) -> Inputs:
        changed: dict[str, Any] = {name: getattr(donor.host, name)}
        return replace(base, host=replace(base.host, **changed))

    return swap


def _swap_value(key: str) -> Callable[[Inputs, Inputs], Inputs]:
    """The value as the template sees it: from whichever layer the donor has it, laid over all layers of the base."""

    def swap(base: Inputs, donor: Inputs) -> Inputs:
        value = _values(donor, donor.settings.profile(donor.host.profile or "")).get(key, _ABSENT)
        if value is not _ABSENT:
            return replace(base, host=replace(base.host, values={**base.host.values, key: value}))
        profiles = tuple(replace(each, values=_without(each.values, key)) for each in base.settings.profiles)
        settings = replace(base.settings, profiles=profiles, templates_env=_without(base.settings.templates_env, key))
        return replace(base, settings=settings, host=replace(base.host, values=_without(base.host.values, key)))

    return swap


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _swap_profile(name: str) -> Callable[[Inputs, Inputs], Inputs]:
    def swap(base: Inputs, donor: Inputs) -> Inputs:
        other = donor.settings.profile(donor.host.profile or "")
        changed: dict[str, Any] = {name: getattr(other, name)}
        profiles = tuple(replace(each, **changed) if each.name == base.host.profile else each for each in base.settings.profiles)
        return replace(base, settings=replace(base.settings, profiles=profiles))

    return swap


def _swap_settings(name: str) -> Callable[[Inputs, Inputs], Inputs]:
    def swap(base: Inputs, donor: Inputs) -> Inputs:
        changed: dict[str, Any] = {name: getattr(donor.settings, name)}
        return replace(base, settings=replace(base.settings, **changed))

    return swap


def _entry(inputs: Inputs) -> HostEntry | None:
    return next((entry for entry in inputs.settings.hosts if entry.name == inputs.host.name), None)


def _host_place(inputs: Inputs, name: str) -> str:
    entry = _entry(inputs)
    return str(entry.origin.at(name)) if entry is not None and inputs.host.is_configured else inputs.host.origin


def _value_place(key: str, old: Inputs, new: Inputs) -> str:
    """Where the new value stands, or where the one stood that is gone."""
    for inputs in (new, old):
        entry, profile = _entry(inputs), inputs.settings.profile(inputs.host.profile or "")
        if entry is not None and key in entry.values:
            return str(entry.origin.at("values", key))
        if key in inputs.host.values:
            return "set by an operator"
        if profile is not None and key in profile.values:
            return str(profile.origin.at("values", key))
        if key in inputs.settings.templates_env:
            return str(inputs.settings.origin.at("templates_env", key))
    return ""
