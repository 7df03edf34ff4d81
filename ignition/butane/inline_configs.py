"""Ignition configs that a document embeds, to be merged by Ignition: they are checked before they are lost in a data URL."""

from typing import NamedTuple

from ignition.butane.releases import Release
from ignition.document.json_reader import JSONSyntax, read_json
from ignition.errors import Severity
from ignition.model import IGNITION, Config, Findings, Path, read
from ignition.rules import parse_document

_MAX_DEPTH = 10_000
UNKNOWN_VERSION = "skipping validation for the merge/replace ignition config due to an unkown version"


class Finding(NamedTuple):
    """A finding at a path of the Butane document's keys."""

    severity: Severity
    path: Path
    message: str


def check_inline_config(contents: bytes, at: Path, release: Release) -> tuple[list[Finding], bool]:
    """Return what is wrong with a config that a document holds inline, and whether it is one at all.

    Findings within the config have the path in it, as Butane's have, which then looks for them in its own document.
    """
    try:
        document = read_json(contents.decode("utf-8", "replace"), "", _MAX_DEPTH)
    except JSONSyntax as error:
        return [Finding(Severity.ERROR, (), error.message)], False
    wrong = Findings(is_json=True)
    config = read(document, Config, IGNITION, wrong, release.spec_minor)
    if errors := [problem for problem in wrong.problems if problem.is_error]:
        return [Finding(Severity.ERROR, (), errors[0].message)], False
    if config.ignition.version != release.spec and _is_version(config.ignition.version):
        return [Finding(Severity.WARNING, (*at, "version"), UNKNOWN_VERSION)], True
    report = parse_document(document).report
    return [Finding(problem.severity, _path(problem.path), problem.message) for problem in report.problems], True


def _is_version(text: str) -> bool:
    return len([part for part in text.split("-")[0].split(".") if part.isdigit()]) == 3


def _path(dotted: str) -> Path:
    return tuple(int(step) if step.isdigit() else step for step in dotted.split(".")[1:])
