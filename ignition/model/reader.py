"""Located documents to typed configs, as Go's JSON and YAML libraries fill structs.

null leaves a field at its zero value. All wrong types are reported, not only the first.
"""

import difflib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from ignition.document import Kind, ListNode, MapNode, Node, ScalarNode
from ignition.model.dialects import Dialect, Findings, Path
from ignition.model.types import Part

P = TypeVar("P", bound=Part)

_LONGEST_INTEGER = 2**63
_JSON_KINDS = {Kind.STR: "string", Kind.BOOL: "bool", Kind.INT: "number", Kind.FLOAT: "number"}
_ABSENT: Any = object()


def read(node: Node, type_: type[P], dialect: Dialect, findings: Findings, minor: int = 3) -> P:
    """Return the config part that `node` holds, in spec 3.`minor`.

    Problems go to `findings`; wrong values are left at zero.
    """
    part = _Reader(dialect, findings, minor).part(node, type_, (), type_)
    return type_() if part is _ABSENT else part


@dataclass(frozen=True, slots=True)
class _Field:
    attribute: str
    json_key: str
    type: Any  # a Part, str, int or bool; of the items when is_list
    is_list: bool


@cache
def _fields(type_: type[Part]) -> tuple[_Field, ...]:
    hints = get_type_hints(type_)
    return tuple(_field(field, hints[field.name]) for field in msgspec.structs.fields(type_))


def _field(field: msgspec.structs.FieldInfo, hint: Any) -> _Field:
    if get_origin(hint) is types.UnionType:
        hint = next(arg for arg in get_args(hint) if arg is not types.NoneType)
    if get_origin(hint) is tuple:
        return _Field(field.name, field.encode_name, get_args(hint)[0], is_list=True)
    return _Field(field.name, field.encode_name, hint, is_list=False)


@cache
def _known(type_: type[Part], is_json: bool, minor: int) -> Mapping[str, _Field]:
    """The fields of a part by the key they have in a document of that dialect and spec."""
    return {
        field.json_key if is_json else field.attribute: field
        for field in _fields(type_)
        if type_.SINCE.get(field.attribute, 0) <= minor
    }


class _Reader:
    def __init__(self, dialect: Dialect, findings: Findings, minor: int) -> None:
        self.dialect = dialect
        self.findings = findings
        self.minor = minor
        self.scalars: Mapping[Any, Callable[[ScalarNode], Any]] = (
            {str: _json_string, int: _integer, bool: _json_boolean}
            if dialect.is_json
            else {str: _text, int: _integer, bool: ScalarNode.as_bool}
        )

    def part(self, node: Node, type_: type[Part], path: Path, owner: type[Part], base: Part | None = None) -> Any:
        """Return the part that a mapping holds, absent when empty.

        It is laid over `base`: where JSON repeats a key, Go fills the same struct again.
        """
        if not isinstance(node, MapNode):
            return self.absent(node, owner, path, type_)
        if prepare := self.dialect.prepare.get(type_):
            node = prepare(node, path, self.findings)
        values: dict[str, Any] = {} if base is None else msgspec.structs.asdict(base)
        known = _known(type_, self.dialect.is_json, self.minor)
        for key, child in node.entries:
            field = known.get(key.text) or self.unknown(key, known, path)
            if field is None:
                continue
            before = len(self.findings.problems)
            inner = (*path, field.json_key)
            read_value = self.list if field.is_list else self.value
            value = read_value(child, field, inner, type_, values.get(field.attribute))
            if value is not _ABSENT:
                values[field.attribute] = value
            if key.text not in known:
                # Ignition matches keys exactly when it looks for unused ones, so it looks no deeper here.
                self.findings.forget_warnings(before)
        return type_(**values) if values else _ABSENT

    def unknown(self, key: ScalarNode, known: Mapping[str, _Field], path: Path) -> _Field | None:
        """Findings a key that no field has. Go's JSON still takes it for a field whose name differs in case only."""
        if self.dialect.is_json:
            self.findings.warning(key.mark, (*path, key.text), f"Unused key {key.text}")
            folded = key.text.casefold()
            return next((field for name, field in known.items() if name.casefold() == folded), None)
        close = difflib.get_close_matches(key.text[:100], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
        self.findings.error(key.mark, (*path, key.text), f"unknown key {key.text[:100]!r}", hint)
        return None

    def list(self, node: Node, field: _Field, path: Path, owner: type[Part], base: tuple[Any, ...] | None) -> Any:
        if not isinstance(node, ListNode):
            return self.absent(node, owner, path, field.type, is_list=True)
        values = (
            self.value(item, field, (*path, index), owner, base[index] if base and index < len(base) else None)
            for index, item in enumerate(node.items)
        )
        # Go keeps an element it could not fill at its zero value, and null is such an element.
        return tuple(field.type() if value is _ABSENT else value for value in values) or _ABSENT

    def value(self, node: Node, field: _Field, path: Path, owner: type[Part], base: Any) -> Any:
        scalar = self.scalars.get(field.type)
        if scalar is None:
            return self.part(node, field.type, path, owner, base)
        if isinstance(node, ScalarNode) and node.kind is not Kind.NULL:
            value = scalar(node)
            if value is not None:
                return value
        return self.absent(node, owner, path, field.type)

    def absent(self, node: Node, owner: type[Part], path: Path, type_: type, *, is_list: bool = False) -> Any:
        """Findings a value of the wrong type, unless it is null."""
        if isinstance(node, ScalarNode) and node.kind is Kind.NULL:
            return _ABSENT
        if self.dialect.is_json:
            keys = ".".join(step for step in path if isinstance(step, str))
            wanted = ("[]" if is_list else "") + _GO_TYPES.get(type_, f"types.{type_.__name__}")
            target = f"Go struct field {owner.__name__}.{keys} of type {wanted}"
            self.findings.error(node.mark, path, f"json: cannot unmarshal {_json_kind(node, type_)} into {target}")
        else:
            expected = "a list" if is_list else _YAML_TYPES.get(type_, "a mapping")
            self.findings.error(node.mark, path, f"expected {expected}, found {node.describe()}")
        return _ABSENT


_GO_TYPES = {str: "string", int: "int", bool: "bool"}
_YAML_TYPES = {str: "a string", int: "an integer", bool: "true or false"}


def _json_kind(node: Node, wanted: type) -> str:
    if isinstance(node, ScalarNode) and wanted is int and node.kind in (Kind.INT, Kind.FLOAT):
        return f"number {node.text}"
    if isinstance(node, ScalarNode):
        return _JSON_KINDS.get(node.kind, "null")
    return "array" if isinstance(node, ListNode) else "object"


def _json_string(node: ScalarNode) -> str | None:
    return node.text if node.kind is Kind.STR else None


def _text(node: ScalarNode) -> str | None:
    return node.text


def _integer(node: ScalarNode) -> int | None:
    if node.kind is not Kind.INT:
        return None
    value = int(node.value() or 0)
    return value if -_LONGEST_INTEGER <= value < _LONGEST_INTEGER else None


def _json_boolean(node: ScalarNode) -> bool | None:
    return node.as_bool() if node.kind is Kind.BOOL else None
