"""The shape of a config's parts: their fields, what identifies an entry of a list, and which lists share their entries.

Ignition gives this to its types as methods: Key(), IgnoreDuplicates() and MergedKeys() (config/v3_6/types/*.go).
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from ignition.model import types as parts
from ignition.model.types import Part

P = TypeVar("P", bound=Part)

_KEYS: Mapping[type, Callable[[Any], str]] = {
    str: str,
    parts.CaReference: lambda part: part.source or "",
    parts.ConfigReference: lambda part: part.source or "",
    parts.Directory: lambda part: part.path,
    parts.Disk: lambda part: part.device,
    parts.Dropin: lambda part: part.name,
    parts.File: lambda part: part.path,
    parts.Filesystem: lambda part: part.device,
    parts.HTTPHeader: lambda part: part.name,
    parts.Link: lambda part: part.path,
    parts.Luks: lambda part: part.name,
    parts.Partition: lambda part: f"number:{part.number}" if part.number else "" if part.label is None else f"label:{part.label}",
    parts.PasswdGroup: lambda part: part.name,
    parts.PasswdUser: lambda part: part.name,
    parts.Raid: lambda part: part.name,
    parts.Resource: lambda part: part.source or "",
    parts.Tang: lambda part: part.url,
    parts.Unit: lambda part: part.name,
}
_REPEATABLE = {
    (parts.File, "append"),
    (parts.Filesystem, "mount_options"),
    (parts.Filesystem, "options"),
    (parts.Luks, "options"),
    (parts.Raid, "options"),
}
# Options to open a LUKS volume are not among them: config/v3_4 to v3_6/types/luks.go name "Options" only.
_SHARED = {
    (parts.Storage, "directories"): "node",
    (parts.Storage, "files"): "node",
    (parts.Storage, "links"): "node",
    (parts.KernelArguments, "should_exist"): "argument",
    (parts.KernelArguments, "should_not_exist"): "argument",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a part.

    `type` is a Part, str, int or bool: of the items when the field is a list. `since` is the minor version of spec 3
    that brought the field. Entries of lists with one `space` are identified together; None where entries may repeat.
    """

    attribute: str
    key: str
    type: Any
    is_list: bool
    is_part: bool
    default: Any
    since: int
    space: str | None


def fields(type_: type[Part]) -> tuple[Field, ...]:
    """Return the fields of a part, in the order of Ignition's structs."""
    return _fields(type_)


@cache
def _fields(type_: type[Part]) -> tuple[Field, ...]:
    hints = get_type_hints(type_)
    return tuple(_field(type_, field, hints[field.name]) for field in msgspec.structs.fields(type_))


def _field(owner: type[Part], field: msgspec.structs.FieldInfo, hint: Any) -> Field:
    if get_origin(hint) is types.UnionType:
        hint = next(arg for arg in get_args(hint) if arg is not types.NoneType)
    is_list = get_origin(hint) is tuple
    type_ = get_args(hint)[0] if is_list else hint
    place = (owner, field.name)
    return Field(
        attribute=field.name,
        key=field.encode_name,
        type=type_,
        is_list=is_list,
        is_part=issubclass(type_, Part),
        default=field.default,
        since=owner.SINCE.get(field.name, 0),
        space=None if place in _REPEATABLE else _SHARED.get(place, field.name),
    )


def identity(item: Any) -> str:
    """Return what identifies an entry of a list whose entries must be unique."""
    return _KEYS[type(item)](item)


def replace(part: P, **changes: Any) -> P:
    """Return the part with some fields changed."""
    return msgspec.structs.replace(part, **changes)


def rewrite(part: P, change: Callable[[Part], Part]) -> P:
    """Return the part with `change` applied to every part in it and to itself, inner parts first."""
    changes: dict[str, Any] = {}
    for field in fields(type(part)):
        value = getattr(part, field.attribute)
        if not field.is_part or not value:
            continue
        new = tuple(rewrite(item, change) for item in value) if field.is_list else rewrite(value, change)
        if new != value:
            changes[field.attribute] = new
    changed = change(replace(part, **changes) if changes else part)
    assert isinstance(changed, type(part))
    return changed
