"""The functions of Go's templates on Jinja expressions, as far as they say the same."""

import json
import re
from collections.abc import Callable, Mapping

from mayu_py.importing.go_values import Untranslatable, Value, member

_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def call(name: str, values: tuple[Value, ...]) -> Value:
    """A function of values. Raises Untranslatable."""
    if name in _COMPARISONS and len(values) >= 2:
        tests = [f"{values[0].argument} {_COMPARISONS[name]} {other.argument}" for other in values[1:]]
        if any(value.may_miss for value in values):
            tests = [_with_defaults(values[0], _COMPARISONS[name], other) for other in values[1:]]
        return Value(" or ".join(tests) if name == "eq" else tests[0])
    function = _FUNCTIONS.get(name)
    if function is None:
        raise Untranslatable(f"the function `{name}` is not known here")
    return function(values)


def _with_defaults(one: Value, sign: str, other: Value) -> str:
    left, right = (f'({v.text} | default(""))' if v.may_miss else v.argument for v in (one, other))
    return f"{left} {sign} {right}"


def _joined(word: str) -> Callable[[tuple[Value, ...]], Value]:
    def join(values: tuple[Value, ...]) -> Value:
        if len(values) < 2:
            raise Untranslatable(f"`{word}` of fewer than two values")
        return Value(f" {word} ".join(f"({v.condition})" if v.may_miss else v.argument for v in values))

    return join


def _not(values: tuple[Value, ...]) -> Value:
    (value,) = _exactly(values, 1)
    return Value(f"not ({value.condition})")


def _index(values: tuple[Value, ...]) -> Value:
    if len(values) < 2:
        raise Untranslatable("`index` of one value")
    found = values[0]
    for key in values[1:]:
        if found.kind == "files":
            return Value(_literal(key), "file")
        if found.kind == "macs":
            if key.text != "0":
                raise Untranslatable("only the first MAC is known to templates here")
            found = Value("host.mac")
        elif key.kind == "literal" and key.text.startswith('"'):
            found = member(found, _literal(key))
        else:
            found = Value(f"{found.argument}[{key.text}]", may_miss=True)
    return found


def _literal(value: Value) -> str:
    if value.kind != "literal":
        raise Untranslatable("`index .Files` of what is only known when a host asks")
    return str(json.loads(value.text))


def _join(values: tuple[Value, ...]) -> Value:
    items, by = _exactly(values, 2)
    return Value(f"{items.argument} | join({by.text})")


def _length(values: tuple[Value, ...]) -> Value:
    (value,) = _exactly(values, 1)
    return Value(f"{value.argument} | length")


def _print(values: tuple[Value, ...]) -> Value:
    (value,) = _exactly(values, 1)
    return value


def _printf(values: tuple[Value, ...]) -> Value:
    if not values or values[0].kind != "literal":
        raise Untranslatable("`printf` without a literal format")
    pieces = re.split(r"(%[sdv])", str(json.loads(values[0].text)))
    if any("%" in piece for piece in pieces[::2]) or len(pieces) // 2 != len(values) - 1:
        raise Untranslatable(f"`printf {values[0].text}`: only %s, %d and %v are known here")
    arguments = iter(values[1:])
    parts = [json.dumps(piece) if n % 2 == 0 else next(arguments).argument for n, piece in enumerate(pieces) if piece]
    return Value(" ~ ".join(parts) or '""')


def _exactly(values: tuple[Value, ...], count: int) -> tuple[Value, ...]:
    if len(values) != count:
        raise Untranslatable(f"a function with {len(values)} arguments, where {count} are expected")
    return values


_FUNCTIONS: Mapping[str, Callable[[tuple[Value, ...]], Value]] = {
    "index": _index,
    "join": _join,
    "len": _length,
    "not": _not,
    "and": _joined("and"),
    "or": _joined("or"),
    "print": _print,
    "printf": _printf,
}
