"""Where a value of a Butane document stands, and keys that no struct has."""

import difflib
from collections.abc import Iterator

from ignition.butane.decoding import Record
from ignition.butane.releases import Release
from ignition.butane.schema import fields
from ignition.document import ListNode, MapNode, Mark, Node
from ignition.document.go_yaml import AliasedList, AliasedMap
from ignition.errors import Entry, Severity
from ignition.model import Path, dotted


def child(node: Node, step: str | int) -> Node | None:
    """Return the value that stands in a collection. In the place of an alias stands nothing but the alias."""
    if isinstance(node, AliasedMap | AliasedList):
        return None
    if isinstance(node, MapNode) and isinstance(step, str):
        return node.by_key.get(step)
    if isinstance(node, ListNode) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def mark_of(document: Node, path: Path) -> Mark:
    """Return the mark of the value at a path of Butane's keys, or of the nearest enclosing value."""
    node = document
    for step in path:
        inner = child(node, step)
        if inner is None:
            break
        node = inner
    return node.mark


def entry(severity: Severity, document: Node, path: Path, message: str, hint: str = "") -> Entry:
    """Return a finding about the value at a path of Butane's keys."""
    return Entry(severity, mark_of(document, path), dotted(path) if path else "", message, hint)


def unused_keys(record: Record, document: Node, release: Release) -> tuple[Entry, ...]:
    """Return a warning for every key that Butane ignores, in the order of Butane's structs."""
    return tuple(_unused(record, document, (), release))


def _unused(record: Record, node: Node | None, path: Path, release: Release) -> Iterator[Entry]:
    known = fields(record.struct, release)
    if isinstance(node, MapNode) and not isinstance(node, AliasedMap):
        for key, _ in node.entries:
            if key.text not in known:
                close = difflib.get_close_matches(key.text[:100], known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
                yield Entry(Severity.WARNING, key.mark, dotted((*path, key.text)), f"unused key {key.text}", hint)
    elif node is not None:
        yield Entry(Severity.WARNING, node.mark, dotted(path), _mismatch(path))
    for name, field in known.items():
        value = record.values.get(name)
        inner = None if node is None else child(node, name)
        if field.is_struct and field.is_list:
            for index, item in enumerate(value or ()):
                yield from _unused(item, inner and child(inner, index), (*path, name, index), release)
        elif field.is_struct and (value is not None or not field.is_pointer):
            yield from _unused(value or Record(field.type, {}), inner, (*path, name), release)


def _mismatch(path: Path) -> str:
    consequence = "Line and column reporting may be inconsistent. Unused keys may not be reported."
    return f"context tree does not match content tree at {dotted(path)}. {consequence}"
