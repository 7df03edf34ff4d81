"""A child config laid over its parent, as Ignition merges the configs that `ignition.config.merge` names.

The rules are those of coreos/ignition (config/merge/merge.go, with the keys of config/v3_6/types):

* A value of the child replaces the parent's; what the child leaves out stays the parent's.
* Entries of a list are matched by what identifies them: files by path, users by name, kernel arguments by themselves. Matching
  entries are merged where the parent has them; the child's other entries follow in their order.
* Files, directories and links are one space, and so are kernel arguments that should and should not exist: an entry of the
  child removes the parent's of another kind, and inherits nothing from it.
* Lists whose entries may repeat, such as a file's `append` and a tool's options, are the parent's and then the child's.
* An HTTP header of the child without a value removes the parent's.
"""

from typing import Any, TypeVar

from ignition import model
from ignition.model import Config, Part
from ignition.model.shape import Field, fields, identity
from ignition.specs import NEWEST, Origin, Source, lift, spec_of, translate

P = TypeVar("P", bound=Part)

_PLAIN_BEFORE = {(model.Link, "target"): 3, (model.Raid, "level"): 3, (model.Custom, "config"): 3, (model.Custom, "pin"): 3}
"""Texts that a part always had, if only an empty one, before this minor version: the child's replaces the parent's."""


def merge(parent: Source, child: Source) -> Config:
    """Return the config that Ignition makes of a parent and a child that is merged into it: one of the newest spec.

    Both are first brought there, as `translate` does. Valid configs can merge to an invalid one, so validate the result;
    Ignition does.

    Raises DocumentError for a text that Ignition would refuse, UnknownSpec for a typed config of no stable spec.
    """
    return merge_in_spec(translate(parent, NEWEST.version), translate(child, NEWEST.version))


def merge_in_spec(parent: Source, child: Source) -> Config:
    """Return what `merge` returns, in the newer spec of the two configs; two configs of one spec stay in it.

    Translating the result to the newest spec gives that of `merge`. Raises what `merge` raises.
    """
    older, newer = Origin.of(parent).config, Origin.of(child).config
    spec = max(spec_of(older.ignition.version), spec_of(newer.ignition.version))
    return _merge(lift(older, spec), lift(newer, spec), spec.minor)


def _merge(parent: P, child: P, minor: int) -> P:
    merged: dict[str, Any] = {}
    ours = _entries(child)
    for field in fields(type(parent)):
        value = _merge_field(field, parent, child, ours, minor)
        if value != field.default:
            merged[field.attribute] = value
    return type(parent)(**merged)


def _merge_field(field: Field, parent: Part, child: Part, ours: dict[tuple[str, str], str], minor: int) -> Any:
    old, new = getattr(parent, field.attribute), getattr(child, field.attribute)
    if field.is_list:
        return (*old, *new) if field.space is None else _merge_entries(field, old, new, ours, minor)
    if field.is_part:
        return _merge_parts(old, new, minor) if old is not None and new is not None else old or new
    is_plain = field.default is not None or minor < _PLAIN_BEFORE.get((type(parent), field.attribute), 0)
    return old if new is None and not is_plain else new


def _merge_parts(old: P, new: P, minor: int) -> P | None:
    """Merge two parts to one, or to none when the child removed all that there was."""
    merged, empty = _merge(old, new, minor), type(old)()
    return None if merged == empty != old else merged


def _entries(child: Part) -> dict[tuple[str, str], str]:
    """The list in which the child has an entry, by the entry's space and identity."""
    return {
        (field.space, identity(item)): field.attribute
        for field in fields(type(child))
        if field.is_list and field.space is not None
        for item in getattr(child, field.attribute)
    }


def _merge_entries(
    field: Field, old: tuple[Any, ...], new: tuple[Any, ...], ours: dict[tuple[str, str], str], minor: int
) -> tuple[Any, ...]:
    by_identity = {identity(item): item for item in new}
    merged: list[Any] = []
    for item in old:
        holder = ours.get((str(field.space), identity(item)))
        if holder is None:
            merged.append(item)
        elif holder == field.attribute:
            merged += _merge_entry(item, by_identity[identity(item)], minor)
    known = {identity(item) for item in old}
    return (*merged, *(item for item in new if identity(item) not in known))


def _merge_entry(old: Any, new: Any, minor: int) -> list[Any]:
    if isinstance(new, model.HTTPHeader) and new.value is None:
        return []
    return [_merge(old, new, minor) if isinstance(new, Part) else new]
