"""Statements as keys: `"{% for peer in peers %}"`, `"{% if debug %}"`, `"{% elif ... %}"` and `"{% else %}"`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from jinja2 import nodes

from ignition.document import Data, MapNode, Node, ScalarNode
from ignition.document.nodes import join
from ignition.errors import Problem, Severity
from ignition.render.text import BadText, Text, parse_statement

_STATEMENT = re.compile(r"\s*\{%[-+]?\s*(?P<word>for|if|elif|else)\b(?P<rest>.*?)[-+]?%\}\s*", re.DOTALL)


@dataclass(frozen=True)
class Loop:
    """`{% for target in items if test %}`."""

    target: nodes.Node
    items: Text
    test: Text | None
    body: Node

    def rounds(self, values: Mapping[str, Data]) -> list[dict[str, Any]]:
        """Return the names that each round adds to the values. Raises BadText."""
        bound = [self._bound(self.target, item) for item in self.items.value(values)]
        if self.test is not None:
            bound = [names for names in bound if self.test.value({**values, **names})]
        last = len(bound) - 1
        return [
            {**names, "loop": {"index": n + 1, "index0": n, "first": n == 0, "last": n == last, "length": last + 1}}
            for n, names in enumerate(bound)
        ]

    def _bound(self, target: nodes.Node, item: Any) -> dict[str, Any]:
        if isinstance(target, nodes.Name):
            return {target.name: item}
        targets = cast("nodes.Tuple", target).items
        if not isinstance(item, list) or len(item) != len(targets):
            message = f"the loop takes lists of {len(targets)} values"
            raise BadText(Problem(Severity.ERROR, self.items.node.mark, self.items.path, message))
        names: dict[str, Any] = {}
        for inner, value in zip(targets, item, strict=True):
            names |= self._bound(inner, value)
        return names


@dataclass(frozen=True)
class Choice:
    """`{% if test %}` with the branches that follow it; the test of `{% else %}` is None."""

    branches: tuple[tuple[Text | None, Node], ...]

    def chosen(self, values: Mapping[str, Data]) -> Node | None:
        """Return the body of the first branch whose test holds. Raises BadText."""
        return next((body for test, body in self.branches if test is None or test.value(values)), None)


Statement: TypeAlias = Loop | Choice


def is_statement(key: ScalarNode) -> bool:
    """Whether a key is a statement and not the name of something."""
    return _STATEMENT.fullmatch(key.text) is not None


def is_loop(key: ScalarNode) -> bool:
    found = _STATEMENT.fullmatch(key.text)
    return found is not None and found["word"] == "for"


def parse_statements(node: MapNode, path: str, problems: list[Problem]) -> list[Statement]:
    """Parse the keys of a mapping that are all statements, adding what is wrong with them to the problems."""
    return list(_statements(node, path, problems))


def _statements(node: MapNode, path: str, problems: list[Problem]) -> Iterator[Statement]:
    branches: list[tuple[Text | None, Node]] = []
    for key, body in node.entries:
        found = _STATEMENT.fullmatch(key.text)
        word, rest = (found["word"], found["rest"]) if found else ("", "")
        where = join(path, key.text)
        if word in ("for", "if") and branches:
            yield Choice(tuple(branches))
            branches = []
        if word in ("elif", "else") and (not branches or branches[-1][0] is None):
            problems.append(Problem(Severity.ERROR, key.mark, where, f"{word} without if before it"))
            continue
        try:
            if word == "for":
                yield _loop(key, body, where)
            else:
                branches.append((_test(key, where, word, rest), body))
        except BadText as error:
            problems.append(error.problem)
    if branches:
        yield Choice(tuple(branches))


def _loop(key: ScalarNode, body: Node, path: str) -> Loop:
    loop = cast("nodes.For", parse_statement(key, path, key.text.strip() + "{% endfor %}"))
    items = nodes.Filter(cast("nodes.Expr", loop.iter), "list", [], [], None, None, lineno=1)
    test = None if loop.test is None else Text.of_expression(key, path, _truth(loop.test))
    return Loop(loop.target, Text.of_expression(key, path, items), test, body)


def _test(key: ScalarNode, path: str, word: str, rest: str) -> Text | None:
    if word == "else":
        if rest.strip():
            raise BadText(Problem(Severity.ERROR, key.mark, path, "else takes no condition"))
        return None
    choice = cast("nodes.If", parse_statement(key, path, f"{{% if{rest} %}}{{% endif %}}"))
    return Text.of_expression(key, path, _truth(choice.test))


def _truth(expression: nodes.Node) -> nodes.Expr:
    """Make true or false of whatever an expression yields; undefined is an error."""
    inner = nodes.Not(cast("nodes.Expr", expression), lineno=1)
    return nodes.Not(inner, lineno=1)
