"""The Jinja environment of templates: strict, sandboxed, bounded.

Templates see plain data and a short list of filters; nothing reads a clock, a file or a random number, so equal values give
equal output. What could grow is counted: loop rounds, and the length of every text and list. What can only be bounded by
refusing it is refused: macros, includes, blocks, recursive loops, string formatting.
"""

from collections.abc import Mapping
from typing import Any, cast

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from ignition.render.filters import FILTERS, bounded_range, operate, output_of
from ignition.render.taint import as_secret
from ignition.secrets import Secret

# fmt: off
_OF_DATA: Mapping[type, frozenset[str]] = {
    str: frozenset({
        "endswith", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rpartition", "rstrip", "split",
        "splitlines", "startswith", "strip", "upper",
    }),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
}
METHODS = {**_OF_DATA, Secret: _OF_DATA[str]}
# fmt: on
_REFUSED = (
    nodes.AssignBlock,
    nodes.Block,
    nodes.CallBlock,
    nodes.Extends,
    nodes.FilterBlock,
    nodes.FromImport,
    nodes.Import,
    nodes.Include,
    nodes.Macro,
)


class Sandbox(SandboxedEnvironment):
    """An environment whose templates cannot reach beyond their values."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=output_of,
            cache_size=0,
        )
        self.globals = {"range": bounded_range}
        self.filters = dict(FILTERS)

    def parse_bounded(self, text: str) -> nodes.Template:
        """Parse a template; raise TemplateSyntaxError for what is wrong or refused in it."""
        return cast("nodes.Template", _Bounder().visit(self.parse(text)))

    def is_safe_callable(self, obj: Any) -> bool:
        owner = getattr(obj, "__self__", None)
        return obj is bounded_range or getattr(obj, "__name__", "") in METHODS.get(type(owner), ())

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if isinstance(obj, Undefined):
            str(obj)  # raises, naming what is undefined
        if not self.is_safe_callable(obj):
            raise SecurityError(f"{getattr(obj, '__name__', 'this value')} cannot be called here")
        result = context.call(obj, *args, **kwargs)
        return as_secret(result) if isinstance(getattr(obj, "__self__", None), Secret) else result

    def getattr(self, obj: Any, attribute: str) -> Any:
        # Keys first: `host.items` is the value of that name, not the method of the mapping that holds it.
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return operate(operator, left, right)


class _Bounder(NodeTransformer):
    """Refuses what cannot be bounded, and puts a count on what can."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if isinstance(node, _REFUSED):
            raise TemplateSyntaxError(f"{type(node).__name__.lower()} is not supported here", node.lineno)
        return super().generic_visit(node, *args, **kwargs)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            raise TemplateSyntaxError("a recursive loop is not supported here", node.lineno)
        node.iter = _filtered(node.iter, "rounds")
        return self.generic_visit(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        operands = nodes.List(node.nodes, lineno=node.lineno)
        return self.generic_visit(_filtered(operands, "concatenated"))


def _filtered(value: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(cast("nodes.Expr", value), name, [], [], None, None, lineno=value.lineno)
