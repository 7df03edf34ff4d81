"""What a person sees while a scenario runs: a live table on a terminal, a line for each event anywhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kubeception_sim.model.boot import HostState, Stage
from kubeception_sim.model.scenario import Scenario
from kubeception_sim.model.timeline import Event, Timeline
from kubeception_sim.scenario.observer import Clock, Observer

_STATES = {HostState.RUNNING: "green", HostState.FAILED: "bold red", HostState.INSTALLING: "yellow", HostState.OFF: "dim"}


class Screen:
    """Shows the run. `quiet` shows nothing."""

    def __init__(self, scenario: Scenario, observer: Observer, clock: Clock, console: Console, *, quiet: bool) -> None:
        self._scenario = scenario
        self._observer = observer
        self._clock = clock
        self._console = console
        self._quiet = quiet
        self._step = ""
        self._said = ""
        self._detail: Callable[[], str] = lambda: ""
        self._is_live = console.is_terminal and not quiet
        if not quiet and not self._is_live:
            observer.listen(self._line)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it for the length of the block; the table goes away at the end, the summary takes its place."""
        if not self._is_live:
            yield
            return
        with Live(get_renderable=self._table, console=self._console, refresh_per_second=5, transient=True):
            yield

    def step(self, title: str) -> None:
        """A step begins."""
        self._step, self._detail = title, lambda: ""
        if not self._quiet:
            self._console.print(Text.assemble((f"{self._clock.now():7.1f} s  ", "dim"), (title, "bold")), soft_wrap=True)

    def progress(self, what: str, fraction: float) -> None:
        """How far a long step has come."""
        self._detail = lambda: f"{what} {fraction:4.0%}"
        if not self._quiet and not self._is_live:
            self._console.print(f"{self._clock.now():7.1f} s    {what} {fraction:4.0%}", soft_wrap=True)

    def say(self, what: str) -> None:
        """What a long step waits for; the same twice is said once."""
        if what != self._said:
            self._said = what
            self._detail = lambda: what
            if not self._quiet and not self._is_live:
                self._console.print(f"{self._clock.now():7.1f} s    {what}", soft_wrap=True, markup=False)

    def _line(self, timeline: Timeline, event: Event) -> None:
        # A stage tells more than the state that comes with it, except when it all ends.
        word = event.detail.get("stage") or (event.kind if event.kind == "failed" else "")
        if not word:
            return
        since = "" if timeline.powered_on is None else f"  {event.at - timeline.powered_on:5.1f} s after power-on"
        self._console.print(f"{event.at:7.1f} s    {timeline.host:<12} {word:<12}{since}", soft_wrap=True)

    def _table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("machine", no_wrap=True)
        table.add_column("kind", no_wrap=True)
        table.add_column("state", no_wrap=True, min_width=10)
        for stage in Stage:
            table.add_column(stage, justify="right", no_wrap=True)
        timelines = self._observer.timelines
        for machine in self._scenario.machines:
            line = timelines[machine.name]
            cells = [self._cell(line, stage) for stage in Stage]
            table.add_row(
                machine.name, machine.role or machine.firmware, Text(line.state, style=_STATES.get(line.state, "")), *cells
            )
        status = Text.assemble((f"{self._clock.now():7.1f} s  ", "dim"), self._step, (f"  {self._detail()}", "dim"))
        return Group("", table, "", status)

    def _cell(self, line: Timeline, stage: Stage) -> Text:
        reached = line.since_power_on(stage)
        if reached is not None:
            return Text(f"{reached:.1f}", style="green")
        waiting = line.last_stage is None or line.last_stage.position < stage.position
        return Text("·" if waiting else "-", style="dim")
