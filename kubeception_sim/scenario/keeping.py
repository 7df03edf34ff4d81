"""The keeper at work: holds what a run has brought up, answers for it, mends it, until somebody wants it down."""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from rich.console import Console

from kubeception_sim.errors import BadInput, HarnessError, KubeceptionError
from kubeception_sim.lab import Lab, Owner
from kubeception_sim.machines import MachineState
from kubeception_sim.model.boot import HostState
from kubeception_sim.model.completion import CLUSTER_WITHIN, RUNNING_WITHIN
from kubeception_sim.model.scenario import Await, AwaitCluster, PowerOn, Scenario
from kubeception_sim.scenario.bench import Bench, Failed
from kubeception_sim.scenario.faulting import end_all
from kubeception_sim.scenario.keeper import Kept, MachineView, Phase
from kubeception_sim.scenario.rotating import Rotation, Wanted
from kubeception_sim.scenario.runner import Hold
from kubeception_sim.scenario.steps import carry_out
from kubeception_sim.scenario.survey import survey
from kubeception_sim.scenario.wishes import Answer, Arguments, Wish, listen

# Any thread may be given a signal, and this one alone acts upon it: when it next runs. It must not sleep for ever.
_LOOK_SECONDS = 0.5


class Keeper(Hold):
    """Keeps a lab under its scenario's name, which this process holds; used as `with Keeper(...) as keeper: run(hold=keeper)`.

    `good` and `failed` say whether it stays when the steps went well, and when one failed.
    """

    def __init__(self, scenario: Scenario, file: Path, report: Path, console: Console, *, good: bool, failed: bool) -> None:
        self._stays = {True: good, False: failed}
        self._console = console
        self._stack = ExitStack()
        self._wishes: SimpleQueue[tuple[Callable[[Bench | None], Answer], Future[Answer]]] = SimpleQueue()
        self._open = threading.Lock()
        self._bench: Bench | None = None
        self._rotation: Rotation | None = None
        self._closed = False
        self._problem = ""
        self._kept = Kept(
            name=scenario.name,
            owner=Owner.current(),
            phase=Phase.COMING_UP,
            file=os.fspath(file.absolute()),
            sha256=digest(file),
            driver=str(scenario.driver),
            report=os.fspath(report.absolute()),
        )

    def __enter__(self) -> "Keeper":
        self._note()
        self._stack.enter_context(listen(self._kept.name, self._grant))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begun(self, lab: Lab) -> None:
        """From now on what is left can be told from that of others."""
        self._note(lab=lab.id, directory=os.fspath(lab.directory))

    def stands(self, bench: Bench) -> None:
        """From now on there is something to look at."""
        views = tuple(
            MachineView(
                name=each.name,
                role=str(each.role or ""),
                rack=each.rack,
                address=str(each.address),
                shell=bench.machines[each.name].shell,
                console=os.fspath(bench.machines[each.name].console),
            )
            for each in bench.scenario.machines
        )
        cluster = bench.outer.kubectl if bench.outer else None
        self._note(
            namespace=bench.namespace,
            machines=views,
            kubectl=os.fspath(cluster.program) if cluster else "",
            kubeconfig=os.fspath(cluster.kubeconfig) if cluster else "",
        )
        self._rotation = Rotation(bench)
        self._bench = bench

    def over(self, bench: Bench | None, problem: str) -> None:
        """Hold it all until SIGTERM or Ctrl-C, and mend it when asked to; unless this end of the run is not to be held."""
        if not self._stays[not problem]:
            self._problem = problem
            return
        # Said before it is noted: who waits for the note has then heard it all.
        self._say(f"{problem}\nall that came up stays; how to look inside:" if problem else "up; how to go on:")
        for line in self._kept.advice():
            self._say(f"  {line}")
        with suppress(KeyboardInterrupt):
            self._judge(problem)
            self._keep(bench)

    def ends(self) -> None:
        """Who waits for something is told that it will not be."""
        with self._open:
            self._closed = True
        while not self._wishes.empty():
            self._wishes.get()[1].cancel()
        with suppress(HarnessError):  # a full disk must not keep anything from going down
            self._note(phase=Phase.GOING_DOWN, problem=self._problem)

    def _keep(self, bench: Bench | None) -> None:
        while True:
            try:
                job, wish = self._wishes.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            try:
                wish.set_result(job(bench))
            except BaseException:
                wish.cancel()
                raise

    def _mend(self, bench: Bench | None) -> Answer:
        problem = self._mended(bench)
        try:
            self._judge(problem)
        except HarnessError as error:
            problem = f"{problem}\n{error.message}".lstrip()
        return {"ok": not problem, "problem": problem}

    def _rotate(self, wanted: Wanted) -> Answer:
        if self._rotation is None:
            return {"ok": False, "problem": f"it never stood: {self._problem}"}
        return self._rotation.carry_out(wanted, self._say)

    def _judge(self, problem: str) -> None:
        self._problem = problem
        self._note(phase=Phase.FAILED if problem else Phase.UP, problem=problem)

    def _mended(self, bench: Bench | None) -> str:
        """Put right what can be; why it cannot, empty when all is well."""
        if bench is None:
            return f"it never stood: {self._problem}"
        try:
            mend(bench, self._say)
        except Failed as error:
            return str(error)
        except KubeceptionError as error:
            return error.message
        except OSError as error:
            return str(error)
        return ""

    def _grant(self, wish: Wish, arguments: Arguments) -> Answer:
        match wish:
            case Wish.STATUS:
                return self._status()
            case Wish.MEND:
                return self._in_turn(self._mend)
            case Wish.CERTIFICATES:
                return self._certificates()
            case Wish.ROTATE:
                try:
                    wanted = Wanted.read(arguments)
                except BadInput as error:
                    return {"ok": False, "problem": error.message}
                return self._in_turn(lambda bench: self._rotate(wanted))

    def _status(self) -> Answer:
        bench, kept = self._bench, self._kept
        try:
            found: Mapping[str, Any] = asdict(survey(bench)) if bench and not self._closed else {}
        except (HarnessError, OSError) as error:  # it may go down while we look
            found = {"problems": [str(error)]}
        return {"phase": self._kept.phase, "problem": kept.problem, **found}

    def _certificates(self) -> Answer:
        if self._rotation is None or self._closed:
            return {"ok": False, "problem": f"it is {self._kept.phase}"}
        try:
            return {"ok": True, "problem": "", "certificates": [asdict(each) for each in self._rotation.certificates()]}
        except KubeceptionError as error:
            return {"ok": False, "problem": error.message}

    def _in_turn(self, job: Callable[[Bench | None], Answer]) -> Answer:
        """Have it done when all that was asked for before is, and wait for that."""
        wish: Future[Answer] = Future()
        with self._open:
            if not self._closed:
                self._wishes.put((job, wish))
            else:
                wish.cancel()
        try:
            return wish.result()
        except CancelledError:
            return {"ok": False, "problem": f"it goes down: {self._problem}" if self._problem else "it goes down"}

    def _note(self, **changes: Any) -> None:
        self._kept = replace(self._kept, **changes)
        self._kept.write()

    def _say(self, what: str) -> None:
        self._console.print(what, soft_wrap=True, markup=False)


def mend(bench: Bench, say: Callable[[str], None]) -> None:
    """End the faults that were begun, start the machines that are off or broken, apply the add-ons again, and wait until all is
    well. Touches nothing else.

    Raises Failed when that does not help, and what machines raise that cannot be started.
    """
    found = {name: machine.state() for name, machine in bench.machines.items()}
    for name, state in found.items():
        if not state.has_power:
            bench.machines[name].kill()  # what is broken cannot be started before it is off, by a fault's end neither
    # Before anything is started: a boot does not get far with its cable cut.
    ended = end_all(bench.faults, bench.clock.now, say)
    states = {name: machine.state() for name, machine in bench.machines.items()}
    out = tuple(name for name, state in states.items() if not state.has_power)
    if out:
        say(f"starting {', '.join(f'{name} ({found[name]})' for name in out)}")
        carry_out(PowerOn("power-on", out), bench)
    if paused := [name for name, state in states.items() if state is MachineState.PAUSED]:
        raise Failed(f"{', '.join(paused)}: paused, and left so")
    carry_out(Await("await", RUNNING_WITHIN, state=HostState.RUNNING), bench)
    if bench.outer:
        bench.outer.applied = False
        carry_out(AwaitCluster("cluster", CLUSTER_WITHIN), bench)
    say("all is back" if out or ended else "nothing was missing")


def digest(file: Path) -> str:
    """What tells one content of a scenario's file from another."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
