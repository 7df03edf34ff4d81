"""A difference as lines for a reader."""

import re
from collections.abc import Iterable, Iterator

from ignition.comparison.values import Action, Change, Hidden, PropertyChange, Shown, Text

_RED, _GREEN, _YELLOW, _CYAN = 31, 32, 33, 36
_COLOURS = {"+": _GREEN, "-": _RED, "~": _YELLOW, "@": _CYAN}
# What a terminal would act upon: a config may come from anybody.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def text_of(changes: Iterable[Change], *, colour: bool) -> str:
    """Return the changes as lines, each with its newline; "no difference" when there are none."""
    lines = [(sign, _visible(line)) for change in changes for sign, line in _change(change)]
    if not lines:
        return "no difference\n"
    return "".join(f"{_painted(sign, line) if colour else line}\n" for sign, line in lines)


def _change(change: Change) -> Iterator[tuple[str, str]]:
    """Give lines, each with the sign of its colour."""
    sign = change.action.sign
    yield sign, f"{sign} {change.subject.kind} {change.subject.name}".rstrip()
    if change.action is not Action.REMOVED:
        for item in change.properties:
            yield from _property(item, is_new=change.action is Action.ADDED)


def _property(item: PropertyChange, *, is_new: bool) -> Iterator[tuple[str, str]]:
    if item.lines:
        yield "", f"    {item.name}:"
        yield from ((line[:1], f"      {line}") for line in item.lines)
    elif item.before is not None and item.before == item.after:
        what = "changed" if isinstance(item.before, Hidden) else "changed in what is not shown"
        yield "", f"    {item.name}: {what}"
    elif is_new and isinstance(item.after, Text):
        yield "", f"    {item.name}:"
        yield from (("+", f"      +{line}") for line in item.after.text.removesuffix("\n").split("\n"))
    elif is_new:
        yield "", f"    {item.name}: {_value(item.name, item.after)}"
    else:
        yield "", f"    {item.name}: {_value(item.name, item.before)} -> {_value(item.name, item.after)}"


def _value(name: str, value: Shown | None) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and name == "mode":
        return f"{value:04o}"
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    if isinstance(value, Text):
        count = len(value.text.removesuffix("\n").split("\n"))
        return f"{count} line{'s' * (count != 1)}"
    return str(value) if value != "" else '""'


def _visible(line: str) -> str:
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], line)


def _painted(sign: str, line: str) -> str:
    colour = _COLOURS.get(sign)
    return line if colour is None else f"\x1b[{colour}m{line}\x1b[0m"
