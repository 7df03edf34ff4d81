"""Tells most valid configs at the speed of C, so that only unusual and broken ones are read with their positions.

A config is decoded twice by msgspec, first into strict twins of the model's structs, which refuse what Go would warn about or
read in a way of its own: unknown keys, null, other kinds of numbers. What a decoder cannot see, equal keys and empty
objects, is asked of the standard library's reader.
"""

import json
from functools import cache
from typing import Annotated, Any

import msgspec

from ignition.document.json_reader import MAX_VALUES
from ignition.model import Config, Part
from ignition.model.shape import Field, fields
from ignition.rules.walk import broken_rules

NEWEST_MINOR = 6
_MINORS = {f"3.{minor}.0": minor for minor in range(NEWEST_MINOR + 1)}
_MAX_BYTES = 2 * MAX_VALUES  # The shortest value and its comma: a text of that size has no more values than the reader takes.
_GO_INT = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Unusual(ValueError):
    """The text is JSON that Go and Python might read differently."""


def valid_config(raw: bytes) -> Config | None:
    """Return the config when it is plain to see that Ignition has nothing to say about it.

    None means that nothing is known, not that something is wrong. A config returned is the one that `parse` reads by way of
    nodes, and its report is empty.
    """
    if len(raw) > _MAX_BYTES:
        return None
    try:
        config = _CONFIG.decode(raw)
        minor = _MINORS.get(config.ignition.version)
        if minor is None:
            return None
        _strict_decoder(minor).decode(raw)
        _OBJECTS.decode(raw.decode())
    except (ValueError, RecursionError):
        # msgspec's errors and those of UTF-8 are ValueErrors; it recurses into what is nested in a key it does not know.
        return None
    return None if broken_rules(config, minor) else config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; raise for one that Go fills twice, and for what is empty and therefore the same as absent."""
    found = dict(pairs)
    if len(found) != len(pairs) or not found or [] in found.values():
        raise _Unusual
    return found


@cache
def _strict_decoder(minor: int) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_strict(Config, minor))


@cache
def _strict(type_: Any, minor: int) -> Any:
    """Return the twin of a type in spec 3.`minor`: it has the keys of that spec and no other, and no value is null."""
    if type_ is int:
        return _GO_INT
    if not issubclass(type_, Part):
        return type_
    members = [(field.attribute, _strict_field(field, minor), msgspec.field(default=None, name=field.key))
               for field in fields(type_) if field.since <= minor]  # fmt: skip
    return msgspec.defstruct(type_.__name__, members, forbid_unknown_fields=True)


def _strict_field(field: Field, minor: int) -> Any:
    item = _strict(field.type, minor)
    return tuple.__class_getitem__((item, ...)) if field.is_list else item


_CONFIG = msgspec.json.Decoder(Config)
_OBJECTS = json.JSONDecoder(object_pairs_hook=_unique)
