"""YAML as Go's gopkg.in/yaml.v3 reads it, with its messages: for documents that another tool written in Go reads, too.

What differs from `load`:

    keys given twice, merge keys     kept as entries: whoever decodes a mapping judges them
    aliases                          stand at their own place and know where their content came from
    more documents                   the first counts, what follows it is not read
    JSON                             is YAML
    messages                         yaml.v3's, such as `yaml: line 4: found character that cannot start any token`
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import yaml

from ignition.document.loader import Composer, Sized, events_of
from ignition.document.nodes import Kind, ListNode, MapNode, Node, ScalarNode, kind_of
from ignition.errors import DocumentError, Mark, Problem, Severity

_PREFIX = "tag:yaml.org,2002:"
_CHECKED = {"int": Kind.INT, "float": Kind.FLOAT, "bool": Kind.BOOL, "null": Kind.NULL}
_SHORT = {Kind.STR: "!!str", Kind.INT: "!!int", Kind.FLOAT: "!!float", Kind.BOOL: "!!bool", Kind.NULL: "!!null"}
_ENCODING_FAULTS = {
    "invalid start byte": "invalid leading UTF-8 octet",
    "invalid continuation byte": "invalid trailing UTF-8 octet",
    "unexpected end of data": "incomplete UTF-8 octet sequence",
}
_NOWHERE = Mark("", 0, 0)


@dataclass(frozen=True, slots=True)
class AliasedScalar(ScalarNode):
    """A scalar that stands elsewhere; `content` is the mark there."""

    content: Mark = _NOWHERE


@dataclass(frozen=True, slots=True)
class AliasedList(ListNode):
    """A list that stands elsewhere."""

    content: Mark = _NOWHERE


@dataclass(frozen=True)
class AliasedMap(MapNode):
    """A mapping that stands elsewhere."""

    content: Mark = _NOWHERE


def load_go(text: str | bytes, file: str) -> Node:
    """Parse the first YAML document of a text; `file` is the name used in marks.

    Raises DocumentError with one problem, worded as yaml.v3 words it, for text that is no YAML. Depth and size are bounded
    as in `load`. An empty document is a null scalar.
    """
    composer = _GoComposer(file)
    try:
        return composer.document(events_of(_decoded(text, file)))
    except yaml.reader.ReaderError as error:
        raise _failure(Mark(file, 0, 0), str(error.reason)) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_failure(error, file) from error


def content_mark(node: Node) -> Mark:
    """Return where the content of a node is written, which for an alias is not where the node stands."""
    return node.content if isinstance(node, AliasedScalar | AliasedList | AliasedMap) else node.mark


def _decoded(text: str | bytes, file: str) -> str:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _failure(Mark(file, 0, 0), _ENCODING_FAULTS[error.reason]) from error
    return decoded.removeprefix("\ufeff")


def _failure(mark: Mark, message: str) -> DocumentError:
    return DocumentError([Problem(Severity.ERROR, mark, "", f"yaml: {message}")])


def _syntax_failure(error: yaml.MarkedYAMLError, file: str) -> DocumentError:
    """Name the line as yaml.v3 does, which forgets to count from 1 unless the scanner found the fault."""
    mark = error.problem_mark or error.context_mark
    line = 0
    if error.problem_mark and error.problem_mark.line:
        line = error.problem_mark.line + isinstance(error, yaml.scanner.ScannerError)
    elif error.context_mark:
        line = error.context_mark.line
    where = f"line {line}: " if line else ""
    found = Mark(file, mark.line + 1, mark.column + 1) if mark else Mark(file, 0, 0)
    return _failure(found, f"{where}{error.problem}")


class _GoComposer(Composer):
    def document(self, events: Any) -> Node:
        self.next = events.get_event
        try:
            self.next()
            if isinstance(self.next(), yaml.StreamEndEvent):
                return ScalarNode("", Kind.NULL, Mark(self.file, 1, 1))
            node = self.node(self.next(), 1).node
            self.next()
            return node
        finally:
            events.dispose()

    def alias(self, event: Any, depth: int) -> Sized:
        if event.anchor not in self.anchors:
            raise self.failure(self.mark(event), f"unknown anchor '{event.anchor}' referenced")
        if self.anchors[event.anchor] is None:
            raise self.failure(self.mark(event), f"anchor '{event.anchor}' value contains itself")
        sized = super().alias(event, depth)
        return sized._replace(node=_aliased(sized.node, self.mark(event)))

    def map(self, event: Any, depth: int) -> Sized:
        entries: list[tuple[ScalarNode, Node]] = []
        size, height = 1, 0
        mark = self.mark(event)
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key, value = self.node(event, depth + 1), self.node(self.next(), depth + 1)
            size, height = size + key.size + value.size, max(height, value.height)
            if not isinstance(key.node, ScalarNode):
                tag = "!!map" if isinstance(key.node, MapNode) else "!!seq"
                where = f"line {key.node.mark.line}: cannot unmarshal {tag} into string"
                raise self.failure(key.node.mark, f"unmarshal errors:\n  {where}")
            entries.append((key.node, value.node))
        return Sized(MapNode(tuple(entries), mark), size, height + 1)

    def scalar(self, event: Any) -> ScalarNode:
        mark, text, style = self.mark(event), event.value, event.style or ""
        if event.tag is None or event.tag == "!":
            return ScalarNode(text, kind_of(text) if style == "" else Kind.STR, mark, style)
        name = event.tag.removeprefix(_PREFIX)
        if name == "binary":
            return ScalarNode(self.binary(text, mark), Kind.STR, mark, style)
        kind = _CHECKED.get(name, Kind.STR) if event.tag.startswith(_PREFIX) else Kind.STR
        found = kind_of(text)
        if kind not in (Kind.STR, found) and (kind, found) != (Kind.FLOAT, Kind.INT):
            raise self.failure(mark, f"cannot decode {_SHORT[found]} `{text}` as a {_SHORT[kind]}")
        return ScalarNode(text, kind, mark, style)

    def binary(self, text: str, mark: Mark) -> str:
        """Return base64 decoded; bytes that are no UTF-8 become lone surrogates."""
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "surrogateescape")
        except binascii.Error:
            raise self.failure(mark, "!!binary value contains invalid base64 data") from None

    def collection(self, event: Any) -> Mark:
        return self.mark(event)

    def failure(self, mark: Mark, message: str) -> DocumentError:
        return _failure(mark, message)


def _aliased(node: Node, mark: Mark) -> Node:
    content = content_mark(node)
    match node:
        case ScalarNode():
            return AliasedScalar(node.text, node.kind, mark, node.style, content)
        case ListNode():
            return AliasedList(node.items, mark, content)
        case MapNode():
            return AliasedMap(node.entries, mark, content)
