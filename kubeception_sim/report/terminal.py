"""The results on a terminal: the waterfall, then budgets, checks and what went wrong.

Where there are no colours each stage is drawn by its letter, so that a log file says as much as a screen.
"""

from itertools import groupby

from rich.console import Console
from rich.text import Text

from kubeception_sim.model.boot import Stage
from kubeception_sim.model.results import HostResult, RunResult, Verdict
from kubeception_sim.report.html import ran_by, seconds
from kubeception_sim.report.palette import LOOKS
from kubeception_sim.report.terminal_clusters import show_clusters
from kubeception_sim.report.waterfall import Row, Waterfall, waterfall

_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.ERROR: "bold yellow"}
_WIDEST = 100
_NARROWEST = 20
_GIST_LINES = 4


def show(result: RunResult, console: Console) -> None:
    """Print the whole summary."""
    count = len(result.hosts)
    console.print(
        Text.assemble(
            "\n",
            (result.scenario, "bold"),
            "  ",
            (result.verdict.upper(), _STYLES[result.verdict]),
            f"  {count} machine{'' if count == 1 else 's'}, {ran_by(result)}, {seconds(result.seconds)}",
        )
    )
    chart = waterfall(result)
    if chart is not None:
        _chart(chart, result, console)
    _budgets(result, console)
    _probes(result, console)
    _checks(result, console)
    show_clusters(result, console)
    _trouble(result, console)


def _chart(chart: Waterfall, result: RunResult, console: Console) -> None:
    hosts = {host.name: host for host in result.hosts}
    labels = {name: f"  {name} {host.kind:<4}  " for name, host in hosts.items()}
    outcomes = {row.host: _outcome(hosts[row.host]) for row in chart.rows}
    margin = max(map(len, labels.values()))
    room = max(len(text) for text, _ in outcomes.values()) + 2
    width = max(_NARROWEST, min(console.width, _WIDEST) - margin - room)
    coloured = console.color_system is not None and not console.no_color
    console.print()
    for row in chart.rows:
        bar = _bar(row, chart.length, width, coloured=coloured)
        console.print(Text.assemble(labels[row.host].ljust(margin), bar, "  ", outcomes[row.host]), soft_wrap=True)
    console.print(Text(" " * margin + _axis(chart, width), style="dim"), soft_wrap=True)
    legend = [(f"█ {name}", look.colour) if coloured else (f"{look.letter} {name}", "") for name, look in LOOKS.items()]
    for line in (legend[:4], legend[4:]):  # half of it fits beside any label
        console.print(Text("  ").join([Text(" " * (margin - 2)), *(Text(*item) for item in line)]), soft_wrap=True)


def _bar(row: Row, length: float, width: int, *, coloured: bool) -> Text:
    cells = [""] * width
    for segment in row.segments:
        first = min(width - 1, int(segment.start / length * width))
        last = max(first + 1, min(width, round(segment.end / length * width)))
        cells[first:last] = [segment.name] * (last - first)
    bar = Text()
    for name, run in groupby(cells):
        look = LOOKS.get(name)
        letter = " " if look is None else "█" if coloured else look.letter
        bar.append(letter * len(list(run)), style=look.colour if look and coloured else "")
    return bar


def _axis(chart: Waterfall, width: int) -> str:
    line = [" "] * (width + 8)
    for tick in chart.ticks(most=max(2, width // 10)):
        label = f"{tick:g} s"
        at = int(tick / chart.length * width)
        line[at : at + len(label)] = label
    return "".join(line).rstrip()


def _outcome(host: HostResult) -> tuple[str, str]:
    arrival = host.stages.get(Stage.RUNNING)
    if arrival is not None:
        return seconds(arrival), "green"
    last = max(host.stages, key=lambda stage: stage.position, default=None)
    return (f"stopped at {last}" if last else "silent"), "red"


def _budgets(result: RunResult, console: Console) -> None:
    if not result.budgets:
        return
    console.print(Text("\nbudgets", style="bold"))
    metrics = max(len(budget.metric) for budget in result.budgets)
    hosts = max(len(budget.host) for budget in result.budgets)
    for budget in result.budgets:
        measured = "never" if budget.measured is None else seconds(budget.measured)
        line = f"{budget.metric:<{metrics}}  {budget.host:<{hosts}}  {measured:>7} of at most {seconds(budget.limit)}"
        console.print(Text.assemble("  ", _mark(budget.ok), line), soft_wrap=True)


def _probes(result: RunResult, console: Console) -> None:
    if not result.probes:
        return
    console.print(Text("\nprobes", style="bold"))
    names = max(len(probe.name) for probe in result.probes)
    for probe in result.probes:
        outages = f"longest time without {seconds(probe.outage)}" if probe.gaps else "never without"
        line = f"  {probe.name:<{names}}  {probe.attempts} attempts, {probe.failures} failed, {outages}"
        console.print(Text(line), soft_wrap=True)


def _checks(result: RunResult, console: Console) -> None:
    if not result.checks:
        return
    good = sum(check.ok for check in result.checks)
    console.print(Text.assemble(("\nchecks", "bold"), f"  {good} of {len(result.checks)} passed"))
    for check in result.checks:
        if not check.ok:
            console.print(Text.assemble("  ", _mark(False), f"{check.host} {check.name}: {check.outcome}"))
            console.print(Text(_gist(_plain(check.detail)), style="dim"), soft_wrap=True)


def _gist(detail: str) -> str:
    """What pytest marks as the error, or else the last lines; the whole of it is in the report."""
    lines = detail.splitlines()
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return "\n".join(f"        {line}" for line in (marked or lines)[-_GIST_LINES:])


def _trouble(result: RunResult, console: Console) -> None:
    if result.error:
        title = "the harness or its environment failed, so nothing is known about the subject"
        console.print(Text.assemble("\n", (title, "bold yellow"), f"\n{_plain(result.error)}"), soft_wrap=True)
    for step in result.steps:
        if not step.ok:
            console.print(Text.assemble("\n", _mark(False), (step.title, "bold"), f": {_plain(step.detail)}"), soft_wrap=True)
    for host in result.hosts:
        if host.failure:
            console.print(Text.assemble("\n", (host.name, "bold red"), f": {_plain(host.failure)}"), soft_wrap=True)
            if host.console:
                console.print(Text("  the end of its console:", style="dim"))
                lines = "\n".join(f"  | {line}" for line in _plain(host.console).splitlines())
                console.print(Text(lines, style="dim"), soft_wrap=True)


def _plain(text: str) -> str:
    """Without control characters: what a guest wrote must not steer the reader's terminal."""
    return "".join(char for char in text if char in "\n\t" or char.isprintable())


def _mark(ok: bool) -> tuple[str, str]:
    return ("ok    ", "green") if ok else ("FAIL  ", "bold red")
