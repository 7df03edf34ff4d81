"""Nodes to frozen dataclasses, reporting every problem at once.

A decoder is compiled once per type from its annotations and kept. It returns the value, or INVALID after adding to the
list of problems; so one wrong value never hides another. What each type accepts:

    str                 text; a number, true, false or null must be quoted, `no`, `off` and `52:54:00:12:34:56` need not
    int float bool      their own kind only; an integer is a float too; `yes` and `off` are booleans here
    StrEnum, Literal    one of the choices, by its literal text
    Path                text, relative to the folder of the file that holds it
    a class with parse  the literal text of the scalar, given to `parse(text)`, which raises ValueError(message)
    IPv4Address etc.    likewise
    tuple[T, ...]       a list; wrong items are reported and left out
    Mapping[K, T]       a mapping with keys of K (str, or anything read from text)
    a dataclass         a mapping whose keys are the fields (`field(metadata={"key": ...})` renames one)
    A | B, dataclasses  the one whose Literal field of the same name says so
    T | None            T or null
    Data, object, Any   anything, as plain Python values
"""

import enum
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, Union, cast, get_args, get_origin, overload

from ignition.document.nodes import Kind, ListNode, MapNode, Node, ScalarNode, join, to_data
from ignition.document.outcome import INVALID, Decoder, Problems, nearest, wrong
from ignition.document.records import record, tagged_union
from ignition.errors import DocumentError, Problem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """A decoded value, None when it could not be built, and every problem found on the way."""

    value: T | None
    problems: tuple[Problem, ...]

    def unwrap(self) -> T:
        """Return the value; raise DocumentError when any problem is an error."""
        if any(problem.is_error for problem in self.problems):
            raise DocumentError(self.problems)
        return cast("T", self.value)


@overload
def decode(node: Node, type_: type[T], path: str = "") -> Decoded[T]: ...
@overload
def decode(node: Node, type_: Any, path: str = "") -> Decoded[Any]: ...
def decode(node: Node, type_: Any, path: str = "") -> Decoded[Any]:
    """Decode `node` as `type_`; `path` is put before the path of every problem.

    Problems come in the order of the document. Raises TypeError for a type that no document can hold, which is a bug of
    the caller.
    """
    problems: Problems = []
    value = decoder(type_)(node, path, problems)
    return Decoded(None if value is INVALID else value, tuple(sorted(problems, key=lambda problem: problem.mark)))


@cache
def decoder(type_: Any) -> Decoder:
    """Return the decoder of a type; TypeError when no document can hold it."""
    origin, args = get_origin(type_), get_args(type_)
    if type_ in _SIMPLE:
        return _SIMPLE[type_]
    if origin in (Union, types.UnionType):
        return _union(args)
    if origin is Literal:
        return _choice({str(value): value for value in args})
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return _list(decoder(args[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(decoder(args[0]), decoder(args[1]))
    if isinstance(type_, type) and issubclass(type_, enum.StrEnum):
        return _choice({member.value: member for member in type_})
    if parse := getattr(type_, "parse", None):
        return _parsed(parse)
    if isinstance(type_, type) and is_dataclass(type_):
        return record(type_, decoder)
    raise TypeError(f"no document holds a {type_!r}")


def _string(node: Node, path: str, problems: Problems) -> Any:
    if isinstance(node, ScalarNode) and node.kind is Kind.STR:
        return node.text
    hint = f'quote it: "{node.text}"' if isinstance(node, ScalarNode) and node.kind is not Kind.NULL else ""
    return wrong(node, path, problems, f"expected a string, found {node.describe()}", hint)


def _integer(node: Node, path: str, problems: Problems) -> Any:
    if isinstance(node, ScalarNode) and node.kind is Kind.INT:
        return node.value()
    return wrong(node, path, problems, f"expected an integer, found {node.describe()}")


def _float(node: Node, path: str, problems: Problems) -> Any:
    if isinstance(node, ScalarNode) and node.kind in (Kind.INT, Kind.FLOAT):
        return float(node.value() or 0)
    return wrong(node, path, problems, f"expected a number, found {node.describe()}")


def _boolean(node: Node, path: str, problems: Problems) -> Any:
    value = node.as_bool() if isinstance(node, ScalarNode) else None
    return wrong(node, path, problems, f"expected true or false, found {node.describe()}") if value is None else value


def _path(node: Node, path: str, problems: Problems) -> Any:
    text = _literal(node, path, problems)
    return text if text is INVALID else Path(node.mark.file).parent / text


def _literal(node: Node, path: str, problems: Problems) -> Any:
    """Return the text of a scalar as it was written, whatever it would mean untyped."""
    if isinstance(node, ScalarNode) and node.kind is not Kind.NULL:
        return node.text
    return wrong(node, path, problems, f"expected a string, found {node.describe()}")


def _raw(node: Node, path: str, problems: Problems) -> Any:
    return to_data(node)


def _parsed(parse: Callable[[str], Any]) -> Decoder:
    def decode_parsed(node: Node, path: str, problems: Problems) -> Any:
        text = _literal(node, path, problems)
        if text is INVALID:
            return INVALID
        try:
            return parse(text)
        except ValueError as error:
            return wrong(node, path, problems, str(error))

    return decode_parsed


def _choice(choices: Mapping[str, object]) -> Decoder:
    listed = ", ".join(choices)

    def decode_choice(node: Node, path: str, problems: Problems) -> Any:
        text = _literal(node, path, problems)
        if text is INVALID or text in choices:
            return text if text is INVALID else choices[text]
        return wrong(node, path, problems, f"{text!r} is none of: {listed}", nearest(text, choices))

    return decode_choice


def _list(item: Decoder) -> Decoder:
    def decode_list(node: Node, path: str, problems: Problems) -> Any:
        if not isinstance(node, ListNode):
            return wrong(node, path, problems, f"expected a list, found {node.describe()}")
        values = (item(child, join(path, index), problems) for index, child in enumerate(node.items))
        return tuple(value for value in values if value is not INVALID)

    return decode_list


def _mapping(key: Decoder, value: Decoder) -> Decoder:
    def decode_mapping(node: Node, path: str, problems: Problems) -> Any:
        if not isinstance(node, MapNode):
            return wrong(node, path, problems, f"expected a mapping, found {node.describe()}")
        pairs = [
            (key(name, join(path, name.text), problems), value(child, join(path, name.text), problems))
            for name, child in node.entries
        ]
        return {k: v for k, v in pairs if k is not INVALID and v is not INVALID}

    return decode_mapping


def _union(members: tuple[Any, ...]) -> Decoder:
    some = tuple(member for member in members if member is not types.NoneType)
    one = decoder(some[0]) if len(some) == 1 else tagged_union(some, decoder)
    if len(some) == len(members):
        return one

    def decode_optional(node: Node, path: str, problems: Problems) -> Any:
        if isinstance(node, ScalarNode) and node.kind is Kind.NULL:
            return None
        return one(node, path, problems)

    return decode_optional


_SIMPLE: Mapping[Any, Decoder] = {
    str: _string,
    int: _integer,
    float: _float,
    bool: _boolean,
    Path: _path,
    object: _raw,
    Any: _raw,
    IPv4Address: _parsed(IPv4Address),
    IPv4Network: _parsed(IPv4Network),
    IPv4Interface: _parsed(IPv4Interface),
}
