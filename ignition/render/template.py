"""Templates: parsed and compiled once, rendered for every host."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from ignition import butane, model
from ignition.document import Data, DocumentError, ListNode, MapNode, Node, ScalarNode, load, to_data
from ignition.document.nodes import join
from ignition.errors import Problem, Severity
from ignition.render.text import BadText, Text, is_dynamic
from ignition.validate import Report, validate_document

Fill: TypeAlias = Callable[[Mapping[str, Data], list[Problem]], Node]
"""Makes a node from values, adding to the problems what is wrong with them."""


@dataclass(frozen=True)
class Rendered:
    """An Ignition config and what was found in it. The config is empty when the report is fatal.

    The config is compact JSON in UTF-8, equal for equal templates and values: from Butane with keys in the order of Ignition's
    structs, from an Ignition template in the order of the template.
    """

    config: bytes
    report: Report


class Template:
    """A compiled template; `render` makes a config of it."""

    def __init__(self, root: Node, fill: Fill | None) -> None:
        self._root = root
        self._fill = fill

    @classmethod
    def parse(cls, text: str | bytes, file: str) -> "Template":
        """Parse and compile a template. Raises DocumentError with every problem of its YAML and its expressions."""
        root = load(text, file)
        problems: list[Problem] = []
        fill = _compile(root, "", problems)
        if not isinstance(root, MapNode) or not {"variant", "ignition"} & root.by_key.keys():
            message = "neither a Butane document (no variant) nor an Ignition config (no ignition.version)"
            problems.append(Problem(Severity.ERROR, root.mark, "", message))
        if problems:
            raise DocumentError(problems)
        return cls(root, fill)

    def render(self, values: Mapping[str, Data]) -> Rendered:
        """Fill in the values and translate.

        What is wrong with the config is in the report. Raises DocumentError, naming the line of the template, for what is wrong
        with the values: undefined names, wrong types, too much work.
        """
        problems: list[Problem] = []
        document = self._root if self._fill is None else self._fill(values, problems)
        if problems:
            raise DocumentError(problems)
        if isinstance(document, MapNode) and "variant" in document.by_key:
            translation = butane.translate(document)
            config = b"" if translation.config is None else model.encode(translation.config)
            return Rendered(config, Report(translation.problems))
        report = validate_document(document)
        return Rendered(b"" if report.is_fatal else msgspec.json.encode(to_data(document)), report)


def render(template: str | bytes, file: str, values: Mapping[str, Data]) -> Rendered:
    """Render a template once; see Template."""
    return Template.parse(template, file).render(values)


def _compile(node: Node, path: str, problems: list[Problem]) -> Fill | None:
    """Return what fills a node, or None for a node without expressions, which is used as it is."""
    if isinstance(node, ScalarNode):
        return _compile_scalar(node, path, problems)
    if isinstance(node, ListNode):
        items = [(item, _compile(item, join(path, index), problems)) for index, item in enumerate(node.items)]
        return _list_filler(node, items) if any(fill for _, fill in items) else None
    entries = []
    for key, value in node.entries:
        if is_dynamic(key):
            problems.append(Problem(Severity.ERROR, key.mark, join(path, key.text), "a key cannot hold an expression"))
        entries.append((key, value, _compile(value, join(path, key.text), problems)))
    return _map_filler(node, entries) if any(fill for _, _, fill in entries) else None


def _compile_scalar(node: ScalarNode, path: str, problems: list[Problem]) -> Fill | None:
    if not is_dynamic(node):
        return None
    try:
        text = Text.compile(node, path)
    except BadText as error:
        problems.append(error.problem)
        return None

    def fill(values: Mapping[str, Data], problems: list[Problem]) -> Node:
        try:
            return text.render(values)
        except BadText as error:
            problems.append(error.problem)
            return node

    return fill


def _list_filler(node: ListNode, items: list[tuple[Node, Fill | None]]) -> Fill:
    def fill(values: Mapping[str, Data], problems: list[Problem]) -> Node:
        filled = (item if fill_item is None else fill_item(values, problems) for item, fill_item in items)
        return ListNode(tuple(filled), node.mark)

    return fill


def _map_filler(node: MapNode, entries: list[tuple[ScalarNode, Node, Fill | None]]) -> Fill:
    def fill(values: Mapping[str, Data], problems: list[Problem]) -> Node:
        filled = ((key, item if fill_item is None else fill_item(values, problems)) for key, item, fill_item in entries)
        return MapNode(tuple(filled), node.mark)

    return fill
