"""Executes a plan. Whatever happens, what was brought up is taken down, and a report is written."""

import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Interface
from pathlib import Path
from types import FrameType
from typing import TypeVar

from rich.console import Console

from kubeception_sim import report
from kubeception_sim.artifacts import testbed
from kubeception_sim.checks import budgets
from kubeception_sim.doctor import find_accelerator
from kubeception_sim.errors import BadInput, HarnessError, KubeceptionError
from kubeception_sim.lab import Lab
from kubeception_sim.machines import Driver, Machine, MachineSpec
from kubeception_sim.machines.fake import FakeDriver
from kubeception_sim.machines.qemu import QemuDriver
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.model.plan import BringUp, Plan, plan
from kubeception_sim.model.results import CheckResult, HostResult, RunResult, Span, StepResult
from kubeception_sim.model.scenario import Scenario
from kubeception_sim.network import Fabric
from kubeception_sim.run import run as run_program
from kubeception_sim.scenario.live import Screen
from kubeception_sim.scenario.observer import Clock, Observer
from kubeception_sim.scenario.steps import Bench, Failed, carry_out
from kubeception_sim.scenario.subject import Mayu, Served, config

T = TypeVar("T")

DRIVERS = ("qemu", "fake")
CONSOLE_LINES = 25


def run(scenario: Scenario, *, out: Path, driver: str, keep: bool, console: Console, quiet: bool) -> RunResult:
    """Run a scenario and write report.json, report.html and the logs into `out`.

    A failure of harness or environment is in the result (`error`). Raises BadInput for an unknown driver, OSError when
    `out` cannot be written, and KeyboardInterrupt again after Ctrl-C or SIGTERM, when all is down and reported.
    """
    if driver not in DRIVERS:
        raise BadInput(f"there is no driver {driver!r}", hint=f"drivers: {', '.join(DRIVERS)}")
    with _terminated_like_interrupted():
        return _Run(plan(scenario), out, driver, keep, console, quiet).execute()


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
    driver: str
    keep: bool
    console: Console
    quiet: bool
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
        self.machines: dict[str, Machine] = {}

    def execute(self) -> RunResult:
        self.out.mkdir(parents=True, exist_ok=True)
        stack = ExitStack()
        try:
            with self.screen.shown():
                try:
                    self._all_steps(self._bring_up(stack))
                finally:
                    self._look_around()
        except KubeceptionError as error:
            self._blame(error)
        except KeyboardInterrupt:
            self.error = "interrupted"
            raise
        except BaseException as bug:
            self.error = f"a bug of the harness: {bug!r}"
            raise
        finally:
            self._take_down(stack)
            result = self._result()
            report.write(result, self.out)
        return result

    def _blame(self, error: KubeceptionError) -> None:
        told = f"{error.message}\nhint: {error.hint}" if error.hint else error.message
        self.error = f"{self.error}\n{told}".lstrip()

    def _take_down(self, stack: ExitStack) -> None:
        """A teardown that fails is an error of the run, and no reason to keep its results from anybody."""
        try:
            with _uninterrupted():
                stack.close()
        except KubeceptionError as error:
            self._blame(error)

    def _bring_up(self, stack: ExitStack) -> Bench:
        scenario, parts = self.scenario, dict(self.plan.up)

        def stand(part: BringUp, enter: Callable[[], T]) -> T:
            return self._timed(parts[part].do, parts[part].title, enter)

        lab = stack.enter_context(Lab.create(keep=self.keep))
        if self.keep:
            self.console.print(f"keeping {lab.directory}", soft_wrap=True)
        stack.callback(self._keep_logs, lab)
        address = IPv4Interface(f"{scenario.fabric.server}/{scenario.fabric.subnet.prefixlen}")
        fabric = stand(BringUp.FABRIC, lambda: stack.enter_context(Fabric.create(lab, address=address)))
        image = stand(BringUp.IMAGE, lambda: self._image(lab))
        key = _ssh_key(lab)
        settings = config(scenario, image, {"ssh_key": key.with_suffix(".pub").read_text().strip()})
        serving = Mayu.serve(lab, fabric, scenario.fabric.server, settings)
        mayu = stand(BringUp.MAYU, lambda: stack.enter_context(serving))
        stack.enter_context(self.observer.follow(mayu))
        stand(BringUp.MACHINES, lambda: self._plug_in(lab, fabric, stack))
        return Bench(scenario, lab, fabric.namespace, self.clock, self.observer, mayu, self.machines, key, self.checks)

    def _image(self, lab: Lab) -> Served:
        if self.driver == "fake":
            return _dummy_image(lab)
        image = testbed.ensure(testbed.default_cache(), self.screen.progress)
        return Served(image.kernel, image.initrd, image.rootfs, image.rootfs_sha256)

    def _plug_in(self, lab: Lab, fabric: Fabric, stack: ExitStack) -> None:
        driver = self._driver(lab)
        for each in self.scenario.machines:
            spec = MachineSpec(each.name, each.serial, each.uuid, each.mac, each.firmware, each.memory.bytes >> 20, each.cpus)
            machine = driver.create(spec, fabric.port(each.name), lab.subdirectory("machines", each.name))
            self.machines[each.name] = stack.enter_context(machine)

    def _driver(self, lab: Lab) -> Driver:
        if self.driver == "fake":
            return FakeDriver(lab.env)
        verdict = find_accelerator(testbed.default_cache())
        if verdict.accelerator is Accelerator.NONE:
            why = "; ".join(f"{attempt.what}: {attempt.why}" for attempt in verdict.attempts)
            raise HarnessError(f"no accelerator boots a guest here: {why}", hint="kubeception doctor")
        self.accelerator = verdict.accelerator
        return QemuDriver(verdict.accelerator, lab.env)

    def _all_steps(self, bench: Bench) -> None:
        for step, part in self.plan.steps:
            try:
                self._timed(part.do, part.title, lambda step=step: carry_out(step, bench))  # type: ignore[misc]
            except Failed:
                return  # Written down by _timed; what follows would only repeat it.

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
        for name, machine in self.machines.items():
            self.consoles[name] = machine.console_tail(CONSOLE_LINES)
        try:
            if self.machines:
                self.observer.catch_up()
        except HarnessError:
            pass  # mayu may be what failed; the steps say so.
        self.ended = self.clock.now()

    def _keep_logs(self, lab: Lab) -> None:
        """Logs and consoles outlive the lab: they are the first thing anybody wants after a failure."""
        folder = self.out / "logs"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for source, name in (
            (lab.directory / "mayu.log", "mayu.log"),
            (lab.directory / "mayu.yaml", "mayu.yaml"),
            *((machine.console, f"{host}.console.log") for host, machine in self.machines.items()),
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
            )
            for machine in scenario.machines
            for line in (timelines[machine.name],)
        )
        spans = [Span("", step.do, step.start, step.end) for step in self.steps]
        spans += [span for line in timelines.values() for span in line.spans(ended)]
        return RunResult(
            scenario=scenario.name,
            description=scenario.description,
            started_at=self.started_at,
            seconds=self.clock.now(),
            accelerator=self.accelerator,
            hosts=hosts,
            # A rack that was never switched on has not missed a budget.
            budgets=budgets.judge(scenario.budgets, scenario.machines, timelines) if not self.error else (),
            checks=tuple(self.checks),
            steps=tuple(self.steps),
            spans=tuple(spans),
            error=self.error,
        )


def _ssh_key(lab: Lab) -> Path:
    """A key pair for this run alone."""
    path = lab.directory / "id_ed25519"
    run_program(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"kubeception-{lab.id}", "-f", path], timeout=10)
    return path


def _dummy_image(lab: Lab) -> Served:
    """Files for fake machines, which fetch an image and boot none."""
    folder = lab.subdirectory("image")
    for name in ("kernel", "initrd", "rootfs"):
        (folder / name).write_bytes(os.urandom(1 << 20))
    sha256 = hashlib.sha256((folder / "rootfs").read_bytes()).hexdigest()
    return Served(folder / "kernel", folder / "initrd", folder / "rootfs", sha256)
