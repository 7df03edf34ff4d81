"""report.json back into results, so that a page can be drawn again. What the document leaves out (consoles) stays out."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from kubeception_sim.errors import BadInput
from kubeception_sim.model.boot import Accelerator, Firmware, HostState, Stage
from kubeception_sim.model.results import (
    SCHEMA,
    BudgetResult,
    CheckResult,
    Creation,
    Failover,
    Gap,
    HostResult,
    Leak,
    ProbeResult,
    Reach,
    RunResult,
    Span,
    StepResult,
)

T = TypeVar("T")
Document = Mapping[str, Any]


def from_json(text: str, name: str) -> RunResult:
    """The results in a report.json; `name` is the file's, for errors. Raises BadInput."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{name}: no JSON: {error}", hint="it is report.json that is read, not report.html") from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise BadInput(f"{name}: schema {found!r}, not {SCHEMA}", hint="this kubeception reads reports of its own schema")
    try:
        return _run(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{name}: not a report: {error!r}", hint="run the scenario again") from error


def _run(document: Document) -> RunResult:
    return RunResult(
        scenario=document["scenario"],
        description="",
        started_at=document["started_at"],
        seconds=float(document["seconds"]),
        accelerator=Accelerator(document["accelerator"]),
        hosts=tuple(map(_host, document["hosts"])),
        budgets=tuple(_plain(BudgetResult, each) for each in document["budgets"]),
        checks=tuple(_plain(CheckResult, each) for each in document["checks"]),
        steps=tuple(_plain(StepResult, each) for each in document["steps"]),
        spans=_spans(document),
        error=document.get("error", ""),
        driver=document["driver"],
        probes=tuple(map(_probe, document.get("probes", ()))),
        creations=tuple(
            Creation(each["cluster"], each["asked"], each["ready"], _spans(each)) for each in document.get("creations", ())
        ),
        leaks=tuple(map(_leak, document.get("leaks", ()))),
        failovers=tuple(
            Failover(each["fault"], _spans(each), each["outage"], each["failed"], each["tolerance"])
            for each in document.get("failovers", ())
        ),
    )


def _plain(kind: type[T], document: Document) -> T:
    """A dataclass whose fields are the document's own keys; what is computed from them is left."""
    return kind(**{each.name: document[each.name] for each in fields(kind) if each.name in document})  # type: ignore[arg-type]


def _spans(document: Document) -> tuple[Span, ...]:
    return tuple(_plain(Span, each) for each in document["spans"])


def _host(document: Document) -> HostResult:
    return HostResult(
        name=document["name"],
        serial=document["serial"],
        firmware=Firmware(document["firmware"]),
        state=HostState(document["state"]),
        stages={Stage(stage): at for stage, at in document["stages"].items()},
        failure=document.get("failure", ""),
        role=document.get("role", ""),
    )


def _probe(document: Document) -> ProbeResult:
    gaps = tuple(Gap(each["start"], each["end"]) for each in document["gaps"])
    return _plain(ProbeResult, {**document, "gaps": gaps})


def _leak(document: Document) -> Leak:
    return _plain(Leak, {**document, "expected": Reach(document["expected"]), "actual": Reach(document["actual"])})
