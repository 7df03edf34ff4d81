"""What yaml.v3 says when a node does not fit a Go type, and how it reads mappings and scalars (decode.go, resolve.go)."""

import math
import re
from collections.abc import Iterator
from itertools import combinations, islice

from ignition.document import Kind, ListNode, MapNode, Mark, Node, ScalarNode
from ignition.document.go_yaml import content_mark
from ignition.rules.places import quoted

_INT64 = 2**63
_UINT64 = 2**64
_LONGEST = 10
_MOST_REPETITIONS = 1000
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9:.]+(?:Z|[-+][0-9]{2}:[0-9]{2})?)?")
_TAGS = {Kind.NULL: "!!null", Kind.BOOL: "!!bool", Kind.INT: "!!int", Kind.FLOAT: "!!float", Kind.STR: "!!str"}
_OLD_BOOL = {
    **{text: True for word in ("y", "yes", "on") for text in (word, word.capitalize(), word.upper())},
    **{text: False for word in ("n", "no", "off") for text in (word, word.capitalize(), word.upper())},
}


class BadMerge(Exception):
    """A merge key has a value that is no mapping."""

    def __init__(self, mark: Mark) -> None:
        super().__init__("yaml: map merge requires map or sequence of maps as the value")
        self.mark = mark


def unmarshal_fault(node: Node, go_type: str) -> str:
    """Return the message for a node that has no value of a Go type."""
    line = content_mark(node).line
    match node:
        case ScalarNode():
            text = node.text if len(node.text) <= _LONGEST else f"{node.text[: _LONGEST - 3]}..."
            return f"line {line}: cannot unmarshal {_tag(node)} `{text}` into {go_type}"
        case ListNode():
            return f"line {line}: cannot unmarshal !!seq into {go_type}"
        case MapNode():
            return f"line {line}: cannot unmarshal !!map into {go_type}"


def _tag(node: ScalarNode) -> str:
    if node.kind is Kind.INT and not -_INT64 <= int(node.value() or 0) < _UINT64:
        return "!!float"
    if node.kind is Kind.STR and node.style == "" and _TIMESTAMP.fullmatch(node.text):
        return "!!timestamp"
    return _TAGS[node.kind]


def repeated_keys(node: MapNode) -> list[tuple[Mark, str]]:
    """Return where keys are given again, and the message for each; of very many only the first."""
    return list(islice(_repetitions(node), _MOST_REPETITIONS))


def _repetitions(node: MapNode) -> Iterator[tuple[Mark, str]]:
    """Yield every pair of equal keys, as Go does."""
    places: dict[str, list[ScalarNode]] = {}
    for key, _ in node.entries:
        places.setdefault(key.text, []).append(key)
    for keys in places.values():
        for key, again in combinations(keys, 2):
            message = f"mapping key {quoted(again.text)} already defined at line {key.mark.line}"
            yield again.mark, f"line {again.mark.line}: {message}"


def merged_entries(node: MapNode) -> Iterator[tuple[ScalarNode, Node]]:
    """Yield the entries of a mapping, then those that its merge key brings and no entry before them has.

    Raises BadMerge for a merge key whose value is neither a mapping nor a list of mappings.
    """
    known: set[str] = set()
    brought: Node | None = None
    for key, value in node.entries:
        if is_merge(key):
            brought = value
        else:
            known.add(key.text)
            yield key, value
    if brought is None:
        return
    for source in brought.items if isinstance(brought, ListNode) else (brought,):
        if not isinstance(source, MapNode):
            raise BadMerge(source.mark)
        for key, value in merged_entries(source):
            if key.text not in known:
                known.add(key.text)
                yield key, value


def is_merge(key: ScalarNode) -> bool:
    return key.text == "<<" and key.style == ""


def integer(node: ScalarNode) -> int | None:
    """Return the int that Go takes a scalar for; numbers with a fraction lose it."""
    value = node.value()
    if node.kind is Kind.FLOAT and isinstance(value, float) and math.isfinite(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_INT64 <= value < _INT64 else None


def boolean(node: ScalarNode) -> bool | None:
    """Return the bool that Go takes a scalar for. Unlike true, the words of YAML 1.1 may be quoted."""
    if node.kind is Kind.BOOL:
        return bool(node.value())
    return _OLD_BOOL.get(node.text) if node.kind is Kind.STR else None
