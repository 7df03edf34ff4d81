"""To older specs, which Ignition cannot do: without loss or not at all.

A config goes down when the older spec has all its fields, accepts all its values, and means the same by them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from ignition import model
from ignition.errors import Severity
from ignition.model import Config, Part, Path
from ignition.model.shape import fields, replace
from ignition.rules.places import Broken
from ignition.rules.walk import broken_rules
from ignition.specs.lifting import MASKING, SPECIAL_BITS
from ignition.specs.versions import SPECS, Spec

P = TypeVar("P", bound=Part)


class Loss(NamedTuple):
    """What an older spec cannot hold: where it is, why, and the spec that can."""

    path: Path
    message: str
    since: Spec

    @property
    def remedy(self) -> str:
        return f"Ignition {self.since.release} and newer read spec {self.since}"


def lower(config: Config, own: Spec, target: Spec) -> tuple[Config, list[Loss]]:
    """Return the config in the older spec, and what is lost on the way there; only without losses is it the same config."""
    stripped = _strip(config, target.minor).in_version(target.version)
    losses = [
        *_unknown_fields(config, (), target.minor, target),
        *_special_modes(config, own, target),
        *_rejections(config, stripped, own, target),
    ]
    return stripped, losses


def errors_of(config: Config, spec: Spec) -> list[Broken]:
    """Return the rules of the spec that the config breaks, but not the warnings."""
    return [broken for broken in broken_rules(config, spec.minor) if broken.severity is Severity.ERROR]


def _strip(part: P, minor: int) -> P:
    """Leave out every field that spec 3.`minor` does not know."""
    changes: dict[str, Any] = {}
    for field in fields(type(part)):
        value = getattr(part, field.attribute)
        if field.since > minor:
            changes[field.attribute] = field.default
        elif field.is_part and value:
            changes[field.attribute] = tuple(_strip(item, minor) for item in value) if field.is_list else _strip(value, minor)
    return replace(part, **changes)


def _unknown_fields(part: Part, path: Path, floor: int, target: Spec) -> Iterator[Loss]:
    """Name the fields newer than the target; within such a field, only those that are newer still."""
    for field in fields(type(part)):
        value = getattr(part, field.attribute)
        if value == field.default or value is None:
            continue
        inner = (*path, field.key)
        if field.since > floor:
            since = SPECS[field.since]
            yield Loss(inner, f"spec {target} has no such field; spec {since} brought it", since)
        for step, item in _parts(value):
            yield from _unknown_fields(item, inner + step, max(floor, field.since), target)


def _parts(value: Any) -> Iterator[tuple[Path, Part]]:
    """The parts that a field holds, each with its steps below the field."""
    if isinstance(value, Part):
        yield (), value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            if isinstance(item, Part):
                yield (index,), item


def _special_modes(config: Config, own: Spec, target: Spec) -> Iterator[Loss]:
    """Special mode bits are no error in an older spec: they have no effect there."""
    since = next((SPECS[minor] for minor in reversed(MASKING) if target.minor < minor <= own.minor), None)
    if since is None or config.storage is None:
        return
    lists: tuple[tuple[str, tuple[model.Directory | model.File, ...]], ...] = (
        ("directories", config.storage.directories),
        ("files", config.storage.files),
    )
    for key, nodes in lists:
        for index, node in enumerate(nodes):
            if node.mode is not None and node.mode & SPECIAL_BITS:
                message = f"setuid, setgid and sticky have no effect in spec {target}; spec {since} brought them"
                yield Loss(("storage", key, index, "mode"), message, since)


def _rejections(config: Config, stripped: Config, own: Spec, target: Spec) -> Iterator[Loss]:
    """Name the values that the target refuses. A rule that only breaks because a field was left out is no news."""
    whole = set(errors_of(config, target))
    for broken in dict.fromkeys(errors_of(stripped, target)):
        if broken in whole:
            newer = SPECS[target.minor + 1 : own.minor + 1]
            since = next(spec for spec in newer if broken not in errors_of(config, spec))
            yield Loss(broken.path, f"{broken.message} in spec {target}; spec {since} accepts it", since)
