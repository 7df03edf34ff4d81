"""One string of a template, compiled."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import TemplateError, TemplateSyntaxError

from ignition.document import Data, Kind, ListNode, MapNode, Mark, Node, ScalarNode
from ignition.errors import Problem, Severity
from ignition.render.filters import bounded_text, plain, restart_counting
from ignition.render.sandbox import Sandbox
from ignition.render.taint import reveal

_SANDBOX = Sandbox()
_RESULT = "result"
_MARKERS = ("{{", "{%", "{#")
# What wrong types and values raise inside an expression. Anything else is a bug here, and is not caught.
_FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


class BadText(Exception):
    """A string of a template cannot be compiled or rendered; carries where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def is_dynamic(node: ScalarNode) -> bool:
    """Whether a scalar holds anything for Jinja."""
    return node.kind is Kind.STR and any(marker in node.text for marker in _MARKERS)


@dataclass(frozen=True)
class Text:
    """A compiled string: an expression whose value takes the string's place, or text with expressions in it."""

    node: ScalarNode
    path: str
    template: jinja2.Template
    is_expression: bool

    @classmethod
    def compile(cls, node: ScalarNode, path: str) -> "Text":
        """Compile a string; raise BadText for a syntax error or for what the sandbox refuses."""
        with _located(node, path):
            tree = _SANDBOX.parse_bounded(node.text)
            expression = _only_expression(tree)
            return cls._of(node, path, tree if expression is None else _assigned(expression), expression is not None)

    @classmethod
    def of_expression(cls, node: ScalarNode, path: str, expression: nodes.Expr) -> "Text":
        """Compile an expression that stands in a string; raise BadText."""
        with _located(node, path):
            return cls._of(node, path, _assigned(expression), True)

    @classmethod
    def _of(cls, node: ScalarNode, path: str, tree: nodes.Template, is_expression: bool) -> "Text":
        return cls(node, path, _SANDBOX.from_string(tree), is_expression)

    def render(self, values: Mapping[str, Data]) -> Node:
        """Return the node that takes the string's place; raise BadText naming what is undefined or not allowed."""
        restart_counting()
        return self.fill(values)

    def fill(self, values: Mapping[str, Data]) -> Node:
        """Render as a part of something larger, whose loop rounds are counted together."""
        with self._running():
            value = self._evaluated(values)
            if self.is_expression:
                return node_of(value, self.node.mark)
            return ScalarNode(_encodable(value), Kind.STR, self.node.mark, '"')

    def value(self, values: Mapping[str, Data]) -> Any:
        """Return the value of an expression as plain data, in which secrets stay secrets; raise BadText."""
        with self._running():
            return self._evaluated(values)

    def _evaluated(self, values: Mapping[str, Data]) -> Any:
        context = self.template.new_context(dict(values))
        text = bounded_text(self.template.root_render_func(context))
        return plain(context.vars[_RESULT]) if self.is_expression else text

    @contextmanager
    def _running(self) -> Iterator[None]:
        try:
            yield
        except _FAULTS as error:
            line = _template_line(error.__traceback__, self.template)
            raise BadText(_problem(self.node, self.path, line, str(error) or type(error).__name__)) from error


def parse_statement(node: ScalarNode, path: str, text: str) -> nodes.Node:
    """Parse a text that is one statement; raise BadText, located at the node."""
    with _located(node, path):
        match _SANDBOX.parse_bounded(text).body:
            case [nodes.For(body=[]) | nodes.If(body=[]) as statement]:
                return statement
        raise TemplateSyntaxError("a key holds one statement", 1)


@contextmanager
def _located(node: ScalarNode, path: str) -> Iterator[None]:
    """Turn what is wrong with the syntax of a string into BadText."""
    try:
        yield
    except TemplateSyntaxError as error:
        raise BadText(_problem(node, path, error.lineno, error.message or "syntax error")) from error
    except (TemplateError, RecursionError, SyntaxError, ValueError) as error:
        raise BadText(_problem(node, path, 1, str(error) or type(error).__name__)) from error


def _assigned(expression: nodes.Expr) -> nodes.Template:
    tree = nodes.Template([nodes.Assign(nodes.Name(_RESULT, "store", lineno=1), expression, lineno=1)], lineno=1)
    tree.set_environment(_SANDBOX)
    return tree


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a string that is exactly one `{{ expression }}`."""
    match tree.body:
        case [nodes.Output(nodes=[nodes.TemplateData()])]:
            return None
        case [nodes.Output(nodes=[expression])]:
            return expression
        case _:
            return None


def _template_line(traceback: TracebackType | None, template: jinja2.Template) -> int:
    """Return the line of the template that was being rendered when an exception was raised."""
    line = 1
    while traceback is not None:
        if "__jinja_template__" in traceback.tb_frame.f_globals:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line


def _problem(node: ScalarNode, path: str, line: int, message: str) -> Problem:
    """Place a problem at a line of the string: for a literal block that is a line of the file."""
    mark = node.mark
    if node.style == "|":
        mark = Mark(mark.file, mark.line + line, 1)
    elif line > 1:
        message = f"{message}, in line {line} of the text"
    return Problem(Severity.ERROR, mark, path, message)


def _encodable(text: str) -> str:
    """Return the text; raise ValueError (UnicodeEncodeError) when it has no UTF-8 form."""
    if not text.isascii():
        text.encode("utf-8")
    return text


def node_of(value: Any, mark: Mark) -> Node:
    """Return plain data as nodes, all at one mark."""
    if value is None:
        return ScalarNode("null", Kind.NULL, mark)
    if isinstance(value, bool):
        return ScalarNode("true" if value else "false", Kind.BOOL, mark)
    if isinstance(value, int):
        return ScalarNode(str(value), Kind.INT, mark)
    if isinstance(value, float):
        return ScalarNode(repr(value), Kind.FLOAT, mark)
    if isinstance(value, str):
        return ScalarNode(_encodable(reveal(value)), Kind.STR, mark, '"')
    if isinstance(value, Mapping):
        return MapNode(tuple((_key(key, mark), node_of(item, mark)) for key, item in value.items()), mark)
    return ListNode(tuple(node_of(item, mark) for item in value), mark)


def _key(key: str, mark: Mark) -> ScalarNode:
    return ScalarNode(_encodable(reveal(key)), Kind.STR, mark, '"')
