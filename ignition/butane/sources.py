"""Which value of a Butane document a value of the Ignition config comes from, also when generated parts are merged into it.

Butane keeps a set of translations from paths to paths (translate/set.go). What it does not hold is taken to stand at the same
path in snake_case, so only what differs is kept here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ignition import model
from ignition.merging import merge_in_spec
from ignition.model import Path
from ignition.model.dialects import snake
from ignition.model.shape import Field, fields, identity


@dataclass
class Sources:
    """Paths of the Butane document by paths of the Ignition config."""

    paths: dict[Path, Path] = field(default_factory=dict)

    def add(self, source: Path, *targets: Path) -> None:
        self.paths.update(dict.fromkeys(targets, source))

    def add_all(self, source: Path, target: Path, value: Any) -> None:
        """Say that a value and everything in it comes from one place."""
        self.add(source, target, *(target + inner for inner in _inner_paths(value)))

    def of(self, target: Path) -> Path:
        return self.paths.get(target) or tuple(step if isinstance(step, int) else snake(step) for step in target)


class Sourced(NamedTuple):
    """A config and where its values come from."""

    config: model.Config
    sources: Sources


def merge_sourced(generated: Sourced, own: Sourced) -> Sourced:
    """Lay a document's own config over what was generated from it."""
    merged = merge_in_spec(generated.config, own.config)
    paths: dict[Path, Path] = {}
    for is_own, origin, target in _trace_parts(generated.config, own.config, (), (), ()):
        paths[target] = (own if is_own else generated).sources.of(origin)
    return Sourced(merged, Sources(paths))


class _Step(NamedTuple):
    """A value of the merged config is one of the own config, or one of the generated."""

    is_own: bool
    origin: Path
    target: Path


def _trace_parts(old: Any, new: Any, old_path: Path, new_path: Path, target: Path) -> Iterator[_Step]:
    """Follow a merge as Ignition transcribes it: what both sides have comes from the own config."""
    for field_ in _fields_of(new):
        before, after = getattr(old, field_.attribute), getattr(new, field_.attribute)
        places = (*old_path, field_.key), (*new_path, field_.key), (*target, field_.key)
        if field_.is_list:
            yield from _trace_lists(before, after, *places, is_repeatable=field_.space is None)
        elif field_.is_part and before and after:
            yield from _trace_parts(before, after, *places)
            yield _Step(True, places[1], places[2])
        elif after is not None and after != field_.default:
            yield from _trace_value(after, True, places[1], places[2])
        elif before is not None and before != field_.default:
            yield from _trace_value(before, False, places[0], places[2])


def _trace_lists(
    old: tuple[Any, ...], new: tuple[Any, ...], old_path: Path, new_path: Path, target: Path, *, is_repeatable: bool
) -> Iterator[_Step]:
    own = {} if is_repeatable else {identity(item): index for index, item in enumerate(new)}
    known = set() if is_repeatable else {identity(item) for item in old}
    for index, item in enumerate(old):
        match = None if is_repeatable else own.get(identity(item))
        if match is None:
            yield from _trace_value(item, False, (*old_path, index), (*target, index))
        elif isinstance(item, model.Part):
            yield from _trace_parts(item, new[match], (*old_path, index), (*new_path, match), (*target, index))
            yield _Step(True, (*new_path, match), (*target, index))
        else:
            yield _Step(True, (*new_path, match), (*target, index))
    rest = (index for index, item in enumerate(new) if is_repeatable or identity(item) not in known)
    for place, index in enumerate(rest, start=len(old)):
        yield from _trace_value(new[index], True, (*new_path, index), (*target, place))
    if old or new:
        yield _Step(bool(new), new_path if new else old_path, target)


def _trace_value(value: Any, is_own: bool, origin: Path, target: Path) -> Iterator[_Step]:
    for inner in _inner_paths(value):
        yield _Step(is_own, origin + inner, target + inner)
    yield _Step(is_own, origin, target)


def _fields_of(part: model.Part) -> tuple[Field, ...]:
    return fields(type(part))


def _inner_paths(value: Any) -> Iterator[Path]:
    """Yield the paths of everything that is set in a value, below it."""
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, tuple):
        inner = enumerate(value)
    elif isinstance(value, model.Part):
        inner = ((field_.key, getattr(value, field_.attribute)) for field_ in _fields_of(value))
    for step, child in inner:
        if child is not None and child != () and child != "":
            yield (step,)
            yield from ((step, *path) for path in _inner_paths(child))
