"""What templates may call: filters and operators whose results are bounded, and deterministic."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.runtime import Undefined

from ignition.render.taint import as_secret, holds_secret, marked, refusing, reveal, tainting
from ignition.secrets import Secret

MAX_ITERATIONS = 100_000
MAX_TEXT = 1 << 20
MAX_ITEMS = 10_000
_MAX_BITS = 256
_MAX_INDENT = 64

# fmt: off
_BOUNDED = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "select",
    "selectattr", "sort", "title", "trim", "unique", "upper",
)
# fmt: on

_rounds_left: ContextVar[int] = ContextVar("rounds_left", default=MAX_ITERATIONS)


class TooMuch(TemplateRuntimeError):
    """A template does more work than a config is worth."""


def restart_counting() -> None:
    """Give the next rendering its full number of loop rounds."""
    _rounds_left.set(MAX_ITERATIONS)


def rounds(items: Iterable[Any]) -> Iterator[Any]:
    """Pass on the items a loop runs over, counting them."""
    for item in items:
        left = _rounds_left.get() - 1
        if left < 0:
            raise TooMuch(f"loops run more than {MAX_ITERATIONS:,} rounds")
        _rounds_left.set(left)
        yield item


def bounded_range(*bounds: int) -> range:
    """Return range(*bounds), at most MAX_ITEMS long."""
    numbers = range(*bounds)
    # len() fails for what a list could never hold; the ends tell as much.
    if abs(numbers.stop - numbers.start) > MAX_ITEMS * abs(numbers.step):
        raise TooMuch(f"a range of more than {MAX_ITEMS:,} numbers")
    return numbers


def text_of(value: Any) -> str:
    """Return a value as it stands in text. Only text, numbers and booleans have such a form."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Undefined):
        return str(value)  # raises, naming what is undefined
    raise TemplateRuntimeError(f"{name_of(value)} has no form as text; use tojson or join")


def output_of(value: Any) -> str:
    """Return a value as it is put into the text around it."""
    return reveal(text_of(value))


def concatenated(values: list[Any]) -> str:
    """Join the operands of `~`."""
    return bounded_text(text_of(value) for value in values)


def operate(operator: str, left: Any, right: Any) -> Any:
    """Compute `left operator right` for +, *, ** and %; numbers stay small, and only + takes text and lists."""
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return as_secret(checked(left + right)) if holds_secret([left, right]) else checked(left + right)
    if operator == "+" and isinstance(left, list) and isinstance(right, list):
        if len(left) + len(right) > MAX_ITEMS:
            raise TooMuch(f"a list of more than {MAX_ITEMS:,} items")
        return left + right
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise SecurityError(f"{operator} takes numbers here, not {name_of(left)} and {name_of(right)}")
    if operator == "+":
        return left + right
    if operator == "%":
        return left % right
    bits = sum(value.bit_length() for value in (left, right) if isinstance(value, int))
    if operator == "**":
        bits = abs(right) * left.bit_length() if isinstance(left, int) and isinstance(right, int) else 0
    if bits > _MAX_BITS:
        raise TooMuch(f"the result of {operator} is too large")
    return left * right if operator == "*" else left**right


def bounded_text(parts: Iterable[str], separator: str = "") -> str:
    """Join texts, stopping at MAX_TEXT: the parts may be few objects many times."""
    taken: list[str] = []
    size = 0
    for part in parts:
        size += len(part) + (len(separator) if taken else 0)
        if size > MAX_TEXT:
            raise TooMuch(f"text of more than {MAX_TEXT:,} characters")
        taken.append(part)
    return separator.join(taken)


def checked(text: str) -> str:
    """Return the text, which must not be longer than MAX_TEXT."""
    if len(text) > MAX_TEXT:
        raise TooMuch(f"text of more than {MAX_TEXT:,} characters")
    return text


def name_of(value: Any) -> str:
    """Name the type of a value for a message."""
    if isinstance(value, Undefined):
        return str(value)
    if value is None:
        return "nothing"
    if isinstance(value, Secret):
        return "a secret"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return names.get(type(value), f"a {type(value).__name__}")


def _indent(text: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    if not 0 <= width <= _MAX_INDENT or len(text) + width * text.count("\n") > MAX_TEXT:
        raise TooMuch(f"indent takes 0 to {_MAX_INDENT} columns, and text of at most {MAX_TEXT:,} characters")
    return str(JINJA_FILTERS["indent"](text, width, first, blank))


def _join(values: Iterable[Any], separator: str = "") -> str:
    return bounded_text((text_of(value) for value in values), separator)


def _replace(text: str, old: str, new: str) -> str:
    text, old, new = text_of(text), text_of(old), text_of(new)
    if len(text) + text.count(old) * len(new) > MAX_TEXT:
        raise TooMuch(f"text of more than {MAX_TEXT:,} characters")
    return text.replace(old, new)


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON for files, so without the escapes that HTML would need."""
    if indent is not None and not 0 <= indent <= 8:
        raise TooMuch("tojson indents by 0 to 8 columns")
    return checked(json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False))


def plain(value: Any) -> Any:
    """Return a value as None, booleans, numbers, text, lists and dicts; raise for anything else, and for too much.

    Secrets stay secrets.
    """
    return _plain(value, [MAX_ITEMS * 10], 0)


def _plain(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > 90:
        raise TooMuch("a value with too many parts")
    if value is None or type(value) in (bool, int, float, str, Secret):
        return value
    if isinstance(value, Mapping):
        return {text_of(key): _plain(item, left, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(item, left, depth + 1) for item in value]
    if isinstance(value, Undefined):
        str(value)  # raises, naming what is undefined
    raise TemplateRuntimeError(f"{name_of(value)} is no plain value")


_NUMBERS = ("abs", "float", "int", "round")
_TEXTS = ("capitalize", "lower", "title", "trim", "upper")

FILTERS: dict[str, Callable[..., Any]] = {name: JINJA_FILTERS[name] for name in _BOUNDED}
FILTERS |= {name: refusing(FILTERS[name]) for name in _NUMBERS}
FILTERS |= {name: tainting(FILTERS[name]) for name in _TEXTS}
FILTERS |= {"indent": tainting(_indent), "join": tainting(_join), "replace": tainting(_replace), "tojson": tainting(_tojson)}
FILTERS |= {"concatenated": tainting(concatenated), "rounds": rounds, "secret": marked, "string": text_of}
