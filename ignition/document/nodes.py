"""The nodes of a document, and what a plain scalar means.

Plain scalars are read as Butane's own YAML library (gopkg.in/yaml.v3, resolve.go) reads them, which is YAML 1.2 with
the useful half of 1.1: `0644` and `0o644` are octal, `1_000` is a number, `yes`, `no`, `on`, `off` are booleans only
where a boolean is asked for, and `12:34:56` is text, never a base-60 number.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeAlias

from ignition.errors import Mark, Problem, Severity

if TYPE_CHECKING:
    Data: TypeAlias = bool | int | float | str | Sequence["Data"] | Mapping[str, "Data"] | None
else:
    Data = object  # A recursive alias cannot be resolved from another module's annotations at run time.


class Kind(StrEnum):
    """What a scalar is when nobody asks for a certain type. The value is the name used in messages."""

    NULL = "null"
    BOOL = "boolean"
    INT = "integer"
    FLOAT = "number"
    STR = "string"


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {text: text.lower() == "true" for text in ("true", "True", "TRUE", "false", "False", "FALSE")}
_OLD_BOOL = {
    text: word in ("yes", "on", "y")
    for word in ("yes", "no", "on", "off", "y", "n")
    for text in (word, word.capitalize(), word.upper())
}
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 64  # Python refuses to convert thousands of digits, and no setting needs them.


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A scalar: its literal text, what it means untyped, and its style ('' plain, or one of ' " | >)."""

    text: str
    kind: Kind
    mark: Mark
    style: str = ""

    def describe(self) -> str:
        """Name the value for a message, such as `the integer 5`."""
        if self.kind is Kind.NULL:
            return "nothing"
        shown = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        return f"the {self.kind} {shown!r}" if self.kind is Kind.STR else f"the {self.kind} {shown}"

    def value(self) -> bool | int | float | str | None:
        """Return the untyped value."""
        match self.kind:
            case Kind.NULL:
                return None
            case Kind.BOOL:
                return _BOOL[self.text]
            case Kind.INT:
                return _integer(self.text)
            case Kind.FLOAT:
                return _number(self.text)
            case _:
                return self.text

    def as_bool(self) -> bool | None:
        """Return the boolean meant where one is asked for, or None when it is none. `yes` and `off` count."""
        if self.kind is Kind.BOOL:
            return _BOOL[self.text]
        return _OLD_BOOL.get(self.text) if self.style == "" else None


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list of nodes. Its mark is that of its first item or opening bracket."""

    items: tuple["Node", ...]
    mark: Mark

    def describe(self) -> str:
        return "a list"


@dataclass(frozen=True)
class MapNode:
    """A mapping with unique string keys, in document order; the keys keep their own marks."""

    entries: tuple[tuple[ScalarNode, "Node"], ...]
    mark: Mark

    @cached_property
    def by_key(self) -> Mapping[str, "Node"]:
        return {key.text: value for key, value in self.entries}

    def describe(self) -> str:
        return "a mapping"


Node: TypeAlias = ScalarNode | ListNode | MapNode


def kind_of(text: str) -> Kind:
    """Return what the plain scalar `text` means when no type is asked for."""
    first = text[:1]
    if text in _NULL:
        return Kind.NULL
    if text in _BOOL:
        return Kind.BOOL
    if (first in "+-." or first.isdigit()) and len(text) <= _LONGEST_NUMBER:
        digits = text.replace("_", "")
        if _INT.fullmatch(digits):
            return Kind.INT
        if _FLOAT.fullmatch(digits) or _SPECIAL.fullmatch(text):
            return Kind.FLOAT
    return Kind.STR


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    if digits[:2] in ("0x", "0b", "0o"):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits[0] == "0" else 10)


def _number(text: str) -> float:
    if _INT.fullmatch(text.replace("_", "")):
        return float(_integer(text))
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan").replace("_", ""))


def to_data(node: Node) -> Data:
    """Return the node as plain Python values: None, bool, int, float, str, list, dict."""
    match node:
        case ScalarNode():
            return node.value()
        case ListNode():
            return [to_data(item) for item in node.items]
        case MapNode():
            return {key.text: to_data(value) for key, value in node.entries}


def join(path: str, step: str | int) -> str:
    """Extend a path by a key or an index: `hosts`, 1 -> `hosts[1]`."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


class Origin:
    """Where a decoded object stands, so that a check made later can point at the file and line.

    Declared in a dataclass as `origin: Origin = field(default=Origin.none(), compare=False, repr=False)`; `decode`
    fills it. Its paths and marks follow the document, where a misspelt key counts as the field it was meant for.
    """

    __slots__ = ("_keys", "mark", "path")

    def __init__(self, mark: Mark, keys: Mapping[str, Node], path: str = "") -> None:
        self.mark = mark
        self.path = path
        self._keys = keys

    @classmethod
    def none(cls) -> Self:
        """Return the origin of an object that no file declares."""
        return cls(Mark("", 0, 0), {})

    def at(self, *steps: str | int) -> Mark:
        """Return the mark of the value below this object; of the nearest enclosing one when it is not there."""
        if not steps or (node := self._keys.get(str(steps[0]))) is None:
            return self.mark
        for step in steps[1:]:
            if isinstance(node, MapNode) and isinstance(step, str) and step in node.by_key:
                node = node.by_key[step]
            elif isinstance(node, ListNode) and isinstance(step, int) and 0 <= step < len(node.items):
                node = node.items[step]
            else:
                break
        return node.mark

    def error(self, message: str, *steps: str | int, hint: str = "") -> Problem:
        """Return an error about the value below this object."""
        return self._problem(Severity.ERROR, message, steps, hint)

    def warning(self, message: str, *steps: str | int, hint: str = "") -> Problem:
        """Return a warning about the value below this object."""
        return self._problem(Severity.WARNING, message, steps, hint)

    def _problem(self, severity: Severity, message: str, steps: tuple[str | int, ...], hint: str) -> Problem:
        path = self.path
        for step in steps:
            path = join(path, step)
        return Problem(severity, self.at(*steps), path, message, hint)

    def __repr__(self) -> str:
        return f"Origin({self.mark})"
