"""Plain values as YAML in block style, as a person would write it. Reading it gives the values again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ignition.document import Kind, ScalarNode
from ignition.document.nodes import kind_of

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./+-]*", re.ASCII)
# What stands in a literal block as it is: everything printable but what YAML takes for a line break, or what starts a block.
_LITERAL_LINE = re.compile(r"[ -~\t]*")
_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n"})
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dump(value: Any) -> str:
    """A document."""
    if not isinstance(value, Mapping | list | tuple) or not value:
        return f"{_scalar(value)}\n"
    return "\n".join(_block(value, "")) + "\n"


def _block(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _member(f"{indent}{_scalar(str(key))}:", member, indent + "  ", indent)
    else:
        for item in value:
            if isinstance(item, Mapping | list | tuple) and item:
                first, *rest = _block(item, indent + "  ")
                yield f"{indent}- {first.removeprefix(indent + '  ')}"
                yield from rest
            else:
                yield from _member(f"{indent}-", item, indent + "  ", indent)


def _member(head: str, value: Any, deeper: str, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and value:
        yield head
        yield from _block(value, deeper)
    elif isinstance(value, str) and _is_literal(value):
        yield f"{head} |{'' if value.endswith(chr(10)) else '-'}"
        yield from (f"{deeper}{line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _is_literal(text: str) -> bool:
    lines = text.removesuffix("\n").split("\n")
    whole = len(lines) > 1 and all(_LITERAL_LINE.fullmatch(line) for line in lines)
    # A first line that begins with a space, or is empty, would need an indentation indicator; an end of empty lines, another one.
    return whole and lines[0][:1] not in ("", " ", "\t") and bool(lines[-1].strip())


def _scalar(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case Mapping():
            return "{}"
        case str():
            return value if _is_plain(value) else f'"{"".join(map(_escaped, value))}"'
        case _:
            return "[]"


def _is_plain(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text)) and kind_of(text) is Kind.STR and text.lower() not in _OLD_BOOLEANS


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if " " <= character <= "~":
        return character
    if 0xD800 <= code <= 0xDFFF:
        return "\\uFFFD"  # Half of a character, which no YAML holds.
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def text_of(node: ScalarNode) -> str:
    """A scalar as text, whatever it would mean untyped."""
    return "" if node.kind is Kind.NULL else node.text
