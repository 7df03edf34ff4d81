"""Mappings of an old template by tables of their keys: what becomes of each, where the Jinja stands, and what is reported."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ignition.document import ListNode, MapNode, Node, ScalarNode, to_data
from mayu_py.importing.report import Journal

Convert: TypeAlias = Callable[["Document", Node], Any]


@dataclass
class Document:
    """What the conversion needs beside the nodes: what the words stand for, and the report."""

    words: Mapping[str, str]
    journal: Journal
    _pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        longest_first = sorted(self.words, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def filled(self, text: str) -> str:
        """Text with its Jinja, where the words stood."""
        return self._pattern.sub(lambda match: self.words[match[0]], text)

    def statement(self, key: str) -> str | None:
        """The statement that a key stands for."""
        found = self.words.get(key)
        return found if found is not None and found.startswith("{%") else None

    def has_jinja(self, text: str) -> bool:
        """Whether any word is in it."""
        return bool(self._pattern.search(text))


@dataclass(frozen=True)
class Key:
    """What becomes of one key. `convert` None: the value as it is; `why`: it is dropped."""

    to: tuple[str, ...] = ()
    convert: Convert | None = None
    why: str = ""


Table: TypeAlias = Mapping[str, Key]


def record(document: Document, node: Node, table: Table) -> dict[str, Any]:
    """A mapping by its table of keys. Statements among its keys hold mappings of the same kind."""
    found: dict[str, Any] = {}
    for key, value in _members(document, node):
        if statement := document.statement(key.text):
            if statement in found:
                document.journal.left(key.mark, statement, "two such choices in one mapping: make them one")
            else:
                found[statement] = record(document, value, table)
            continue
        known = table.get(key.text.lower().replace("_", ""))
        if known is None:
            document.journal.dropped(key.mark, document.filled(key.text), "no key of spec 2: Mayu did not read it either")
        elif known.why:
            document.journal.dropped(key.mark, f"{key.text}: {shown(document, value)}", known.why)
        else:
            converted = known.convert(document, value) if known.convert else plain(document, value)
            if known.to:
                lay(found, known.to, converted)
            elif isinstance(converted, Mapping):
                for name, each in converted.items():
                    lay(found, (name,), each)
    return found


def _members(document: Document, node: Node) -> Iterator[tuple[ScalarNode, Node]]:
    if isinstance(node, MapNode):
        yield from node.entries
    elif not (isinstance(node, ScalarNode) and to_data(node) is None):
        document.journal.left(node.mark, document.filled(str(to_data(node)))[:60], "a mapping is expected here")


def lay(found: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put a value in; lists and mappings that are there already are added to."""
    *above, last = path
    for step in above:
        found = found.setdefault(step, {})
    before = found.get(last)
    if isinstance(before, list) and isinstance(value, list):
        value = [*before, *value]
    elif isinstance(before, dict) and isinstance(value, dict):
        for key, each in value.items():
            lay(before, (key,), each)
        value = before
    found[last] = value


def shown(document: Document, node: Node) -> str:
    """A value for the report."""
    return document.filled(str(to_data(node)))[:60]


def plain(document: Document, node: Node) -> Any:
    """A value as it is, its Jinja in place."""
    match node:
        case ScalarNode():
            return document.filled(node.text) if document.has_jinja(node.text) else node.value()
        case ListNode():
            return items(document, node, plain)
        case MapNode():
            return {document.filled(key.text): plain(document, value) for key, value in node.entries}


def text(document: Document, node: Node) -> Any:
    """A scalar as text."""
    return document.filled(node.text) if isinstance(node, ScalarNode) else plain(document, node)


def items(document: Document, node: Node, convert: Convert) -> list[Any]:
    """A list. An item that is a statement holds items of the same kind."""
    if isinstance(node, MapNode) and node.entries and all(document.statement(key.text) for key, _ in node.entries):
        return [_statement(document, node, convert)]
    if not isinstance(node, ListNode):
        if not (isinstance(node, ScalarNode) and to_data(node) is None):
            document.journal.left(node.mark, shown(document, node), "a list is expected here")
        return []
    found: list[Any] = []
    for item in node.items:
        if isinstance(item, MapNode) and item.entries and document.statement(item.entries[0][0].text):
            found.append(_statement(document, item, convert))
        else:
            converted = convert(document, item)
            found += converted if isinstance(converted, Several) else [converted]
    return found


class Several(list[Any]):
    """What one item became, if not one item."""


def _statement(document: Document, node: MapNode, convert: Convert) -> dict[str, Any]:
    branches = ((document.filled(key.text), value) for key, value in node.entries)
    return {statement: items(document, value, convert) for statement, value in branches}


def of_records(table: Table) -> Convert:
    """A list of mappings."""
    return lambda document, node: items(document, node, lambda _, item: record(document, item, table))


def of(table: Table) -> Convert:
    """A mapping."""
    return lambda document, node: record(document, node, table)
