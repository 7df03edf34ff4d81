"""The results on a terminal: the waterfall, then budgets, checks and what went wrong.

Where there are no colours each stage is drawn by its letter, so that a log file says as much as a screen.
"""

from rich.console import Console
from rich.text import Text

from kubeception_sim.model.boot import Stage
from kubeception_sim.model.results import HostResult, RunResult, Verdict
from kubeception_sim.report.html import seconds
from kubeception_sim.report.palette import LOOKS
from kubeception_sim.report.waterfall import Row, Waterfall, waterfall

_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.ERROR: "bold yellow"}
_WIDEST = 100


def show(result: RunResult, console: Console) -> None:
    """Print the whole summary."""
    count = len(result.hosts)
    console.print(
        Text.assemble(
            "\n",
            (result.scenario, "bold"),
            "  ",
            (result.verdict.upper(), _STYLES[result.verdict]),
            f"  {count} machine{'' if count == 1 else 's'}, {result.accelerator.upper()}, {seconds(result.seconds)}",
        )
    )
    chart = waterfall(result)
    if chart is not None:
        _chart(chart, result, console)
    _budgets(result, console)
    _checks(result, console)
    _trouble(result, console)


def _chart(chart: Waterfall, result: RunResult, console: Console) -> None:
    hosts = {host.name: host for host in result.hosts}
    labels = {name: f"  {name} {host.firmware:<4}  " for name, host in hosts.items()}
    margin = max(map(len, labels.values()))
    width = max(20, min(console.width, _WIDEST) - margin - 10)
    coloured = console.color_system is not None and not console.no_color
    console.print()
    for row in chart.rows:
        arrival = hosts[row.host].stages.get(Stage.RUNNING)
        console.print(
            Text.assemble(
                labels[row.host].ljust(margin),
                _bar(row, chart.length, width, coloured=coloured),
                "  ",
                (seconds(arrival), "green") if arrival is not None else (_stopped(hosts[row.host]), "red"),
            )
        )
    console.print(Text(" " * margin + _axis(chart, width), style="dim"))
    legend = [
        ((f"█ {name}" if coloured else f"{look.letter} {name}"), look.colour if coloured else "")
        for name, look in LOOKS.items()
    ]
    console.print(Text("  ").join([Text(" " * (margin - 2)), *(Text(*item) for item in legend)]))


def _bar(row: Row, length: float, width: int, *, coloured: bool) -> Text:
    bar = Text()
    cells = [" "] * width
    for segment in row.segments:
        first = min(width - 1, int(segment.start / length * width))
        last = max(first + 1, min(width, round(segment.end / length * width)))
        cells[first:last] = [segment.name] * (last - first)
    for cell in cells:
        look = LOOKS.get(cell)
        bar.append(" " if look is None else "█" if coloured else look.letter, style=look.colour if look else "")
    return bar


def _axis(chart: Waterfall, width: int) -> str:
    line = [" "] * (width + 8)
    for tick in chart.ticks(most=max(2, width // 10)):
        label = f"{tick:g} s"
        at = int(tick / chart.length * width)
        line[at : at + len(label)] = label
    return "".join(line).rstrip()


def _stopped(host: HostResult) -> str:
    last = max(host.stages, key=lambda stage: stage.position, default=None)
    return f"stopped at {last}" if last else "silent"


def _budgets(result: RunResult, console: Console) -> None:
    if result.budgets:
        console.print(Text("\nbudgets", style="bold"))
    for budget in result.budgets:
        measured = "never" if budget.measured is None else seconds(budget.measured)
        line = f"{budget.metric:<32} {budget.host:<10} {measured:>8}  of at most {seconds(budget.limit)}"
        console.print(Text.assemble("  ", _mark(budget.ok), line), soft_wrap=True)


def _checks(result: RunResult, console: Console) -> None:
    if not result.checks:
        return
    good = sum(check.ok for check in result.checks)
    console.print(Text.assemble(("\nchecks", "bold"), f"  {good} of {len(result.checks)} passed"))
    for check in result.checks:
        if not check.ok:
            console.print(Text.assemble("  ", _mark(False), f"{check.host} {check.name}: {check.outcome}"))
            console.print(Text(check.detail), soft_wrap=True)


def _trouble(result: RunResult, console: Console) -> None:
    for step in result.steps:
        if not step.ok:
            console.print(Text.assemble("\n", _mark(False), (step.title, "bold"), f": {step.detail}"), soft_wrap=True)
    for host in result.hosts:
        if host.failure:
            console.print(Text.assemble("\n", (host.name, "bold red"), f": {host.failure}"), soft_wrap=True)
            if host.console:
                console.print(Text("  the end of its console:", style="dim"))
                console.print(Text("\n".join(f"  | {line}" for line in host.console.splitlines()), style="dim"))


def _mark(ok: bool) -> tuple[str, str]:
    return ("ok    ", "green") if ok else ("FAIL  ", "bold red")
