"""Text to nodes, bounded in depth and size.

YAML's events are composed here and not by PyYAML, whose composer recurses without limit, keeps the last of two equal
keys, and resolves YAML 1.1 types. A document that begins with a bracket is tried as JSON first.

Merge keys (`<<`) are refused: they are not part of YAML 1.2. Anchors and aliases work; what they expand to is counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import yaml

from ignition.document.json_reader import JSONSyntax, read_json
from ignition.document.nodes import Kind, ListNode, MapNode, Node, ScalarNode, kind_of
from ignition.errors import DocumentError, Mark, Problem, Severity

MAX_DEPTH = 100
MAX_NODES = 1_000_000

_EVENTS: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = {
    "tag:yaml.org,2002:str": Kind.STR,
    "tag:yaml.org,2002:int": Kind.INT,
    "tag:yaml.org,2002:float": Kind.FLOAT,
    "tag:yaml.org,2002:bool": Kind.BOOL,
    "tag:yaml.org,2002:null": Kind.NULL,
}
_COLLECTION_TAGS = {None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}


def load(text: str | bytes, file: str) -> Node:
    """Parse one YAML or JSON document; `file` is the name used in marks.

    Raises DocumentError for anything that is not one well-formed document in UTF-8 with unique keys, at most MAX_DEPTH
    levels deep and at most MAX_NODES nodes long once its aliases are expanded. An empty document is a null scalar.
    """
    text = _decoded(text, file)
    composer = Composer(file)
    try:
        node = _json(text, composer) or composer.document(events_of(text))
    except yaml.MarkedYAMLError as error:
        raise composer.failure(_syntax_mark(error, file), _syntax_message(error)) from error
    except yaml.reader.ReaderError as error:
        raise composer.failure(_reader_mark(error, text, file), f"not YAML: {error.reason}") from error
    if composer.problems:
        raise DocumentError(composer.problems)
    return node


def events_of(text: str) -> Any:
    """Return YAML's events as a reader with `get_event` and `dispose`."""
    return _EVENTS(text)


def _json(text: str, composer: "Composer") -> Node | None:
    """Read the text as JSON; None when it is YAML's own flow style, or wrong as YAML too."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        node = read_json(text, composer.file, MAX_DEPTH)
    except JSONSyntax:
        return None
    composer.check_keys(node)
    return node


def _decoded(text: str | bytes, file: str) -> str:
    """Return the text as a string that can be encoded as UTF-8 again, without a byte order mark."""
    try:
        if isinstance(text, bytes):
            return text.decode("utf-8").removeprefix("\ufeff")
        text.encode("utf-8")
        return text.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
    except UnicodeEncodeError as error:
        before = error.object[: error.start]
    raise DocumentError([Problem(Severity.ERROR, _mark_after(before, file), "", "not valid UTF-8")])


def _mark_after(before: str, file: str) -> Mark:
    return Mark(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _syntax_mark(error: yaml.MarkedYAMLError, file: str) -> Mark:
    mark = error.problem_mark or error.context_mark
    return Mark(file, mark.line + 1, mark.column + 1) if mark else Mark(file, 1, 1)


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    return "not YAML: " + " ".join(str(part) for part in (error.context, error.problem) if part)


def _reader_mark(error: yaml.reader.ReaderError, text: str, file: str) -> Mark:
    # libyaml counts bytes here, the Python reader counts characters.
    if _EVENTS is yaml.SafeLoader:
        return _mark_after(text[: error.position], file)
    return _mark_after(text.encode("utf-8")[: error.position].decode("utf-8", "ignore"), file)


_Entries: TypeAlias = dict[str, tuple[ScalarNode, Node]]


class Sized(NamedTuple):
    """A node with the number of nodes and levels it has once its aliases are expanded."""

    node: Node
    size: int
    height: int


@dataclass
class Composer:
    """Makes nodes of YAML's events."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, Sized | None] = field(default_factory=dict)
    next: Callable[[], Any] = lambda: None

    def document(self, events: Any) -> Node:
        self.next = events.get_event
        try:
            self.next()
            start = self.next()
            if isinstance(start, yaml.StreamEndEvent):
                return ScalarNode("", Kind.NULL, Mark(self.file, 1, 1))
            node = self.node(self.next(), 1).node
            self.next()
            if not isinstance(end := self.next(), yaml.StreamEndEvent):
                self.report(self.mark(end), "a second document begins here", "give one document a file")
            return node
        finally:
            events.dispose()

    def node(self, event: Any, depth: int) -> Sized:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        if depth > MAX_DEPTH:
            raise self.failure(self.mark(event), f"nested more than {MAX_DEPTH} levels deep")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            composed = Sized(self.scalar(event), 1, 1)
        elif isinstance(event, yaml.SequenceStartEvent):
            composed = self.list(event, depth)
        else:
            composed = self.map(event, depth)
        if composed.size > MAX_NODES:
            raise self.failure(self.mark(event), f"expands to more than {MAX_NODES:,} values")
        if event.anchor is not None:
            self.anchors[event.anchor] = composed
        return composed

    def alias(self, event: Any, depth: int) -> Sized:
        composed = self.anchors.get(event.anchor)
        if composed is None:
            state = "refers to a value that contains it" if event.anchor in self.anchors else "has no anchor before it"
            raise self.failure(self.mark(event), f"alias *{event.anchor} {state}")
        if depth + composed.height > MAX_DEPTH:
            raise self.failure(self.mark(event), f"nested more than {MAX_DEPTH} levels deep")
        return composed

    def scalar(self, event: Any) -> ScalarNode:
        mark, text, style = self.mark(event), event.value, event.style or ""
        if event.tag is None or event.tag == "!":
            plain = event.implicit[0] and style == ""
            return ScalarNode(text, kind_of(text) if plain else Kind.STR, mark, style)
        kind = _TAGS.get(event.tag)
        found = kind_of(text)
        if kind is None:
            self.report(mark, f"unknown tag {event.tag}")
        elif kind not in (Kind.STR, found) and (kind, found) != (Kind.FLOAT, Kind.INT):
            self.report(mark, f"{text[:40]!r} is no {kind}")
        else:
            return ScalarNode(text, kind, mark, style)
        return ScalarNode(text, Kind.STR, mark, style)

    def list(self, event: Any, depth: int) -> Sized:
        mark = self.collection(event)
        items: list[Node] = []
        size, height = 1, 0
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            item = self.node(event, depth + 1)
            items.append(item.node)
            size, height = size + item.size, max(height, item.height)
        return Sized(ListNode(tuple(items), mark), size, height + 1)

    def map(self, event: Any, depth: int) -> Sized:
        mark = self.collection(event)
        entries: _Entries = {}
        size, height = 1, 0
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key, value = self.node(event, depth + 1), self.node(self.next(), depth + 1)
            size, height = size + key.size + value.size, max(height, value.height)
            if self.is_usable_key(key.node, entries):
                entries[key.node.text] = (key.node, value.node)
        return Sized(MapNode(tuple(entries.values()), mark), size, height + 1)

    def is_usable_key(self, key: Node, entries: _Entries) -> TypeGuard[ScalarNode]:
        if not isinstance(key, ScalarNode):
            self.report(key.mark, f"{key.describe()} cannot be a key")
        elif key.text == "<<" and key.style == "":
            self.report(key.mark, "merge keys are not supported", "repeat the values")
        elif key.text in entries:
            self.report_twice(key, entries[key.text][0])
        else:
            return True
        return False

    def check_keys(self, node: Node) -> None:
        """Report the keys given twice below a node that was composed elsewhere."""
        if isinstance(node, ListNode):
            for item in node.items:
                self.check_keys(item)
        elif isinstance(node, MapNode):
            first: dict[str, ScalarNode] = {}
            for key, value in node.entries:
                if (earlier := first.setdefault(key.text, key)) is not key:
                    self.report_twice(key, earlier)
                self.check_keys(value)

    def collection(self, event: Any) -> Mark:
        mark = self.mark(event)
        if event.tag not in _COLLECTION_TAGS:
            self.report(mark, f"unknown tag {event.tag}")
        return mark

    def mark(self, event: Any) -> Mark:
        start = event.start_mark
        return Mark(self.file, start.line + 1, start.column + 1)

    def report_twice(self, key: ScalarNode, first: ScalarNode) -> None:
        self.report(key.mark, f"key {key.text[:80]!r} is given twice", f"first in line {first.mark.line}")

    def report(self, mark: Mark, message: str, hint: str = "") -> None:
        self.problems.append(Problem(Severity.ERROR, mark, "", message, hint))

    def failure(self, mark: Mark, message: str) -> DocumentError:
        """Return the exception for a problem that ends the reading, with those found before."""
        self.report(mark, message)
        return DocumentError(self.problems)
