"""The values of a difference. None of them holds a secret."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from ignition.comparison.normal import Subject
from ignition.secrets import MARK


class Action(StrEnum):
    """What happened to an object."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"

    @property
    def sign(self) -> str:
        return {"added": "+", "removed": "-", "changed": "~"}[self.value]


@dataclass(frozen=True, slots=True)
class Text:
    """Contents that can be read line by line."""

    text: str

    def to_data(self) -> object:
        return self.text


@dataclass(frozen=True, slots=True)
class Binary:
    """Contents that cannot, or that are too long to: their size in bytes and their SHA-256 in hex."""

    size: int
    sha256: str

    @classmethod
    def of(cls, contents: bytes) -> "Binary":
        return cls(len(contents), hashlib.sha256(contents).hexdigest())

    def __str__(self) -> str:
        return f"{self.size:,} bytes, sha256 {self.sha256[:16]}"

    def to_data(self) -> object:
        return {"size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value that is secret."""

    def __str__(self) -> str:
        return MARK

    def to_data(self) -> object:
        return MARK


Shown: TypeAlias = bool | int | str | tuple[str, ...] | Text | Binary | Hidden
"""A value as it may be shown."""


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """A property before and after; None where there is none.

    `name` is the path of the property in its object, as Ignition spells it: `user.name`. The values are equal when they differ
    in secrets only. `lines` is a unified diff when both are texts.
    """

    name: str
    before: Shown | None
    after: Shown | None
    lines: tuple[str, ...] = ()

    def to_data(self) -> Mapping[str, object]:
        data: dict[str, object] = {"name": self.name, "before": _data(self.before), "after": _data(self.after)}
        return data | {"lines": list(self.lines)} if self.lines else data


@dataclass(frozen=True, slots=True)
class Change:
    """An object that was added, removed or changed, with its properties that differ, by name."""

    subject: Subject
    action: Action
    properties: tuple[PropertyChange, ...]

    def to_data(self) -> Mapping[str, object]:
        return {
            "kind": str(self.subject.kind),
            "name": self.subject.name,
            "action": str(self.action),
            "properties": [item.to_data() for item in self.properties],
        }


def _data(value: Shown | None) -> object:
    if isinstance(value, Text | Binary | Hidden):
        return value.to_data()
    return list(value) if isinstance(value, tuple) else value
