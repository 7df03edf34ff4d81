"""Located documents to typed configs, as Go's JSON and YAML libraries fill structs.

null leaves a field at its zero value. All wrong types are reported, not only the first.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from ignition.document.json_reader import LEAF, Shape, fold
from ignition.document.nodes import Kind, ListNode, MapNode, Node, ScalarNode
from ignition.model.dialects import Dialect, Findings, Path
from ignition.model.gotypes import go_type, is_pointer
from ignition.model.shape import Field, fields
from ignition.model.types import Part

P = TypeVar("P", bound=Part)

_LONGEST_INTEGER = 2**63
_INTEGER_DIGITS = 20
_JSON_KINDS = {Kind.STR: "string", Kind.BOOL: "bool", Kind.INT: "number", Kind.FLOAT: "number"}
_ABSENT: Any = object()


def read(node: Node, type_: type[P], dialect: Dialect, findings: Findings, minor: int = 3) -> P:
    """Return the config part that `node` holds, in spec 3.`minor`.

    Problems go to `findings`; wrong values are left at zero. In JSON a key that no field has is skipped without a word:
    Ignition looks for unused keys once a config is known to be good.
    """
    part = _Reader(dialect, findings, minor, type_).part(node, type_, (), None)
    return type_() if part is _ABSENT else part


@cache
def json_shape(type_: type[Part]) -> Shape:
    """Return what the reader looks at in JSON, in the newest spec."""
    return Shape({fold(field.key): _field_shape(field) for field in fields(type_)})


def _field_shape(field: Field) -> Shape:
    value = json_shape(field.type) if field.is_part else LEAF
    return Shape({}, value) if field.is_list else value


@cache
def known_keys(type_: type[Part], is_json: bool, minor: int) -> Mapping[str, Field]:
    """Return the fields of a part by the key they have in a document of that dialect and spec."""
    return {field.key if is_json else field.attribute: field for field in fields(type_) if field.since <= minor}


@cache
def _folded_keys(type_: type[Part], minor: int) -> Mapping[str, Field]:
    return {fold(key): field for key, field in known_keys(type_, True, minor).items()}


class _Reader:
    def __init__(self, dialect: Dialect, findings: Findings, minor: int, root: type[Part]) -> None:
        self.dialect = dialect
        self.findings = findings
        self.minor = minor
        self.root = root
        self.scalars: Mapping[Any, Callable[[ScalarNode], Any]] = (
            {str: _json_string, int: _integer, bool: _json_boolean}
            if dialect.is_json
            else {str: _text, int: _integer, bool: ScalarNode.as_bool}
        )

    def part(self, node: Node, type_: type[Part], path: Path, base: Part | None) -> Any:
        """Return the part that a mapping holds, absent when empty.

        It is laid over `base`: where JSON repeats a key, Go fills the same struct again.
        """
        if not isinstance(node, MapNode):
            return _ABSENT
        if prepare := self.dialect.prepare.get(type_):
            node = prepare(node, path, self.findings)
        values: dict[str, Any] = {} if base is None else msgspec.structs.asdict(base)
        known = known_keys(type_, self.dialect.is_json, self.minor)
        for key, child in node.entries:
            field = known.get(key.text) or self.unknown(key, type_, path)
            if field is None:
                continue
            inner = (*path, field.key)
            read_value = self.list if field.is_list else self.value
            value = read_value(child, field, inner, type_, values.get(field.attribute))
            if value is not _ABSENT:
                values[field.attribute] = value
            elif _is_null(child) and (field.is_list or field.default is None) and not self.is_struct(type_, field):
                # Go sets a pointer and a slice to nil again, and leaves anything else as it is.
                values.pop(field.attribute, None)
        return type_(**values) if values else _ABSENT

    def is_struct(self, owner: type[Part], field: Field) -> bool:
        return field.is_part and not field.is_list and not is_pointer(owner, field, self.minor)

    def unknown(self, key: ScalarNode, type_: type[Part], path: Path) -> Field | None:
        """Take a key that no field has for a field whose name differs in case only, as Go's JSON does; YAML's does not."""
        if self.dialect.is_json:
            return _folded_keys(type_, self.minor).get(fold(key.text))
        import difflib  # It takes longer to load than a config takes to read, and only mistakes need it.

        known = known_keys(type_, False, self.minor)
        close = difflib.get_close_matches(key.text[:100], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
        self.findings.error(key.mark, (*path, key.text), f"unknown key {key.text[:100]!r}", hint)
        return None

    def list(self, node: Node, field: Field, path: Path, owner: type[Part], base: tuple[Any, ...] | None) -> Any:
        if not isinstance(node, ListNode):
            return self.absent(node, field, path, owner)
        values = (
            self.value(item, field, (*path, index), owner, base[index] if base and index < len(base) else None)
            for index, item in enumerate(node.items)
        )
        # Go keeps an element it could not fill at its zero value, and null is such an element.
        return tuple(field.type() if value is _ABSENT else value for value in values) or _ABSENT

    def value(self, node: Node, field: Field, path: Path, owner: type[Part], base: Any) -> Any:
        scalar = self.scalars.get(field.type)
        if scalar is None:
            if not isinstance(node, MapNode):
                return self.absent(node, field, path, owner)
            part = self.part(node, field.type, path, base)
            return field.type() if part is _ABSENT and is_pointer(owner, field, self.minor) else part
        if isinstance(node, ScalarNode) and node.kind is not Kind.NULL:
            value = scalar(node)
            if value is not None:
                return value
        return self.absent(node, field, path, owner)

    def absent(self, node: Node, field: Field, path: Path, owner: type[Part]) -> Any:
        """Report a value of the wrong type, unless it is null."""
        if _is_null(node):
            return _ABSENT
        is_item = isinstance(path[-1], int)
        if self.dialect.is_json:
            wanted = go_type(owner, field, self.minor, is_item=is_item)
            place = f"{self.root.__name__}.{'.'.join(map(str, path))} of type {wanted}"
            kind = _json_kind(node, field.type if is_item or not field.is_list else tuple)
            into = place if is_item else f"Go struct field {place}"
            self.findings.misfit(node, path, f"json: cannot unmarshal {kind} into {into}")
        else:
            expected = "a list" if field.is_list and not is_item else _YAML_TYPES.get(field.type, "a mapping")
            self.findings.misfit(node, path, f"expected {expected}, found {node.describe()}")
        return _ABSENT


_YAML_TYPES = {str: "a string", int: "an integer", bool: "true or false"}


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.kind is Kind.NULL


def _json_kind(node: Node, wanted: type) -> str:
    if isinstance(node, ScalarNode) and wanted is int and node.kind in (Kind.INT, Kind.FLOAT):
        return f"number {node.text}"
    if isinstance(node, ScalarNode):
        return _JSON_KINDS[node.kind]
    return "array" if isinstance(node, ListNode) else "object"


def _json_string(node: ScalarNode) -> str | None:
    return node.text if node.kind is Kind.STR else None


def _text(node: ScalarNode) -> str | None:
    return node.text


def _integer(node: ScalarNode) -> int | None:
    if node.kind is not Kind.INT or len(node.text.replace("_", "")) > 3 * _INTEGER_DIGITS + 4:
        return None
    value = int(node.value() or 0)
    return value if -_LONGEST_INTEGER <= value < _LONGEST_INTEGER else None


def _json_boolean(node: ScalarNode) -> bool | None:
    return node.as_bool() if node.kind is Kind.BOOL else None
