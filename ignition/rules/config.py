"""Bytes to a verdict (coreos/ignition, config/config.go, config/util/parsingErrors.go, config/v3_*/config.go)."""

import re
from dataclasses import dataclass, replace

from ignition.document.json_reader import JSONSyntax, fold, read_located, value_end
from ignition.document.nodes import Kind, ListNode, MapNode, Node, ScalarNode
from ignition.errors import DocumentError, Entry, Mark, Problem, Severity
from ignition.model import IGNITION, Config, Findings, dotted, locate, read
from ignition.model.reader import json_shape
from ignition.rules.quick import NEWEST_MINOR, valid_config
from ignition.rules.unused import report_unused_keys
from ignition.rules.walk import broken_rules

_GO_MAX_DEPTH = 10_000
_VERSION = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})(-[0-9A-Za-z.-]*)?(\+[0-9A-Za-z.-]*)?")
_DRAFT = "3.7.0-experimental"

UNSUPPORTED_VERSION = "unsupported config version"
_UNREADABLE_VERSION = "invalid config version (couldn't parse)"


@dataclass(frozen=True, slots=True)
class Refusal(Entry):
    """Why a text is no config at all. `line` is what Ignition prints: it names no place or, at the end of a text, a wrong one."""

    line: str = ""

    def __str__(self) -> str:
        return self.line


@dataclass(frozen=True)
class Report:
    """What was found in a config: rules, entries defined twice, then unused keys, each from the outside in.

    As text it is what ignition-validate prints, one line for each problem.
    """

    problems: tuple[Problem, ...] = ()

    @property
    def is_fatal(self) -> bool:
        """Whether Ignition would refuse the config."""
        return any(problem.is_error for problem in self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


@dataclass(frozen=True)
class Parsed:
    """A config as typed values, None when Ignition would refuse it, and everything found on the way."""

    config: Config | None
    report: Report

    def unwrap(self) -> Config:
        """Return the config; raise DocumentError with every problem when it is refused."""
        if self.config is None:
            raise DocumentError(self.report.problems)
        return self.config


def validate(raw: bytes | str, file: str = "config.ign") -> Report:
    """Return what ignition-validate says about `raw`; `file` is the name used in marks.

    Every input has a report: nothing is raised for bytes that are no config. Versions but 3.0.0 to 3.6.0 are refused.
    """
    return parse(raw, file).report


def parse(raw: bytes | str, file: str = "config.ign") -> Parsed:
    """Return the config that `raw` holds, with `validate`'s report."""
    raw = raw if isinstance(raw, bytes) else raw.encode("utf-8", "replace")
    if not raw:
        return _no_config(Mark(file, 1, 1), "not a config (empty)")
    if (config := valid_config(raw)) is not None:
        return Parsed(config, Report())
    try:
        document = read_located(raw, file, _GO_MAX_DEPTH, json_shape(Config))
    except JSONSyntax as error:
        return _unreadable(error.mark, error.reported, error.message)
    return _parse_node(document.node, raw, has_places=document.has_places)


def validate_document(node: Node) -> Report:
    """Return what ignition-validate says about a config that has been parsed, be it from JSON or YAML."""
    return parse_document(node).report


def parse_document(node: Node) -> Parsed:
    """Return the config that a document holds, with `validate_document`'s report."""
    return _parse_node(node, None, has_places=True)


def check(config: Config, document: Node, minor: int, *, is_json: bool) -> tuple[Problem, ...]:
    """Return the rules that a config breaks, located in the document it was read from."""
    return tuple(
        Entry(severity, locate(document, path, is_json), dotted(path, is_json=is_json), message)
        for severity, path, message in broken_rules(config, minor)
    )


def _parse_node(node: Node, raw: bytes | None, *, has_places: bool) -> Parsed:
    """Ignition reads a config twice: first for its version alone."""
    stub = _Stub()
    if misfit := stub.read(node):
        return _wrong_type(*misfit, raw)
    version = stub.version
    text = version.text if version is not None else ""
    minor = _minor(text)
    mark = node.mark if version is None else version.mark
    if minor is None:
        return _no_config(mark, _UNREADABLE_VERSION)
    if not 0 <= minor <= NEWEST_MINOR:
        return _unsupported(mark, text)
    findings = Findings(is_json=True)
    config = read(node, Config, IGNITION, findings, minor)
    if findings.misfits:
        # Go says the first value that does not fit, and stops: the rules are for complete configs.
        first = findings.problems[0]
        return _wrong_type(findings.misfits[0], first.message, raw, first.path)
    problems = check(config, node, minor, is_json=True)
    if has_places:
        report_unused_keys(config, node, minor, findings)
        report = Report((*problems, *findings.problems))
    else:
        # Ignition goes on without places, and then looks for no unused keys.
        nowhere = Mark(node.mark.file, 0, 0)
        report = Report(tuple(replace(problem, mark=nowhere) for problem in problems))
    return Parsed(None if report.is_fatal else config, report)


def _no_config(mark: Mark, message: str, hint: str = "") -> Parsed:
    line = f"couldn't parse config: {message}"
    return Parsed(None, Report((Refusal(Severity.ERROR, mark, "", message, hint, line),)))


def _unsupported(mark: Mark, version: str) -> Parsed:
    if version != _DRAFT:
        return _no_config(mark, UNSUPPORTED_VERSION)
    return _no_config(mark, f"{UNSUPPORTED_VERSION} {_DRAFT}", "a draft may change yet; the newest published spec is 3.6.0")


def _unreadable(mark: Mark, reported: Mark, message: str, path: str = "") -> Parsed:
    line = f"error at line {reported.line} col {reported.column}: {message}"
    return Parsed(None, Report((Refusal(Severity.ERROR, mark, path, message, "", line),)))


def _wrong_type(node: Node, message: str, raw: bytes | None, path: str = "") -> Parsed:
    return _unreadable(node.mark, node.mark if raw is None else value_end(raw, node), message, path)


class _Stub:
    """The part of a config that tells its version: keys in any case, and the last of equal ones."""

    def __init__(self) -> None:
        self.version: ScalarNode | None = None

    def read(self, node: Node) -> tuple[Node, str] | None:
        """Read the version; return the first value of a wrong type, with Go's message."""
        if not isinstance(node, MapNode):
            return self.misfit(node, "Go value of type util.versionStub")
        for key, value in node.entries:
            if fold(key.text) == "ignition" and (misfit := self.section(value)):
                return misfit
        return None

    def section(self, node: Node) -> tuple[Node, str] | None:
        if not isinstance(node, MapNode):
            return self.misfit(node, "Go struct field versionStub.ignition of type struct { Version string }")
        for key, value in node.entries:
            if fold(key.text) != "version":
                continue
            if isinstance(value, ScalarNode) and value.kind is Kind.STR:
                self.version = value
            elif misfit := self.misfit(value, "Go struct field versionStub.ignition.version of type string"):
                return misfit
        return None

    def misfit(self, node: Node, target: str) -> tuple[Node, str] | None:
        if isinstance(node, ScalarNode) and node.kind is Kind.NULL:
            return None
        return node, f"json: cannot unmarshal {_json_kind(node)} into {target}"


def _json_kind(node: Node) -> str:
    if isinstance(node, ScalarNode):
        return {Kind.STR: "string", Kind.BOOL: "bool"}.get(node.kind, "number")
    return "array" if isinstance(node, ListNode) else "object"


def _minor(version: str) -> int | None:
    """Return the minor version of spec 3, -1 for any other version, None for text that is no version.

    coreos/go-semver reads `3.03.0+` as 3.3.0, and so does Ignition.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    is_plain = not (found[4] or "").strip("-") and found[5] in (None, "+") and len(found[4] or "") < 2
    return int(found[2]) if is_plain and int(found[1]) == 3 and int(found[3]) == 0 else -1
