"""Text to text: what the tool `butane` writes for a document."""

import json
from dataclasses import dataclass

from ignition import model
from ignition.butane.excerpts import excerpts
from ignition.butane.files import Files
from ignition.butane.translation import Outcome, run
from ignition.document.go_yaml import load_go
from ignition.errors import DocumentError, Entry, Problem
from ignition.rules import Report

_STRICT = "Config produced warnings and --strict was specified"
_ESCAPES = tuple((char.encode(), b"\\u%04x" % ord(char)) for char in "&<>\u2028\u2029")
"""What Go's encoding/json escapes in strings, and no other part of JSON holds."""


@dataclass(frozen=True)
class Converted:
    """The Ignition config of a document, and what was found.

    `output` is JSON that ends in a newline, None when there is none. `messages` are the lines of `butane --raw-errors` on its
    standard error. The problems of the report are located in the document; those that only the last of the messages tells
    come behind the others.
    """

    output: bytes | None
    report: Report
    messages: tuple[str, ...]
    explained: str
    """The same as `butane` without `--raw-errors` writes it, without colours: findings with the lines they are about."""

    @property
    def is_fatal(self) -> bool:
        """Whether the tool would fail."""
        return self.output is None


def convert(
    text: bytes | str, *, files: Files | None = None, strict: bool = False, pretty: bool = False, file: str = "<stdin>"
) -> Converted:
    """Translate a Butane document, the first of the text, as `butane` does.

    `strict` takes warnings for failures; `pretty` indents the output by two; `file` is the name used in marks.
    Nothing is raised for any text: what is wrong is in the report and the messages.
    """
    try:
        outcome = run(load_go(text, file), files)
    except DocumentError as error:
        failure = f"Error unmarshaling yaml: {error.problems[0].message}"
        outcome = Outcome(failure=failure, faults=tuple(_as_entry(problem) for problem in error.problems))
    last, output = "", None
    if outcome.config is None:
        last = f"Error translating config: {outcome.failure}\n"
    elif strict and outcome.entries:
        last = f"{_STRICT}\n"
    else:
        output = _encoded(outcome.config, pretty=pretty)
    raw = "".join(f"{found}\n" for found in outcome.entries) + last
    source = text.encode("utf-8", "replace") if isinstance(text, str) else text
    report = Report((*outcome.entries, *outcome.faults))
    return Converted(output, report, tuple(raw.split("\n")[:-1]), excerpts(outcome.entries, source) + last)


def _as_entry(problem: Problem) -> Entry:
    return Entry(problem.severity, problem.mark, problem.path, problem.message)


def _encoded(config: model.Config, *, pretty: bool) -> bytes:
    encoded = model.encode(config)
    if pretty:
        encoded = json.dumps(json.loads(encoded), indent=2, ensure_ascii=False).encode()
    for char, escaped in _ESCAPES:
        encoded = encoded.replace(char, escaped)
    return encoded + b"\n"
