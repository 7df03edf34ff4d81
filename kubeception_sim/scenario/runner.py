"""Executes a plan. Whatever happens, what was brought up is taken down, and a report is written."""

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TypeVar

from rich.console import Console

from kubeception_sim import report
from kubeception_sim.checks import budgets
from kubeception_sim.checks.probes import ApiProbe
from kubeception_sim.errors import HarnessError, KubeceptionError
from kubeception_sim.lab import Lab
from kubeception_sim.machines import Machine
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.model.plan import BringUp, Plan, plan
from kubeception_sim.model.results import CheckResult, HostResult, RunResult, Span, StepResult
from kubeception_sim.model.scenario import Scenario
from kubeception_sim.scenario.bench import Bench, Failed
from kubeception_sim.scenario.faulting import Episode
from kubeception_sim.scenario.live import Screen
from kubeception_sim.scenario.observer import Clock, Observer
from kubeception_sim.scenario.standing import Standing
from kubeception_sim.scenario.steps import carry_out

T = TypeVar("T")

CONSOLE_LINES = 25


class Hold:
    """Who is told how far a run has come, and may keep all standing when its steps are over. This one is not interested."""

    def begun(self, lab: Lab) -> None:
        """There is a lab, with nothing in it yet."""

    def stands(self, bench: Bench) -> None:
        """All is brought up; the steps come next."""

    def over(self, bench: Bench | None, problem: str) -> None:
        """The steps are over: well, or with a `problem`. There is no bench when it was the bringing up that failed.

        Nothing is taken down before this returns.
        """

    def ends(self) -> None:
        """However it came: all goes down from now on. Must not raise."""


def run(scenario: Scenario, *, out: Path, keep: bool, console: Console, quiet: bool, hold: Hold | None = None) -> RunResult:
    """Run a scenario and write report.json, report.html and the logs into `out`.

    `hold` decides when it all goes down again. A failure of harness or environment is in the result (`error`). Raises OSError
    when `out` cannot be written, and KeyboardInterrupt again after Ctrl-C or SIGTERM, when all is down and reported.
    """
    with _terminated_like_interrupted():
        return _Run(plan(scenario), out, keep, console, quiet, hold or Hold()).execute()


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM, which is how CI ends a run, and SIGHUP of a terminal that is closed take the way of Ctrl-C."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Teardown is bounded by its own deadlines; a second Ctrl-C must not leave half of it standing."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class _Run:
    plan: Plan
    out: Path
    keep: bool
    console: Console
    quiet: bool
    hold: Hold
    clock: Clock = field(default_factory=Clock)
    accelerator: Accelerator = Accelerator.NONE
    steps: list[StepResult] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    consoles: dict[str, str] = field(default_factory=dict)
    error: str = ""
    ended: float | None = None

    def __post_init__(self) -> None:
        self.scenario = self.plan.scenario
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.observer = Observer(self.scenario, self.clock)
        self.screen = Screen(self.scenario, self.observer, self.clock, self.console, quiet=self.quiet)
        self.standing: Standing | None = None
        self.bench: Bench | None = None
        self.probes: dict[str, ApiProbe] = {}
        self.faults: list[Episode] = []

    def execute(self) -> RunResult:
        self.out.mkdir(parents=True, exist_ok=True)
        stack = ExitStack()
        try:
            with self.screen.shown():
                try:
                    problem = self._up_and_through(stack)
                finally:
                    self._look_around()
                self.hold.over(self.bench, problem)
        except KeyboardInterrupt:
            self.error = "interrupted"
            raise
        except KubeceptionError as error:  # of the hold: what runs and steps raise is in the result already
            self._blame(error)
        except BaseException as bug:
            self.error = f"a bug of the harness: {bug!r}"
            raise
        finally:
            self._take_down(stack)
            result = self._result()
            report.write(result, self.out)
        return result

    def _up_and_through(self, stack: ExitStack) -> str:
        """Bring up and do the steps; what went wrong, empty for nothing."""
        try:
            self.bench = self._bring_up(stack)
            self.hold.stands(self.bench)
            return self._all_steps(self.bench)
        except KubeceptionError as error:
            self._blame(error)
            return error.message

    def _blame(self, error: KubeceptionError) -> None:
        told = f"{error.message}\nhint: {error.hint}" if error.hint else error.message
        self.error = f"{self.error}\n{told}".lstrip()

    def _take_down(self, stack: ExitStack) -> None:
        """A teardown that fails is an error of the run, and no reason to keep its results from anybody."""
        try:
            with _uninterrupted():
                self.hold.ends()
                stack.close()
        except KubeceptionError as error:
            self._blame(error)

    def _bring_up(self, stack: ExitStack) -> Bench:
        parts = dict(self.plan.up)

        def stand(part: BringUp, make: Callable[[], T]) -> T:
            return self._timed(parts[part].do, parts[part].title, make)

        lab = stack.enter_context(Lab.create(keep=self.keep))
        if self.keep:
            self.console.print(f"keeping {lab.directory}", soft_wrap=True)
        stack.callback(self._keep_logs, lab)
        self.hold.begun(lab)
        standing = self.standing = Standing(self.scenario, lab, stack, self.screen.progress)
        image = stand(BringUp.IMAGE, standing.image)
        fabric = stand(BringUp.FABRIC, standing.fabric)
        outer = stand(BringUp.PKI, lambda: standing.outer(fabric)) if BringUp.PKI in parts else None
        mayu = stand(BringUp.MAYU, lambda: standing.mayu(fabric, image, outer))
        stack.enter_context(self.observer.follow(mayu))
        stand(BringUp.MACHINES, lambda: standing.plug_in(fabric, image))
        self.accelerator = standing.accelerator
        return Bench(
            scenario=self.scenario,
            lab=lab,
            namespace=fabric.namespace,
            clock=self.clock,
            observer=self.observer,
            mayu=mayu,
            machines=standing.machines,
            ssh_key=standing.ssh_key,
            checks=self.checks,
            outer=outer,
            probes=self.probes,
            faults=self.faults,
            stack=stack.enter_context(ExitStack()),
            say=self.screen.say,
        )

    def _all_steps(self, bench: Bench) -> str:
        """Do them; what the last one failed with, empty when all went well.

        What fails is written down by _timed; what would follow could only repeat it.
        """
        for step, part in self.plan.steps:
            try:
                self._timed(part.do, part.title, lambda step=step: carry_out(step, bench))  # type: ignore[misc]
            except Failed as error:
                return f"{part.title}: {error}"
        return ""

    def _timed(self, do: str, title: str, action: Callable[[], T]) -> T:
        """Do something, and write down how long it took and how it ended."""
        self.screen.step(title)
        start = self.clock.now()
        detail = "did not end"
        try:
            done = action()
            detail = ""
            return done
        except Failed as error:
            detail = str(error)
            raise
        except KubeceptionError as error:
            detail = error.message
            raise
        finally:
            self.steps.append(StepResult(do, title, start, self.clock.now(), ok=not detail, detail=detail))

    def _look_around(self) -> None:
        """The last look at the rack before it goes down."""
        for name, machine in self._machines.items():
            self.consoles[name] = machine.console_tail(CONSOLE_LINES)
        try:
            if self._machines:
                self.observer.catch_up()
        except HarnessError:
            pass  # mayu may be what failed; the steps say so.
        self.ended = self.clock.now()

    @property
    def _machines(self) -> Mapping[str, Machine]:
        return self.standing.machines if self.standing else {}

    def _keep_logs(self, lab: Lab) -> None:
        """Logs and consoles outlive the lab: they are the first thing anybody wants after a failure."""
        folder = self.out / "logs"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for source, name in (
            (lab.directory / "mayu.log", "mayu.log"),
            (lab.directory / "mayu.yaml", "mayu.yaml"),
            *((machine.console, f"{host}.console.log") for host, machine in self._machines.items()),
        ):
            if source.exists():
                shutil.copyfile(source, folder / name)

    def _result(self) -> RunResult:
        scenario, timelines = self.scenario, self.observer.timelines
        ended = self.clock.now() if self.ended is None else self.ended
        hosts = tuple(
            HostResult(
                name=machine.name,
                serial=machine.serial,
                firmware=machine.firmware,
                state=line.state,
                stages={stage: at - line.powered_on for stage, at in line.stages.items()} if line.powered_on is not None else {},
                failure=line.failure,
                console=self.consoles.get(machine.name, "") if line.failure else "",
                role=str(machine.role or ""),
            )
            for machine in scenario.machines
            for line in (timelines[machine.name],)
        )
        probes = tuple(probe.result() for probe in self.probes.values())
        measured = budgets.Measured(timelines, self.steps, {probe.name: probe for probe in probes})
        spans = [Span("", step.do, step.start, step.end) for step in self.steps]
        spans += [Span("", f"fault {each.name}", each.began, ended if each.ended is None else each.ended) for each in self.faults]
        spans += [span for line in timelines.values() for span in line.spans(ended)]
        return RunResult(
            scenario=scenario.name,
            description=scenario.description,
            started_at=self.started_at,
            seconds=self.clock.now(),
            accelerator=self.accelerator,
            hosts=hosts,
            # A rack that was never switched on has not missed a budget.
            budgets=budgets.judge(scenario.budgets, scenario.machines, measured) if not self.error else (),
            checks=tuple(self.checks),
            probes=probes,
            steps=tuple(self.steps),
            spans=tuple(spans),
            error=self.error,
            driver=str(scenario.driver),
            creations=tuple(self.bench.creations) if self.bench else (),
            leaks=tuple(self.bench.leaks) if self.bench else (),
            failovers=tuple(self.bench.failovers) if self.bench else (),
        )
