"""Two configs to their difference."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ignition import model, rules
from ignition.comparison.defaults import Sight
from ignition.comparison.normal import Fact, Facts, Kind, NormalForm, Subject, normal_form
from ignition.comparison.terminal import text_of
from ignition.comparison.values import Action, Binary, Change, Hidden, PropertyChange, Shown, Text
from ignition.secrets import Secrets, mask_url, redact_data, schema_secrets

_MOST_LINES = 5_000
"""A unified diff takes time that grows with the square of the lines."""

_UNREADABLE = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_NO_NEWLINE = "\\ No newline at end of file"


@dataclass(frozen=True)
class Difference:
    """What differs, in the order of a config's sections, then by name. It is true when anything does. It holds no secret."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return self.render()

    def render(self, *, colour: bool = False) -> str:
        """Return the difference as lines for a reader, with the colours of a terminal if asked for."""
        return text_of(self.changes, colour=colour)

    def to_data(self) -> Mapping[str, object]:
        """Return the difference as plain data, ready for JSON."""
        return {"changes": [change.to_data() for change in self.changes]}


def diff(before: model.Config | bytes, after: model.Config | bytes, *, secrets: Secrets | None = None) -> Difference:
    """Return what differs between two configs; what is `secrets`, or secret by the schema, is not shown.

    Raises DocumentError for bytes that Ignition would refuse.
    """
    configs = [rules.parse(side).unwrap() if isinstance(side, bytes) else side for side in (before, after)]
    known = secrets or Secrets()
    for config in configs:
        known |= schema_secrets(json.loads(model.encode(config)))
    return Difference(tuple(_Comparison(known).changes(*map(normal_form, configs))))


@dataclass(frozen=True)
class _Comparison:
    secrets: Secrets

    def changes(self, before: NormalForm, after: NormalForm) -> Iterator[Change]:
        kinds = list(Kind)
        subjects = before.objects.keys() | after.objects.keys()
        for subject in sorted(subjects, key=lambda subject: (kinds.index(subject.kind), subject.name)):
            change = self.change(subject, before.objects.get(subject), after.objects.get(subject))
            if change is not None:
                yield change
        for label in sorted(before.orders.keys() & after.orders.keys()):
            yield from self.order(label, before.orders[label], after.orders[label])

    def change(self, subject: Subject, before: Facts | None, after: Facts | None) -> Change | None:
        if before == after:
            return None
        action = Action.ADDED if before is None else Action.REMOVED if after is None else Action.CHANGED
        old, new = before or {}, after or {}
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        properties = tuple(self.property(name, old.get(name), new.get(name)) for name in names)
        return Change(self.shown_subject(subject), action, properties)

    def order(self, label: str, before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[Change]:
        """Compare the order of what both have: what only one has is a change of its own."""
        old, new = (tuple(name for name in names if name in before and name in after) for names in (before, after))
        if old != new:
            sides = (tuple(map(self.secrets.redact, names)) for names in (old, new))
            yield Change(self.shown_subject(Subject(Kind.ORDER, label)), Action.CHANGED, (PropertyChange("order", *sides),))

    def property(self, name: str, before: Fact | None, after: Fact | None) -> PropertyChange:
        old, new = self.shown(before), self.shown(after)
        lines = tuple(_unified(old.text, new.text)) if isinstance(old, Text) and isinstance(new, Text) else ()
        return PropertyChange(self.secrets.redact(name), old, new, lines)

    def shown_subject(self, subject: Subject) -> Subject:
        return Subject(subject.kind, self.secrets.redact(subject.name))

    def shown(self, fact: Fact | None) -> Shown | None:
        if fact is None:
            return None
        if fact.sight is Sight.HIDDEN:
            return Hidden()
        match fact.value:
            case bytes():
                return self.contents(fact.value)
            case str():
                return self.secrets.redact(mask_url(fact.value) if fact.sight is Sight.URL else fact.value)
            case tuple():
                return tuple(map(self.secrets.redact, fact.value))
            case _:
                return fact.value

    def contents(self, contents: bytes) -> Shown:
        try:
            text = contents.decode("utf-8")
        except UnicodeDecodeError:
            return Binary.of(contents)
        if _UNREADABLE.search(text) or text.count("\n") > _MOST_LINES:
            return Binary.of(contents)
        return Text(self.secrets.redact(_nested(text)))


def _nested(text: str) -> str:
    """Return a config inside a config without what its own schema makes secret, a value a line; any other text as it is."""
    try:
        data = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return text
    if not isinstance(data, dict) or "ignition" not in data:
        return text
    return json.dumps(redact_data(data), ensure_ascii=False, indent=2) + "\n"


def _unified(before: str, after: str) -> Iterator[str]:
    lines = difflib.unified_diff(_lines(before), _lines(after), lineterm="")
    # The first two name the files.
    for line in list(lines)[2:]:
        yield from line.split("\n")


def _lines(text: str) -> list[str]:
    """Split at newlines only: a file's other separators are part of its lines."""
    lines = text.split("\n")
    if lines[-1]:
        lines[-1] += f"\n{_NO_NEWLINE}"
    else:
        del lines[-1]
    return lines
