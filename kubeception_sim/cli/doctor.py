"""kubeception doctor."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kubeception_sim import doctor as examination
from kubeception_sim.artifacts import testbed
from kubeception_sim.cli.console import make_console
from kubeception_sim.cli.engines import try_engines
from kubeception_sim.cli.options import JSON, read_scenario
from kubeception_sim.doctor import Finding, Judgement, Part, Status
from kubeception_sim.errors import BadInput
from kubeception_sim.model.scenario import DriverName, Scenario

SCHEMA = 2
_SHIPPED = Path(__file__).parents[2] / "scenarios"
_MARKS = {Status.OK: ("✓", "green"), Status.UNTRIED: ("?", "yellow")}


@click.command(short_help="Find out what can run here.")
@click.argument("subject", required=False, metavar="[DRIVER|FILE]")
@JSON
@click.pass_context
def doctor(context: click.Context, subject: str | None, as_json: bool) -> None:
    """Find out by trying which drivers and scenarios can run here, and how to enable the rest.

    With a DRIVER or a scenario's FILE, only what that one needs.

    Takes a few seconds, up to a minute the first time a guest is tried. Exit code 0 when the drivers namespace and qemu work,
    or DRIVER or FILE does; 1 when not.
    """
    parts, drivers, scenarios = _wanted(subject)
    with make_console(err=True).status("trying the kernel, tools, engines and a guest"):
        findings = examination.examine(testbed.default_cache(), parts, partial(try_engines, parts=parts))
    judged = [examination.judge(driver, examination.PARTS[driver], findings) for driver in drivers]
    fitting = [_judge(name, scenario, findings) for name, scenario in scenarios]
    good = all(each.status is Status.OK for each in (judged or fitting) if subject or each.subject in examination.DEFAULT_DRIVERS)
    if as_json:
        click.echo(json.dumps(_document(good, findings, judged, fitting), indent=2))
    else:
        _tell(subject, good, findings, judged, fitting, make_console())
    context.exit(0 if good else 1)


def _wanted(subject: str | None) -> tuple[frozenset[Part], Sequence[DriverName], list[tuple[str, Scenario]]]:
    """What is to be tried, and about whom to say something."""
    if subject is None:
        return examination.EVERYTHING, tuple(DriverName), _shipped()
    if parts := examination.driver_parts(subject):
        return parts, (DriverName(subject),), []
    if not Path(subject).is_file():
        raise BadInput(f"{subject}: neither a driver nor a file", hint=f"drivers: {', '.join(DriverName)}")
    scenario = read_scenario(Path(subject))
    return examination.parts_of(scenario), (), [(subject, scenario)]


def _shipped() -> list[tuple[str, Scenario]]:
    return [(os.fspath(file.relative_to(_SHIPPED)), read_scenario(file)) for file in sorted(_SHIPPED.rglob("*.yaml"))]


def _judge(name: str, scenario: Scenario, findings: list[Finding]) -> Judgement:
    wanted, there = examination.memory_of(scenario), examination.available_memory()
    room = f"memory: machines have {wanted >> 20} MiB, {there >> 20} MiB are available" if wanted > there else ""
    return examination.judge(name, examination.parts_of(scenario), findings, room=room)


def _document(good: bool, findings: list[Finding], drivers: list[Judgement], scenarios: list[Judgement]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "ok": good,
        "findings": [{**asdict(each), "parts": sorted(each.parts), "needed": each.needed} for each in findings],
        "drivers": [asdict(each) for each in drivers],
        "scenarios": [asdict(each) for each in scenarios],
    }


def _tell(
    subject: str | None,
    good: bool,
    findings: list[Finding],
    drivers: list[Judgement],
    scenarios: list[Judgement],
    console: Console,
) -> None:
    for group in examination.Group:
        members = [finding for finding in findings if finding.group is group]
        if members:
            console.print(Text(f"\n{group}", style="bold"))
            console.print(Padding(_grid(members), (0, 0, 0, 2)))
    for title, judged in (("drivers", drivers), ("scenarios", scenarios)):
        if judged:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(Padding(_verdicts(judged), (0, 0, 0, 2)))
    who = subject or " and ".join(examination.DEFAULT_DRIVERS)
    verb = "work" if subject is None else "works"
    last = f"{who} {verb} here" if good else f"{who} {'do' if subject is None else 'does'} not work here"
    console.print(Text(f"\n{last}", style="bold green" if good else "bold red"))


def _grid(findings: list[Finding]) -> Table:
    """The columns' widths follow the terminal's; long texts are folded in their column."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(min_width=20, max_width=26)
    table.add_column(ratio=1, overflow="fold")
    for finding in findings:
        failed = finding.status is not Status.OK
        untried = "not tried: " if finding.status is Status.UNTRIED else ""
        said = Text(f"{untried}{finding.detail or finding.means}")
        if finding.detail and failed:
            said.append(f"\nfor: {finding.means}", style="dim")
        if failed and finding.fix:
            said.append("\nfix: ", style="cyan").append(finding.fix)
        table.add_row(_mark(finding), Text(finding.key), said)
    return table


def _mark(finding: Finding) -> Text:
    if finding.status in _MARKS:
        return Text(*_MARKS[finding.status])
    return Text("✗", style="bold red") if finding.needed else Text("!", style="yellow")


def _verdicts(judged: list[Judgement]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    for each in judged:
        mark = _MARKS.get(each.status, ("✗", "bold red"))
        table.add_row(Text(*mark), Text(each.subject), Text("\n".join(each.reasons) or "works"))
    return table
