"""JSON Schemas (2020-12) of what goes over the admin face, and the check of what comes in.

The same values are in the OpenAPI document and check requests, so that the two cannot differ. Of JSON Schema, exactly the
keywords below are used.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def obj(properties: Mapping[str, Schema], *, required: tuple[str, ...] | None = None, more: Schema | bool = False) -> Schema:
    """An object with these properties, all of them required if not said otherwise."""
    wanted = list(properties if required is None else required)
    found: dict[str, Any] = {"type": "object", "properties": dict(properties), "additionalProperties": more}
    return {**found, "required": wanted} if wanted else found


def array(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def mapping(values: Schema | bool = True) -> Schema:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": values}


def or_null(kind: str, **more: Any) -> Schema:
    """A value that may be missing."""
    return {"type": [kind, "null"], **more}


def text(most: int, **more: Any) -> Schema:
    """A string of at most `most` characters."""
    return {"type": "string", "maxLength": most, **more}


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}


def problems(schema: Schema, value: Any, at: str = "") -> Iterator[str]:
    """Everything that is wrong with a value, each with its JSON pointer (RFC 6901)."""
    where = at or "the body"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        yield f"{where} is no {' or '.join(kinds)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is none of {', '.join(schema['enum'])}"
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        yield f"{where} is longer than {schema['maxLength']} characters"
    if isinstance(value, int) and value < schema.get("minimum", value):
        yield f"{where} is less than {schema['minimum']}"
    if isinstance(value, int) and value > schema.get("maximum", value):
        yield f"{where} is more than {schema['maximum']}"
    if isinstance(value, list) and "items" in schema:
        for n, item in enumerate(value):
            yield from problems(schema["items"], item, f"{at}/{n}")
    if isinstance(value, dict):
        yield from _members(schema, value, at)


def _members(schema: Schema, value: Mapping[str, Any], at: str) -> Iterator[str]:
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{at or 'the body'} lacks {key!r}"
    for key, member in value.items():
        pointer = f"{at}/{key.replace('~', '~0').replace('/', '~1')}"
        if key in known:
            yield from problems(known[key], member, pointer)
        elif more is False:
            yield f"{pointer} is not known; there are: {', '.join(known)}"
        elif more is not True:
            yield from problems(more, member, pointer)
