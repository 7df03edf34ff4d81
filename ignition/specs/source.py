"""Configs as callers have them: typed, or the text they were written as."""

from dataclasses import dataclass
from typing import TypeAlias

from ignition.document.json_reader import read_json
from ignition.errors import Entry, Mark, Severity
from ignition.model import Config, Path, dotted, locate
from ignition.rules import parse

Source: TypeAlias = Config | bytes | str
"""A typed config, which is taken as it is, or Ignition JSON, which is validated first."""

_FILE = "config.ign"
_GO_MAX_DEPTH = 10_000


@dataclass(frozen=True)
class Origin:
    """A config, and the text it came from, if any, to say where things stand in it."""

    config: Config
    raw: bytes | None

    @classmethod
    def of(cls, source: Source) -> "Origin":
        """Read a source; raise DocumentError with every problem when Ignition would refuse the text."""
        if isinstance(source, Config):
            return cls(source, None)
        raw = source.encode() if isinstance(source, str) else source
        return cls(parse(raw, _FILE).unwrap(), raw)

    def error(self, path: Path, message: str, hint: str = "") -> Entry:
        """Return an error about a value of the config; without a text it has a path and no line."""
        mark = Mark(_FILE, 0, 0) if self.raw is None else locate(read_json(self.raw, _FILE, _GO_MAX_DEPTH), path, True)
        return Entry(Severity.ERROR, mark, dotted(path), message, hint)
