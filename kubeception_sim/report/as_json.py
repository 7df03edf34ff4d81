"""report.json: the results for programs. docs/scenarios.md documents the shape, `schema` numbers it."""

import dataclasses
import json
from typing import Any

from kubeception_sim.model.results import SCHEMA, Creation, Failover, HostResult, Leak, ProbeResult, RunResult, Span

_DIGITS = 3  # milliseconds: finer digits would suggest a precision that polling for events does not have


def as_json(result: RunResult) -> str:
    """The text of report.json, ending in a newline."""
    return json.dumps(as_data(result), indent=2, ensure_ascii=False) + "\n"


def as_data(result: RunResult) -> dict[str, Any]:
    """The document behind report.json, made of dicts, lists, strings and numbers alone."""
    return {
        "schema": SCHEMA,
        "scenario": result.scenario,
        "verdict": str(result.verdict),
        "driver": result.driver,
        "accelerator": str(result.accelerator),
        "seconds": _rounded(result.seconds),
        "started_at": result.started_at,
        **({"error": result.error} if result.error else {}),
        "hosts": [_host(host) for host in result.hosts],
        "budgets": [_rounded(dataclasses.asdict(budget)) for budget in result.budgets],
        "checks": [_rounded(dataclasses.asdict(check)) for check in result.checks],
        **({"probes": [_probe(probe) for probe in result.probes]} if result.probes else {}),
        "steps": [_rounded(dataclasses.asdict(step)) for step in result.steps],
        "spans": [_span(span) for span in result.spans],
        **({"creations": [_creation(each) for each in result.creations]} if result.creations else {}),
        **({"leaks": [_leak(each) for each in result.leaks]} if result.leaks else {}),
        **({"failovers": [_failover(each) for each in result.failovers]} if result.failovers else {}),
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "host": span.host,
        "name": span.name,
        "start": _rounded(span.start),
        "end": _rounded(span.end),
        "seconds": _rounded(span.seconds),
    }


def _creation(creation: Creation) -> dict[str, Any]:
    return {
        "cluster": creation.cluster,
        "asked": _rounded(creation.asked),
        "ready": _rounded(creation.ready),
        "spans": [_span(span) for span in creation.spans],
    }


def _leak(leak: Leak) -> dict[str, Any]:
    return {
        "source": leak.source,
        "target": leak.target,
        "protocol": leak.protocol,
        "expected": str(leak.expected),
        "actual": str(leak.actual),
        "packets": leak.packets,
        "victim": leak.victim,
        "detail": leak.detail,
        "ok": leak.ok,
    }


def _failover(failover: Failover) -> dict[str, Any]:
    return {
        "fault": failover.fault,
        "spans": [_span(span) for span in failover.spans],
        "outage": _rounded(failover.outage),
        "attributed": _rounded(failover.attributed),
        "failed": failover.failed,
        "tolerance": failover.tolerance,
        "ok": failover.ok,
    }


def _probe(probe: ProbeResult) -> dict[str, Any]:
    return {
        "name": probe.name,
        "attempts": probe.attempts,
        "failures": probe.failures,
        "outage": _rounded(probe.outage),
        "start": _rounded(probe.start),
        "end": _rounded(probe.end),
        "gaps": [{"start": _rounded(gap.start), "end": _rounded(gap.end)} for gap in probe.gaps],
        **({"problem": probe.problem} if probe.problem else {}),
    }


def _host(host: HostResult) -> dict[str, Any]:
    return {
        "name": host.name,
        "serial": host.serial,
        "firmware": str(host.firmware),
        **({"role": host.role} if host.role else {}),
        "state": str(host.state),
        "stages": {str(stage): _rounded(at) for stage, at in host.stages.items()},
        **({"failure": host.failure} if host.failure else {}),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value
