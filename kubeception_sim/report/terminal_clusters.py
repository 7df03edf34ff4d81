"""What inner clusters tell, on a terminal: creations, the problems of the leak matrix, where failovers spent their time."""

from rich.console import Console
from rich.text import Text

from kubeception_sim.model.results import Creation, RunResult, Span
from kubeception_sim.report.html import seconds
from kubeception_sim.report.lanes import difference, symbol

_LONGEST = 3


def show_clusters(result: RunResult, console: Console) -> None:
    """Print what there is of it; nothing for a run without inner clusters."""
    for creation in result.creations:
        _creation(creation, console)
    _leaks(result, console)
    _failovers(result, console)


def _creation(creation: Creation, console: Console) -> None:
    took = "never Ready" if creation.ready is None else f"Ready after {seconds(creation.ready - creation.asked)}"
    console.print(Text.assemble(("\ncreation", "bold"), f"  {creation.cluster} {took}"), soft_wrap=True)
    machines: dict[str, list[Span]] = {}
    for span in creation.spans:
        if span.host:
            machines.setdefault(span.host, []).append(span)
    for name, spans in machines.items():
        slowest = sorted(spans, key=lambda span: -span.seconds)[:_LONGEST]
        console.print(Text(f"  {name}  " + ", ".join(f"{span.name} {seconds(span.seconds)}" for span in slowest)), soft_wrap=True)


def _leaks(result: RunResult, console: Console) -> None:
    if not result.leaks:
        return
    good = sum(leak.ok for leak in result.leaks)
    console.print(Text.assemble(("\nleak matrix", "bold"), f"  {good} of {len(result.leaks)} as expected"))
    for leak in result.leaks:
        if not leak.ok:
            line = f"{symbol(leak)}: {leak.source} to {leak.target} by {leak.protocol}"
            counted = f", {leak.packets} packets counted" if leak.packets else ""
            console.print(Text.assemble("  ", ("FAIL  ", "bold red"), line + counted), soft_wrap=True)


def _failovers(result: RunResult, console: Console) -> None:
    if not result.failovers:
        return
    console.print(Text("\nfailovers", style="bold"))
    for failover in result.failovers:
        mark = ("ok    ", "green") if failover.ok else ("FAIL  ", "bold red")
        parts = ", ".join(f"{span.name} {seconds(span.seconds)}" for span in failover.spans)
        told = f"{seconds(failover.attributed)} of {seconds(failover.outage)} ({difference(failover):+.1f} %)"
        console.print(Text.assemble("  ", mark, f"{failover.fault}  {told}: {parts}"), soft_wrap=True)
