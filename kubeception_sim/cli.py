"""kubeception: run, plan, doctor, gc, image."""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

import kubeception_sim.scenario as runner
from kubeception_sim import doctor as examination
from kubeception_sim import gc as garbage
from kubeception_sim import report
from kubeception_sim.artifacts import testbed
from kubeception_sim.artifacts.store import Progress, Store
from kubeception_sim.errors import BadInput, HarnessError, KubeceptionError
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.model.plan import plan as make_plan
from kubeception_sim.model.rules import parse
from kubeception_sim.model.scenario import DriverName, Scenario

DRIVERS = tuple(DriverName)
SHELLS = ("bash", "zsh", "fish")
FILE = click.argument("file", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, everything for people on stderr.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kubeception", prog_name="kubeception")
def kubeception() -> None:
    """Boot a rack of virtual machines from bare metal, break things on purpose, and report what a customer saw.

    \b
    Examples:
      kubeception doctor                       can scenarios run here, and if not, why not
      kubeception plan rack-boot.yaml          what a run would do; starts nothing
      kubeception run rack-boot.yaml           do it; the report goes to out/rack-boot
      kubeception run rack-boot.yaml --json    the same for programs
      kubeception gc --dry-run                 what killed runs left on this machine

    \b
    Exit codes:
      0    every step, check and budget was met
      1    the subject under test failed one
      2    the harness or this machine failed: nothing is known about the subject
      3    a file or an option is wrong
      130  stopped by Ctrl-C, after taking everything down
    """


@kubeception.command(short_help="Run a scenario and report how it went.")
@FILE
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where the report goes.  [default: out/NAME]")
@JSON
@click.option("--quiet", is_flag=True, help="No plan and no progress, only how it went.")
@click.option("--keep", is_flag=True, help="Keep the folder of the run: config, state, keys, logs. gc removes it.")
@click.option("--no-color", is_flag=True, help="No colours; so does any value of NO_COLOR.")
@click.option("--driver", type=click.Choice(DRIVERS), help="What plays the machines, whatever the scenario says.")
@click.pass_context
def run(
    context: click.Context,
    file: Path,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    keep: bool,
    no_color: bool,
    driver: str | None,
) -> None:
    """Run the scenario FILE: bring up, do its steps, judge, take down, report.

    The driver `fake` speaks the boot protocols over real sockets without a guest: seconds instead of minutes, and
    the report says that no guest code ran.
    """
    scenario = _read(file)
    if driver is not None:
        scenario = replace(scenario, driver=DriverName(driver))
    folder = out if out is not None else Path("out") / scenario.name
    _make(folder)
    console = _console(err=as_json, no_color=no_color)
    where = Text.assemble("\n", ("report", "bold"), f"  {folder / 'report.html'}")
    if not quiet:
        console.print(Text(str(make_plan(scenario))), soft_wrap=True)
    try:
        result = runner.run(scenario, out=folder, keep=keep, console=console, quiet=quiet)
    except KeyboardInterrupt:
        console.print(where, soft_wrap=True)
        raise
    report.show(result, console)
    console.print(where, soft_wrap=True)
    if as_json:
        click.echo(report.as_json(result), nl=False)
    context.exit(result.verdict.exit_code)


@kubeception.command(short_help="Print what a run would do.")
@FILE
def plan(file: Path) -> None:
    """Print what a run of the scenario FILE would do, in order. Starts nothing.

    A mistake in FILE is reported with its line; all of them at once.
    """
    click.echo(str(make_plan(_read(file))), nl=False)


@kubeception.command(short_help="Find out whether scenarios can run here.")
@JSON
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Find out whether scenarios can run here, by trying: namespaces, tools, firmware, a guest.

    Takes a few seconds, a minute when something hangs. Exit code 0 when they can, 2 when not.
    """
    cache = testbed.default_cache()
    with _console(err=True).status("trying namespaces, tools, firmware and a guest"):
        findings = examination.examine(cache)
        verdict = _accelerator(findings, cache)
    good = examination.can_run(findings)
    if as_json:
        document = {
            "schema": 1,
            "ok": good,
            "accelerator": str(verdict.accelerator),
            "attempts": [asdict(attempt) for attempt in verdict.attempts],
            "findings": [asdict(finding) for finding in findings],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _tell(findings, verdict, good, _console())
    context.exit(0 if good else HarnessError.exit_code)


def _accelerator(findings: list[examination.Finding], cache: Path) -> examination.Verdict:
    """The verdict that the findings rest on: `examine` has just left it in the cache, unless no guest booted."""
    if all(finding.ok for finding in findings if finding.what == "guest boots"):
        return examination.find_accelerator(cache)
    return examination.Verdict(Accelerator.NONE, ())


def _tell(findings: list[examination.Finding], verdict: examination.Verdict, good: bool, console: Console) -> None:
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = ("ok    ", "green") if finding.ok else ("FAIL  ", "bold red") if finding.required else ("note  ", "yellow")
        console.print(Text.assemble(mark, f"{finding.what:<{width}}  {finding.detail}".rstrip()), soft_wrap=True)
        if not finding.ok and finding.fix:
            console.print(Text.assemble(" " * 6, ("fix: ", "cyan"), finding.fix), soft_wrap=True)
    why = "no guest got as far as its network boot" if verdict.accelerator is Accelerator.NONE else "the first whose guests boot"
    console.print(Text.assemble("\naccelerator ", (verdict.accelerator.upper(), "bold"), f": {why}"))
    for attempt in verdict.attempts:
        outcome = f"worked, {attempt.seconds:.1f} s" if attempt.ok else attempt.why
        console.print(f"      tried {attempt.what}: {outcome}", soft_wrap=True, markup=False)
    failed = sum(finding.required and not finding.ok for finding in findings)
    last = "scenarios can run here" if good else f"scenarios cannot run here: {failed} to fix"
    console.print(Text(f"\n{last}", style="bold green" if good else "bold red"))


@kubeception.command(short_help="Remove what killed runs left behind.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@JSON
@click.pass_context
def gc(context: click.Context, dry_run: bool, as_json: bool) -> None:
    """Remove what killed runs left on this machine: processes, mounts, namespaces, links, folders.

    A run that still lives is never touched, nor is anything that no run made. Exit code 2 when something would not go.
    """
    found = garbage.find()
    removals = (garbage.Removal(leftover) for leftover in found) if dry_run else garbage.collect(found)
    rows, stuck = [], 0
    for removal in removals:
        stuck += bool(removal.problem)
        rows.append(asdict(removal.leftover) | {"removed": not dry_run and not removal.problem, "problem": removal.problem})
        verb = "would remove" if dry_run else "could not remove" if removal.problem else "removed"
        problem = f": {removal.problem}" if removal.problem else ""
        click.echo(f"{verb} {removal.leftover}{problem}", err=as_json)
    if not rows:
        click.echo("nothing left behind", err=as_json)
    if as_json:
        click.echo(json.dumps({"schema": 1, "ok": not stuck, "dry_run": dry_run, "leftovers": rows}, indent=2))
    context.exit(HarnessError.exit_code if stuck else 0)


@kubeception.group(short_help="Build, find or verify the testbed OS.")
def image() -> None:
    """The testbed OS that machines boot. A run builds it by itself; it is kept in $KUBECEPTION_CACHE.

    \b
    Examples:
      kubeception image build         build it now, unless it is there (minutes, root)
      ls -l $(kubeception image path)
    """


@image.command()
def build() -> None:
    """Build the image, unless the cache has it. Prints its folder."""
    with _progress(_console(err=True)) as progress:
        built = testbed.ensure(testbed.default_cache(), progress)
    click.echo(built.directory)


@image.command()
def path() -> None:
    """Print the image's folder. Builds nothing: exit code 2 when there is none."""
    cache = testbed.default_cache()
    entry = Store(cache, testbed.KIND).find(testbed.key())
    if entry is None:
        raise HarnessError(f"no image in {cache}", hint="kubeception image build")
    click.echo(entry.directory)


@image.command()
def verify() -> None:
    """Read the whole image and compare it with its checksums."""
    testbed.verify(testbed.default_cache())
    click.echo("every file is as it was built")


@kubeception.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Example:  eval "$(kubeception completion bash)"
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(kubeception, {}, "kubeception", "_KUBECEPTION_COMPLETE").source())


def _read(file: Path) -> Scenario:
    """The scenario in a file. The files it names must be there."""
    try:
        return parse(file.read_text(encoding="utf-8"), str(file), Path.is_file)
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: not UTF-8 at byte {error.start}") from error
    except FileNotFoundError as error:
        raise BadInput(f"{file}: no such file") from error
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from error


def _make(folder: Path) -> None:
    """The folder for the report, before anything is started."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}", hint="choose another folder with --out") from error


def _console(*, err: bool = False, no_color: bool = False) -> Console:
    # Rich reads NO_COLOR itself; None leaves it to that.
    return Console(stderr=err, no_color=no_color or None, highlight=False, emoji=False)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """A bar on a terminal; a line per step in a log."""
    if not console.is_terminal:
        steps: set[str] = set()

        def line(step: str, done: float) -> None:
            if step not in steps:
                steps.add(step)
                console.print(f"{done:4.0%}  {step}", markup=False)

        yield line
        return
    with Bars(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as bars:
        task = bars.add_task("image", total=1.0)
        yield lambda step, done: bars.update(task, description=step, completed=done)


def main() -> None:
    """Entry point: errors are told once, here. A KubeceptionError is message and hint; a bug is a traceback."""
    # https://no-color.org: any non-empty value turns colours off.
    color = False if os.environ.get("NO_COLOR") else None
    try:
        # Outside of its standalone mode click returns what `Context.exit` was given.
        code = kubeception.main(prog_name="kubeception", standalone_mode=False, color=color)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(BadInput.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except KubeceptionError as error:
        click.echo(f"{click.style('kubeception:', fg='red', bold=True)} {error.message}", err=True, color=color)
        if error.hint:
            click.echo(f"{click.style('hint:', fg='cyan')} {error.hint}", err=True, color=color)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has seen enough (`kubeception plan FILE | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception:  # noqa: BLE001 -- the last stop: it is shown whole
        # A bug of ours. Python's own exit code for it, 1, would say that the subject under test had failed.
        traceback.print_exc()
        sys.exit(HarnessError.exit_code)
