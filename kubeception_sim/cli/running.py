"""kubeception run and plan."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

import kubeception_sim.scenario as runner
from kubeception_sim import claims, report
from kubeception_sim.cli.console import make_console
from kubeception_sim.cli.options import FILE, JSON, read_scenario
from kubeception_sim.errors import BadInput
from kubeception_sim.model.plan import plan as make_plan
from kubeception_sim.model.results import Verdict
from kubeception_sim.model.scenario import DriverName, Scenario
from kubeception_sim.scenario.keeping import Keeper

DRIVERS = tuple(str(driver) for driver in DriverName)  # of enums, click would take the names


@click.command(short_help="Run a scenario and report how it went.")
@FILE
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where the report goes.  [default: out/NAME]")
@JSON
@click.option("--quiet", is_flag=True, help="No plan and no progress, only how it went.")
@click.option("--keep", is_flag=True, help="Keep the run's folder; on a terminal a failure stays standing, until Ctrl-C.")
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
    scenario = with_driver(read_scenario(file), driver)
    folder = out if out is not None else Path("out") / scenario.name
    make_folder(folder)
    console = make_console(err=as_json, no_color=no_color)
    where = Text.assemble("\n", ("report", "bold"), f"  {folder / 'report.html'}")
    if not quiet:
        console.print(Text(str(make_plan(scenario))), soft_wrap=True)
    try:
        with _kept_on_failure(scenario, file, folder, console) if keep and console.is_terminal else nullcontext() as hold:
            result = runner.run(scenario, out=folder, keep=keep, console=console, quiet=quiet, hold=hold)
    except KeyboardInterrupt:
        console.print(where, soft_wrap=True)
        raise
    report.show(result, console)
    console.print(where, soft_wrap=True)
    if result.verdict is not Verdict.PASS and not keep and console.is_terminal:
        console.print(Text(f"to look inside  kubeception up --keep {file}", style="dim"), soft_wrap=True)
    if as_json:
        click.echo(report.as_json(result), nl=False)
    context.exit(result.verdict.exit_code)


@click.command(short_help="Print what a run would do.")
@FILE
def plan(file: Path) -> None:
    """Print what a run of the scenario FILE would do, in order. Starts nothing.

    A mistake in FILE is reported with its line; all of them at once.
    """
    click.echo(str(make_plan(read_scenario(file))), nl=False)


@contextmanager
def _kept_on_failure(scenario: Scenario, file: Path, out: Path, console: Console) -> Iterator[Keeper]:
    """The run can be looked into like a lab: by its name, from another terminal. Raises BadInput when that is taken."""
    claim = claims.take(scenario.name)
    try:
        with Keeper(scenario, file, out, console, good=False, failed=True) as keeper:
            yield keeper
    finally:
        claims.forget(scenario.name, claim)


def with_driver(scenario: Scenario, driver: str | None) -> Scenario:
    """The scenario, played by another driver if one is named."""
    return replace(scenario, driver=DriverName(driver)) if driver else scenario


def make_folder(folder: Path) -> None:
    """The folder for the report, before anything is started."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}", hint="choose another folder with --out") from error
