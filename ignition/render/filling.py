"""Documents with expressions and statements in them, compiled into functions from values to documents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from ignition.document import Data, Kind, ListNode, MapNode, Mark, Node, ScalarNode
from ignition.document.nodes import join
from ignition.errors import Problem, Severity
from ignition.render.statements import Choice, Loop, Statement, is_loop, is_statement, parse_statements
from ignition.render.text import BadText, Text, is_dynamic

MAX_SIZE = 200_000
"""Values in a rendered document, where 256 characters of rendered text count as one more."""


@dataclass
class Budget:
    """How much a document may still grow."""

    left: int = MAX_SIZE

    def spend(self, size: int, mark: Mark, path: str) -> None:
        self.left -= size
        if self.left < 0:
            message = f"the template grows to more than {MAX_SIZE:,} values"
            raise BadText(Problem(Severity.ERROR, mark, path, message))


@dataclass(frozen=True)
class Filling:
    """The values a document is filled with, and what was found to be wrong with them."""

    values: Mapping[str, Data]
    problems: list[Problem] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)

    def with_names(self, names: Mapping[str, Any]) -> "Filling":
        return replace(self, values={**self.values, **names})

    def error(self, mark: Mark, path: str, message: str) -> None:
        self.problems.append(Problem(Severity.ERROR, mark, path, message))


Fill: TypeAlias = Callable[[Filling], Node]
"""Makes a node from values. Raises BadText when the document grows too large; other problems go to the filling."""

FillMany: TypeAlias = Callable[[Filling], list[Node]]
"""Makes the nodes that statements stand for: of each branch taken and each round of a loop, the body."""


def compile_node(node: Node, path: str, problems: list[Problem]) -> Fill | None:
    """Return what fills a node, or None for a node without expressions, which is used as it is."""
    if isinstance(node, ScalarNode):
        return _scalar(node, path, problems)
    if isinstance(node, ListNode):
        return _list(node, path, problems)
    if any(is_statement(key) for key, _ in node.entries):
        return _block_value(node, path, problems) if _is_block(node) else _map_with_choices(node, path, problems)
    fills = [_entry(key, value, path, problems) for key, value in node.entries]
    if not any(fills):
        return None
    entries = [(key, _or_constant(fill, value)) for (key, value), fill in zip(node.entries, fills, strict=True)]
    return lambda filling: MapNode(tuple((key, fill(filling)) for key, fill in entries), node.mark)


def _is_block(node: Node) -> bool:
    """Whether a node is a mapping of statements only, which stands for any number of values."""
    return isinstance(node, MapNode) and bool(node.entries) and all(is_statement(key) for key, _ in node.entries)


def _or_constant(fill: Fill | None, node: Node) -> Fill:
    return (lambda filling: node) if fill is None else fill


def _entry(key: ScalarNode, value: Node, path: str, problems: list[Problem]) -> Fill | None:
    if is_dynamic(key) and not is_statement(key):
        problems.append(Problem(Severity.ERROR, key.mark, join(path, key.text), "a key cannot hold an expression"))
    return compile_node(value, join(path, key.text), problems)


def _scalar(node: ScalarNode, path: str, problems: list[Problem]) -> Fill | None:
    if not is_dynamic(node):
        return None
    try:
        text = Text.compile(node, path)
    except BadText as error:
        problems.append(error.problem)
        return None

    def fill(filling: Filling) -> Node:
        try:
            filled = text.fill(filling.values)
        except BadText as error:
            filling.problems.append(error.problem)
            return node
        filling.budget.spend(_size(filled), node.mark, path)
        return filled

    return fill


def _list(node: ListNode, path: str, problems: list[Problem]) -> Fill | None:
    fills: list[FillMany] = []
    is_constant = True
    for index, item in enumerate(node.items):
        where = join(path, index)
        if isinstance(item, MapNode) and _is_block(item):
            fills.append(_block(item, where, problems))
            is_constant = False
        else:
            fill = compile_node(item, where, problems)
            is_constant = is_constant and fill is None
            fills.append(_one(_or_constant(fill, item)))
    if is_constant:
        return None
    return lambda filling: ListNode(tuple(item for fill in fills for item in fill(filling)), node.mark)


def _one(fill: Fill) -> FillMany:
    return lambda filling: [fill(filling)]


def _block(node: MapNode, path: str, problems: list[Problem]) -> FillMany:
    """Fill statements whose bodies become items of a list: a body that is a list stands for its items."""
    bodies = _bodies(node, path, problems)
    return lambda filling: [item for body in bodies(filling) for item in (body.items if isinstance(body, ListNode) else (body,))]


def _block_value(node: MapNode, path: str, problems: list[Problem]) -> Fill:
    """Fill statements that stand where one value does: loops make a list, choices their bodies or nothing."""
    if any(is_loop(key) for key, _ in node.entries):
        items = _block(node, path, problems)
        return lambda filling: ListNode(tuple(items(filling)), node.mark)
    bodies = _bodies(node, path, problems)

    def fill(filling: Filling) -> Node:
        chosen = bodies(filling)
        if len(chosen) > 1:
            return MapNode(_merged([((), body) for body in chosen], node.mark, path, filling), node.mark)
        return chosen[0] if chosen else ScalarNode("null", Kind.NULL, node.mark)

    return fill


def _map_with_choices(node: MapNode, path: str, problems: list[Problem]) -> Fill:
    """Fill a mapping that has choices among its keys: the keys of the branches taken become keys of the mapping."""
    groups: list[tuple[ScalarNode | None, FillMany]] = []
    choices: list[tuple[ScalarNode, Node]] = []

    def close() -> None:
        if choices:
            groups.append((None, _bodies(MapNode(tuple(choices), choices[0][0].mark), path, problems)))
            choices.clear()

    for key, value in node.entries:
        if is_statement(key):
            if is_loop(key):
                message = "a loop makes items of a list, so it cannot stand among other keys"
                problems.append(Problem(Severity.ERROR, key.mark, join(path, key.text), message))
            choices.append((key, value))
        else:
            close()
            groups.append((key, _one(_or_constant(_entry(key, value, path, problems), value))))
    close()

    def fill(filling: Filling) -> Node:
        parts: list[_Keyed] = [(() if key is None else (key,), body) for key, bodies in groups for body in bodies(filling)]
        return MapNode(_merged(parts, node.mark, path, filling), node.mark)

    return fill


_Keyed: TypeAlias = "tuple[tuple[ScalarNode, ...], Node]"


def _merged(parts: list[_Keyed], mark: Mark, path: str, filling: Filling) -> tuple[tuple[ScalarNode, Node], ...]:
    """Join entries: a part with a key is an entry, one without is a mapping of entries, or null."""
    entries: dict[str, tuple[ScalarNode, Node]] = {}
    for keys, value in parts:
        if keys:
            added: tuple[tuple[ScalarNode, Node], ...] = ((keys[0], value),)
        elif isinstance(value, MapNode):
            added = value.entries
        else:
            if not (isinstance(value, ScalarNode) and value.kind is Kind.NULL):
                filling.error(value.mark, path, f"expected a mapping among other keys, found {value.describe()}")
            continue
        for key, item in added:
            if key.text in entries:
                filling.error(key.mark, join(path, key.text), "the key is given twice")
            entries[key.text] = (key, item)
    return tuple(entries.values())


def _bodies(node: MapNode, path: str, problems: list[Problem]) -> FillMany:
    """Compile statements and their bodies; the result gives the bodies of branches taken and of every round."""
    statements = parse_statements(node, path, problems)
    compiled: dict[int, FillMany] = {}
    for key, body in node.entries:
        where = join(path, key.text)
        if isinstance(body, MapNode) and _is_block(body):
            compiled[id(body)] = _block(body, where, problems)
        else:
            compiled[id(body)] = _one(_or_constant(compile_node(body, where, problems), body))

    def fill(filling: Filling) -> list[Node]:
        return [item for statement in statements for item in _run(statement, filling, compiled, path)]

    return fill


def _run(statement: Statement, filling: Filling, compiled: Mapping[int, FillMany], path: str) -> list[Node]:
    try:
        rounds = _rounds(statement, filling)
    except BadText as error:
        filling.problems.append(error.problem)
        return []
    filled: list[Node] = []
    for body, inner in rounds:
        filling.budget.spend(_size(body), body.mark, path)
        filled += compiled[id(body)](inner)
    return filled


def _rounds(statement: Statement, filling: Filling) -> list[tuple[Node, Filling]]:
    """Return the bodies to fill, each with its values."""
    match statement:
        case Loop():
            return [(statement.body, filling.with_names(names)) for names in statement.rounds(filling.values)]
        case Choice():
            body = statement.chosen(filling.values)
            return [] if body is None else [(body, filling)]


def _size(node: Node) -> int:
    match node:
        case ScalarNode():
            return 1 + len(node.text) // 256
        case ListNode():
            return 1 + sum(map(_size, node.items))
        case MapNode():
            return 1 + sum(_size(value) for _, value in node.entries)
