"""Bytes to a verdict."""

import re
from dataclasses import dataclass

from ignition.document import MapNode, Node, ScalarNode
from ignition.document.json_reader import JSONSyntax, read_json
from ignition.document.nodes import Kind
from ignition.errors import Mark, Problem, Severity
from ignition.model import IGNITION, Config, Findings, dotted, locate, read
from ignition.validate.walk import broken_rules

_GO_MAX_DEPTH = 10_000
_VERSION = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})(-[0-9A-Za-z.-]*)?(\+[0-9A-Za-z.-]*)?")
_NEWEST_MINOR = 3

UNSUPPORTED_VERSION = "unsupported config version"


@dataclass(frozen=True)
class Report:
    """What was found in a config, in the order it was found."""

    problems: tuple[Problem, ...] = ()

    @property
    def is_fatal(self) -> bool:
        """Whether Ignition would refuse the config."""
        return any(problem.is_error for problem in self.problems)


def validate(raw: bytes, file: str = "config.ign") -> Report:
    """Return what ignition-validate says about `raw`; `file` is the name used in marks.

    Every input has a report: nothing is raised for bytes that are no config. Versions but 3.0.0 to 3.3.0 are refused.
    """
    if not raw:
        return _refused(Mark(file, 1, 1), "not a config (empty)")
    try:
        node = read_json(raw.decode("utf-8", "replace"), file, _GO_MAX_DEPTH)
    except JSONSyntax as error:
        return _refused(error.mark, error.message)
    return validate_document(node)


def validate_document(node: Node) -> Report:
    """Return what ignition-validate says about a config that has been parsed, be it from JSON or YAML."""
    version = _version(node)
    minor = None if version is None else _minor(version.text)
    if version is None or minor is None:
        return _refused((version or node).mark, "invalid config version (couldn't parse)")
    if not 0 <= minor <= _NEWEST_MINOR:
        return _refused(version.mark, UNSUPPORTED_VERSION)
    findings = Findings(is_json=True)
    config = read(node, Config, IGNITION, findings, minor)
    if findings.has_errors:
        # Go stops at a config it cannot unmarshal: the rules are for complete ones.
        return Report(tuple(problem for problem in findings.problems if problem.is_error))
    return Report((*check(config, node, minor, is_json=True), *findings.problems))


def check(config: Config, document: Node, minor: int, *, is_json: bool) -> tuple[Problem, ...]:
    """Return the rules that a config breaks, located in the document it was read from."""
    return tuple(
        Problem(severity, locate(document, path, is_json), dotted(path, is_json=is_json), message)
        for severity, path, message in broken_rules(config, minor)
    )


def _refused(mark: Mark, message: str) -> Report:
    return Report((Problem(Severity.ERROR, mark, "", message),))


def _version(node: Node) -> ScalarNode | None:
    """Return ignition.version, when it is text."""
    versions = [version for section in _values(node, "ignition") for version in _values(section, "version")]
    version = versions[-1] if versions else None
    return version if isinstance(version, ScalarNode) and version.kind is Kind.STR else None


def _values(node: Node, key: str) -> list[Node]:
    """Return the values of a key as Go finds it: in any case, and as often as it stands there."""
    if not isinstance(node, MapNode):
        return []
    return [value for name, value in node.entries if name.text.lower() == key]


def _minor(version: str) -> int | None:
    """Return the minor version of spec 3, -1 for any other version, None for text that is no version.

    coreos/go-semver reads `3.03.0+` as 3.3.0, and so does Ignition.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    is_plain = not (found[4] or "").strip("-") and found[5] in (None, "+") and len(found[4] or "") < 2
    return int(found[2]) if is_plain and int(found[1]) == 3 and int(found[3]) == 0 else -1
