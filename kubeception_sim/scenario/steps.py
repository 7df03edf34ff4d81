"""What each step of a scenario does, and what it waits for. A subject that fails raises `Failed`."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPException

from ignition.document import Duration
from kubeception_sim.checks import testinfra
from kubeception_sim.checks.handshakes import HandshakeProbe
from kubeception_sim.checks.probes import ApiProbe, WritesProbe
from kubeception_sim.errors import DeadlineExceeded, HarnessError
from kubeception_sim.machines import MachineState
from kubeception_sim.model.boot import HostState, Worker
from kubeception_sim.model.clusters import AwaitInner, CreateCluster, DeleteCluster
from kubeception_sim.model.faults import Inject, Undo
from kubeception_sim.model.garbage import CompareTraces, GarbageStep, KillController, NoteTraces
from kubeception_sim.model.life import EndProbe, RotateCluster, UpgradeCluster
from kubeception_sim.model.scenario import (
    Await,
    AwaitCluster,
    Check,
    KillWorker,
    PowerOff,
    PowerOn,
    ProbeKind,
    Settle,
    StartProbe,
    Step,
)
from kubeception_sim.model.timeline import Timeline
from kubeception_sim.scenario import clustering, creating, garbage, living
from kubeception_sim.scenario.bench import Bench, Failed
from kubeception_sim.scenario.entering import write_kubeconfig
from kubeception_sim.scenario.faulting import Episode, make, undoing
from kubeception_sim.scenario.keeper import INNER
from kubeception_sim.scenario.observer import Timelines

_POLL_SECONDS = 0.05
_LOOK_SECONDS = 1.0  # how often the machines themselves are looked at


def carry_out(step: Step, bench: Bench) -> None:
    """Do one step. Raises Failed, or a HarnessError when the bench itself is broken."""
    match step:
        case PowerOn():
            _power_on(step, bench)
        case Await():
            _await(step, bench)
        case Check():
            _check(step, bench)
        case KillWorker():
            _kill_worker(step, bench)
        case AwaitCluster():
            _await_cluster(step, bench)
        case CreateCluster() | AwaitInner() | DeleteCluster() | RotateCluster() | UpgradeCluster():
            _inner(step, bench)
        case KillController() | NoteTraces() | CompareTraces():
            _garbage(step, bench)
        case StartProbe():
            _start_probe(step, bench)
        case EndProbe():
            bench.probes[step.probe].end()
        case Settle():
            _settle(step, bench)
        case Inject():
            _inject(step, bench)
        case Undo():
            _undo(step, bench)
        case PowerOff():
            for name in _names(step.machines, bench):
                bench.power.off(bench.machines[name])


def _names(named: Sequence[str], bench: Bench) -> tuple[str, ...]:
    return tuple(machine.name for machine in bench.scenario.select(tuple(named)))


def _power_on(step: PowerOn, bench: Bench) -> None:
    for index, name in enumerate(_names(step.machines, bench)):
        if index and step.stagger.seconds:
            # The one wait that is for time itself: it is what the scenario asks for.
            time.sleep(step.stagger.seconds)
        bench.power.on(bench.machines[name])


def _inject(step: Inject, bench: Bench) -> None:
    fault = make(step, bench.scenario, bench.machines, bench.namespace, bench.power)
    fault.begin()
    bench.faults.append(Episode(step.name, fault, bench.clock.now()))
    bench.stack.callback(undoing(bench.faults[-1]))


def _undo(step: Undo, bench: Bench) -> None:
    bench.lasting[step.fault].end(bench.clock.now)


def _await(step: Await, bench: Bench) -> None:
    names = _names(step.machines, bench)

    def arrived(timelines: Timelines) -> list[str]:
        return [name for name in names if _has_arrived(step, timelines[name])]

    def settled(timelines: Timelines) -> bool:
        lost = [name for name in names if timelines[name].state is HostState.FAILED and step.state is not HostState.FAILED]
        return bool(lost) or step.quorum.met(len(arrived(timelines)), len(names))

    deadline = bench.clock.now() + step.within.seconds
    while not bench.observer.wait(settled, min(deadline, bench.clock.now() + _LOOK_SECONDS)):
        if bench.observer.trouble or bench.clock.now() >= deadline:
            break
        _must_be_whole(names, bench)
    if bench.observer.trouble:
        raise Failed(bench.observer.trouble)
    timelines = bench.observer.timelines
    there = arrived(timelines)
    if step.quorum.met(len(there), len(names)):
        return
    if bench.clock.now() < deadline:
        failed = [name for name in names if timelines[name].state is HostState.FAILED]
        raise Failed(f"{', '.join(failed)} reported that it cannot go on")
    for name in set(names) - set(there):
        bench.observer.fail(name, _missed(step, timelines[name]))
    late = ", ".join(f"{name} ({timelines[name].last_stage or 'no sign of life'})" for name in names if name not in there)
    raise Failed(f"not {step.stage or step.state} within {step.within}: {late}")


def _must_be_whole(names: Sequence[str], bench: Bench) -> None:
    """A guest cannot arrive on a machine that is gone, and is not to blame for it."""
    broken = [name for name in names if bench.machines[name].state() is MachineState.BROKEN]
    if broken:
        raise HarnessError(f"{', '.join(broken)}: the machine itself has died, or cannot go on")


def _has_arrived(step: Await, line: Timeline) -> bool:
    if step.stage is not None:
        return step.stage in line.stages
    return line.state is step.state


def _missed(step: Await, line: Timeline) -> str:
    last = f"the last stage it reached is {line.last_stage}" if line.last_stage else "it gave no sign of life"
    return f"not {step.stage or step.state} within {step.within}: {last}"


def _await_cluster(step: AwaitCluster, bench: Bench) -> None:
    assert bench.outer is not None
    outer, deadline = bench.outer, bench.clock.now() + step.within.seconds
    timelines = bench.observer.timelines
    wanted = {host.name: timelines[host.name].config_id for host in outer.cluster.hosts}
    now, clock = datetime.now(UTC), bench.clock.now()
    boots = {name: timelines[name].powered_on for name in wanted}
    booted = {name: now - timedelta(seconds=clock - at) for name, at in boots.items() if at is not None}
    problems = ["the add-ons are not applied"]
    while problems:
        if bench.clock.now() > deadline:
            raise Failed(f"no cluster within {step.within}: {'; '.join(problems)}")
        try:
            problems = outer.problems(wanted, booted)
        except HarnessError as error:  # the API server may be gone for a while: that is the subject's affair, not the harness's
            problems = [error.message.splitlines()[-1]]
        if problems:
            bench.say(problems[0])
            time.sleep(_POLL_SECONDS * 4)


def _inner(step: CreateCluster | AwaitInner | DeleteCluster | RotateCluster | UpgradeCluster, bench: Bench) -> None:
    assert bench.outer is not None
    began = bench.clock.now()

    def left_of(within: Duration) -> clustering.Left:
        return clustering.Left(lambda: began + within.seconds - bench.clock.now(), bench.say)

    match step:
        case CreateCluster():
            bench.asked[step.cluster] = began
            clustering.create(step, bench.outer)
        case AwaitInner():
            problem = clustering.await_ready(step, bench.outer, left_of(step.within))
            ready = None if problem else bench.clock.now()
            if (asked := bench.asked.pop(step.cluster, None)) is not None:
                bench.creations.append(creating.collect(step.cluster, asked, ready, bench.outer, bench.clock))
            if problem:
                raise Failed(f"{step.cluster} is not Ready within {step.within}: {problem}")
            write_kubeconfig(bench.lab, bench.outer, step.cluster, bench.scenario.fabric.entrance)
        case DeleteCluster():
            if problem := clustering.delete(step, bench.outer, left_of(step.within)):
                raise Failed(f"{step.cluster} is not gone within {step.within}: {problem}")
        case RotateCluster():
            if problem := living.rotate(step, bench, left_of(step.within)):
                raise Failed(f"{step.cluster} does not have new certificates within {step.within}: {problem}")
        case UpgradeCluster():
            if problem := living.upgrade(step, bench, left_of(step.within)):
                raise Failed(f"{step.cluster} is not upgraded within {step.within}: {problem}")


def _garbage(step: GarbageStep, bench: Bench) -> None:
    assert bench.outer is not None
    until = bench.clock.now() + (0.0 if isinstance(step, NoteTraces) else step.within.seconds)
    left = clustering.Left(lambda: until - bench.clock.now(), bench.say)
    if problem := garbage.carry_out(step, bench.outer, bench.machines, bench.traces, left):
        raise Failed(f"{step.do}: {problem}")


def _start_probe(step: StartProbe, bench: Bench) -> None:
    assert bench.outer is not None
    probe: ApiProbe
    if step.kind is ProbeKind.HANDSHAKES:
        probe = HandshakeProbe(step.name, living.way_to(step.cluster, bench), step.every.seconds, bench.clock.now)
    else:
        make = {ProbeKind.API: ApiProbe, ProbeKind.WRITES: WritesProbe}[step.kind]
        probe = make(step.name, bench.outer.door, step.every.seconds, bench.clock.now)
    bench.probes[step.name] = bench.stack.enter_context(probe)


def _settle(step: Settle, bench: Bench) -> None:
    probe = bench.probes[step.probe]
    deadline = bench.clock.now() + step.within.seconds
    if not probe.steady(step.steady.seconds, deadline):
        raise Failed(f"{step.probe} was not steady for {step.steady} within {step.within}: {probe.trouble()}")
    try:
        problem = probe.verify(deadline)
    except (OSError, HTTPException) as error:
        raise Failed(f"{step.probe} could not be verified: {error}") from error
    if problem:
        raise Failed(problem)


def _check(step: Check, bench: Bench) -> None:
    machines = bench.scenario.select(step.machines)
    rack = testinfra.Rack(bench.scenario, bench.lab, bench.namespace, bench.ssh_key)
    if bench.outer:
        kubectl = bench.outer.kubectl
        rack = replace(rack, kubeconfig=kubectl.kubeconfig, kubectl=kubectl.program, clusters=bench.lab.subdirectory(INNER))
    try:
        if step.on == "fabric":
            results = testinfra.check_fabric(step.testinfra, rack, within=step.within.seconds)
        else:
            results = testinfra.check(step.testinfra, machines, rack, within=step.within.seconds)
    except DeadlineExceeded as error:
        raise Failed(f"the checks did not end within {step.within}") from error
    bench.checks += results
    if not results:
        raise HarnessError(f"{step.testinfra} holds no test")
    bad = [result for result in results if not result.ok]
    if bad:
        raise Failed(f"{len(bad)} of {len(results)} checks did not pass")


def _kill_worker(step: KillWorker, bench: Bench) -> None:
    victims = {name: pid for name, (pid, _) in bench.mayu.workers().items() if _is(step.worker, name)}
    if not victims:
        raise HarnessError(f"mayu has no {step.worker} worker")
    for pid in victims.values():
        os.kill(pid, signal.SIGKILL)
    deadline = bench.clock.now() + step.within.seconds
    while not _are_back(victims, bench):
        if bench.clock.now() > deadline:
            raise Failed(f"{', '.join(victims)} did not come back within {step.within}")
        time.sleep(_POLL_SECONDS)


def _is(worker: Worker, name: str) -> bool:
    """mayu numbers its HTTP workers: http-1, http-2."""
    return name == worker or name.startswith(f"{worker}-")


def _are_back(victims: Mapping[str, int], bench: Bench) -> bool:
    with suppress(HarnessError):  # While all HTTP workers are dead, mayu cannot answer.
        workers = bench.mayu.workers()
        return all(name in workers and workers[name][0] != pid and workers[name][1] for name, pid in victims.items())
    return False
