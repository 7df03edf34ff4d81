"""kubeception up."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import click

from kubeception_sim import claims
from kubeception_sim.cli.keep import DRIVER, KEEP, OUT
from kubeception_sim.cli.labs import Following, pause
from kubeception_sim.cli.options import FILE, JSON, read_scenario
from kubeception_sim.cli.running import make_folder, with_driver
from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.lab import ENV_LAB
from kubeception_sim.model.plan import plan as make_plan
from kubeception_sim.model.results import Verdict
from kubeception_sim.model.scenario import Scenario
from kubeception_sim.run import Detached, detach
from kubeception_sim.scenario import keeper
from kubeception_sim.scenario.ending import end
from kubeception_sim.scenario.keeper import Kept, Phase
from kubeception_sim.scenario.keeping import digest
from kubeception_sim.scenario.wishes import Asked, Wish, ask

_INTERRUPTED = 130
_LISTENING_SECONDS = 30.0
_PACKAGE_ROOT = Path(__file__).parents[2]
# What a run reads of its environment; a program that is detached gets a clean one.
_PASSED_ON = ("DOCKER_HOST", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@click.command(short_help="Bring a lab up that stays, or what is missing of it.")
@FILE
@OUT
@DRIVER
@KEEP
@JSON
@click.pass_context
def up(context: click.Context, file: Path, out: Path | None, driver: str | None, keep: bool, as_json: bool) -> None:
    """Bring up the scenario FILE, do its steps, and let it all stand until `kubeception down`.

    A process in the background keeps it; this command shows how it goes until it is up or has failed. Ctrl-C meanwhile takes it
    down again. On a lab that is up already only what is missing happens: machines that are off are started, add-ons applied.

    \b
    Exit codes:
      0    it is up
      1    a step failed, and all is down again (with --keep: and all that came up stays)
      2    the harness or this machine failed
      130  stopped by Ctrl-C, after taking everything down

    \b
    Example:
      kubeception up scenarios/performance/outer-cluster.yaml
      kubeception kubectl get nodes
      kubeception shell worker-1
      kubeception down
    """
    scenario = with_driver(read_scenario(file), driver)
    claim = _claim(scenario, err=as_json)
    if claim is None:
        code = _mend(keeper.find(scenario.name), file, scenario, err=as_json)
    else:
        code = _bring_up(scenario, file, out or Path("out") / scenario.name, keep, claim, err=as_json)
    if as_json:
        kept = keeper.look(scenario.name)
        document = {"schema": 1, "ok": code == 0, "name": scenario.name, "lab": kept.to_data() if kept else None}
        click.echo(json.dumps(document, indent=2))
    context.exit(code)


def _claim(scenario: Scenario, *, err: bool) -> int | None:
    """Hold the lab's name; None when somebody else does. What a killed keeper left is removed before."""
    known = keeper.look(scenario.name)
    if known and known.phase is Phase.DEAD:
        click.echo(f"the keeper of {known.name} was killed; removing what it left", err=err)
        end(known, lambda: None)
    elif known:
        return None
    try:
        return claims.take(scenario.name)
    except BadInput:  # somebody else was quicker, at this very moment
        return None


def _bring_up(scenario: Scenario, file: Path, out: Path, keep: bool, claim: int, *, err: bool) -> int:
    """Start a keeper and watch it; the exit code. It shares the claim, which is closed here."""
    name = scenario.name
    with _interruptible() as stop, Following(keeper.log(name), err=err) as following:
        try:
            make_folder(out)
            click.echo(str(make_plan(scenario)), err=err)
            keeper.log(name).write_bytes(b"")
            argv: list[str | Path] = [sys.executable, "-m", "kubeception_sim", "keep", file, "--out", out]
            argv += ["--driver", str(scenario.driver), "--claim", str(claim), *(["--keep"] if keep else [])]
            started = detach(argv, log=keeper.log(name), env=_environment(), pass_fds=(claim,))
        except BaseException:
            claims.forget(name, claim)
            raise
        os.close(claim)
        return _watch(name, started, following, stop)


@contextmanager
def _interruptible() -> Iterator[Event]:
    """An event that Ctrl-C sets: no keeper is lost between its start and the moment that we know of it.

    The second Ctrl-C stops us as usual; the keeper goes on taking down.
    """
    stop = Event()

    def set_once(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, set_once)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name.startswith("KUBECEPTION_") and name != ENV_LAB}
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**own, **passed, "PYTHONPATH": os.fspath(_PACKAGE_ROOT)}


def _watch(name: str, started: Detached, following: Following, stop: Event) -> int:
    """Show what the keeper says until its lab stands, or it has ended; the exit code."""
    while not stop.is_set():
        code = started.poll()
        kept = keeper.look(name)
        following.show()
        if code is not None:
            if code < 0:
                hint = f"kubeception down {name}"
                raise HarnessError(f"the keeper of {name} was ended by {signal.Signals(-code).name}", hint=hint)
            return code
        if kept and kept.owner.pid == started.pid and kept.phase in (Phase.UP, Phase.FAILED):
            return 0 if kept.phase is Phase.UP else Verdict.FAIL.exit_code
        pause()
    click.echo("taking it down; this takes some seconds", err=True)
    _take_down(name, started, following)
    return _INTERRUPTED


def _take_down(name: str, started: Detached, following: Following) -> None:
    started.terminate()
    while started.poll() is None:
        following.show()
        pause()
    following.show()
    # One that had only just begun could not tidy up yet.
    if (left := keeper.look(name)) and left.phase is Phase.DEAD:
        end(left, following.show)


def _mend(kept: Kept, file: Path, scenario: Scenario, *, err: bool) -> int:
    """Have the keeper of a lab put right what is missing, and watch it; the exit code. Ctrl-C ends the watching alone."""
    click.echo(f"{kept.name} is {kept.phase}; what is missing is put right", err=err)
    if kept.sha256 and (kept.sha256 != digest(file) or kept.driver != scenario.driver):
        what = f"{file}, driver {scenario.driver},"
        click.echo(f"{what} is not what the lab was made of: for that, kubeception down {kept.name} first", err=True)
    with (
        Following(keeper.log(kept.name), from_end=kept.phase is not Phase.COMING_UP, err=err) as following,
        ask(kept.name, Wish.MEND, patience=_LISTENING_SECONDS) as asked,
    ):
        answer = _await(asked, following)
    if answer:
        click.echo(f"{kept.name}: {answer}", err=True)
        return Verdict.FAIL.exit_code
    click.echo(f"{kept.name} is up", err=err)
    return 0


def _await(asked: Asked, following: Following) -> str:
    while (answer := asked.answer(0.1)) is None:
        following.show()
    following.show()
    return "" if answer["ok"] else str(answer["problem"])
