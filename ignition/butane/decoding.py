"""Nodes to records: a Butane document with its types checked, as yaml.v3 fills Butane's structs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ignition.butane.releases import Release
from ignition.butane.schema import Field, fields, go_name
from ignition.butane.unmarshal import boolean, integer, merged_entries, repeated_keys, unmarshal_fault
from ignition.document import Kind, ListNode, MapNode, Mark, Node, ScalarNode
from ignition.document.go_yaml import content_mark
from ignition.model import Path


@dataclass(frozen=True, slots=True)
class Record:
    """A struct of a Butane document: the values that are there and not null, by key."""

    struct: str
    values: Mapping[str, Any]

    def text(self, key: str) -> str | None:
        return cast("str | None", self.values.get(key))

    def number(self, key: str) -> int | None:
        return cast("int | None", self.values.get(key))

    def is_true(self, key: str) -> bool:
        return self.values.get(key) is True

    def texts(self, key: str) -> tuple[str, ...]:
        return cast("tuple[str, ...]", self.values.get(key, ()))

    def record(self, key: str) -> "Record":
        """Return the struct under a key, an empty one when there is none."""
        return cast("Record", self.values.get(key, _EMPTY))

    def records(self, key: str) -> tuple["Record", ...]:
        return cast("tuple[Record, ...]", self.values.get(key, ()))


_EMPTY = Record("", {})
_EXPECTED = {"str": "a string", "int": "an integer", "bool": "true or false"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that does not fit its type: what yaml.v3 says of it, and the same for a reader who knows no Go."""

    mark: Mark
    path: Path
    go_message: str
    message: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A document as a record, which is meaningless when there are faults."""

    record: Record
    faults: tuple[Fault, ...]


def decode(document: Node, release: Release) -> Decoded:
    """Decode a document; all values of the wrong type are reported, in the order of the document.

    Raises BadMerge for a merge key that brings no mapping.
    """
    decoder = _Decoder(release)
    record = decoder.struct(document, "Config", go_name("Config", release), ())
    return Decoded(record or _EMPTY, tuple(decoder.faults))


class _Decoder:
    def __init__(self, release: Release) -> None:
        self.release = release
        self.faults: list[Fault] = []

    def struct(self, node: Node, name: str, go_type: str, path: Path) -> Record | None:
        if not isinstance(node, MapNode):
            self.refuse(node, go_type, "a mapping", path)
            return None
        if repeated := repeated_keys(node):
            self.faults += (Fault(mark, path, message, message.partition(": ")[2]) for mark, message in repeated)
            return None
        known = fields(name, self.release)
        values: dict[str, Any] = {}
        for key, child in merged_entries(node):
            field = known.get(key.text) if key.kind is not Kind.NULL else None
            if field is not None:
                value = self.field(child, field, (*path, key.text))
                if value is not None:
                    values[key.text] = value
        return Record(name, values)

    def field(self, node: Node, field: Field, path: Path) -> Any:
        if not field.is_list:
            return self.value(node, field, field.go_type, path)
        if not isinstance(node, ListNode):
            self.refuse(node, field.go_type, "a list", path)
            return None
        items = (self.value(item, field, field.go_item, (*path, index)) for index, item in enumerate(node.items))
        # yaml.v3 leaves null out of a list, which moves what follows to the front.
        return tuple(item for item in items if item is not None)

    def value(self, node: Node, field: Field, go_type: str, path: Path) -> Any:
        if field.is_struct:
            return self.struct(node, field.type, go_type, path)
        if isinstance(node, ScalarNode) and node.kind is not Kind.NULL:
            value = _SCALARS[field.type](node)
            if value is not None:
                # Only what becomes contents may be bytes that are no text.
                return _text(value) if field.type == "str" and field.key != "inline" else value
        self.refuse(node, go_type, _EXPECTED[field.type], path)
        return None

    def refuse(self, node: Node, go_type: str, expected: str, path: Path) -> None:
        """Report a value of the wrong type, unless it is null."""
        if not (isinstance(node, ScalarNode) and node.kind is Kind.NULL):
            message = f"expected {expected}, found {node.describe()}"
            self.faults.append(Fault(content_mark(node), path, unmarshal_fault(node, go_type), message))


def _text(text: str) -> str:
    """Return a text as JSON can hold it: lone surrogates, which stand for bytes, become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_SCALARS: Mapping[str, Callable[[ScalarNode], Any]] = {"str": lambda node: node.text, "int": integer, "bool": boolean}
