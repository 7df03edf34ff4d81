"""report.xml: the results as JUnit XML, for what shows test results. One suite for the run, a case for everything judged."""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from kubeception_sim.model.results import RunResult
from kubeception_sim.report.lanes import Matrix, symbol


@dataclass(frozen=True, slots=True)
class _Case:
    group: str
    name: str
    seconds: float = 0.0
    problem: str = ""
    kind: str = "failure"  # or error, or skipped
    detail: str = ""


def as_junit(result: RunResult) -> str:
    """The text of report.xml. A leak matrix has a case for each source and target, not for each protocol."""
    cases = list(_cases(result))
    counts = {kind: sum(case.kind == kind and bool(case.problem) for case in cases) for kind in ("failure", "error", "skipped")}
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": _legal(result.scenario),
            "tests": str(len(cases)),
            "failures": str(counts["failure"]),
            "errors": str(counts["error"]),
            "skipped": str(counts["skipped"]),
            "time": f"{result.seconds:.3f}",
            "timestamp": result.started_at.partition("+")[0],
            "hostname": "localhost",
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("accelerator", str(result.accelerator)), ("driver", result.driver), ("verdict", str(result.verdict))):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for case in cases:
        _add(suite, case, result.scenario)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(suite: ElementTree.Element, case: _Case, scenario: str) -> None:
    name = {"classname": _legal(f"{scenario}.{case.group}"), "name": _legal(case.name), "time": f"{max(0.0, case.seconds):.3f}"}
    element = ElementTree.SubElement(suite, "testcase", name)
    if case.problem:
        said = {"message": _legal(case.problem)} | ({"type": case.group} if case.kind != "skipped" else {})
        ElementTree.SubElement(element, case.kind, said).text = _legal(case.detail) or None


def _cases(result: RunResult) -> Iterator[_Case]:
    if result.error:
        yield _Case(
            "harness", "the harness and its environment", problem=result.error.splitlines()[0], kind="error", detail=result.error
        )
    for step in result.steps:
        yield _Case("steps", step.title, step.end - step.start, "" if step.ok else step.detail or "failed")
    for budget in result.budgets:
        measured = "never got there" if budget.measured is None else f"{budget.measured:.3f} s"
        problem = "" if budget.ok else f"{measured}, at most {budget.limit:g} s allowed"
        yield _Case("budgets", f"{budget.metric} {budget.host}".strip(), budget.measured or 0.0, problem)
    for check in result.checks:
        kind = check.outcome if check.outcome in ("error", "skipped") else "failure"
        problem = "" if check.ok else check.outcome
        yield _Case("checks", f"{check.name} {check.host}".strip(), check.seconds, problem, kind, check.detail)
    for (source, target), leaks in Matrix.of(result.leaks).cells.items():
        bad = [f"{leak.protocol}: {symbol(leak)} (expected {leak.expected}, was {leak.actual})" for leak in leaks if not leak.ok]
        yield _Case("leaks", f"{source} to {target}", problem="; ".join(bad))
    for failover in result.failovers:
        problem = "" if failover.ok else f"{failover.attributed:.3f} s attributed of an outage of {failover.outage:.3f} s"
        yield _Case("failovers", failover.fault, failover.outage, problem)


def _legal(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold, not even escaped."""
    return "".join(
        char if char in "\t\n\r" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char >= "\U00010000" else "\ufffd"
        for char in text
    )
