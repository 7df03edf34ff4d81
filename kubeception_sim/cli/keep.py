"""kubeception keep: what `kubeception up` starts in the background. Nobody types it."""

import io
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

import kubeception_sim.scenario as runner
from kubeception_sim import claims, report
from kubeception_sim.cli.options import FILE, read_scenario
from kubeception_sim.cli.running import DRIVERS, with_driver
from kubeception_sim.model.results import Verdict
from kubeception_sim.scenario import keeper
from kubeception_sim.scenario.keeping import Keeper

OUT = click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where the report goes.  [default: out/NAME]")
DRIVER = click.option("--driver", type=click.Choice(DRIVERS), help="What plays the machines, whatever the scenario says.")
KEEP = click.option("--keep", is_flag=True, help="When it fails, let everything stand, for a look inside.")


class Log(io.StringIO):
    """Standard output as far as it takes what is written: a lab must not go down because the disk of its log is full."""

    def write(self, text: str, /) -> int:
        """At once; what does not fit is lost."""
        with suppress(OSError):
            os.write(sys.stdout.fileno(), text.encode(errors="replace"))
        return len(text)


@click.command("keep", hidden=True)
@FILE
@OUT
@DRIVER
@KEEP
@click.option("--claim", type=int, required=True, help="The descriptor that holds the lab's name.")
@click.pass_context
def keep_verb(context: click.Context, file: Path, out: Path, driver: str | None, keep: bool, claim: int) -> None:
    """Be the keeper of the lab in FILE. `kubeception up` starts this."""
    os.set_inheritable(claim, False)
    signal.signal(signal.SIGTERM, _interrupt)  # of the moments before and after the run, which has a handler of its own
    scenario = with_driver(read_scenario(file), driver)
    console = Console(file=Log(), highlight=False, emoji=False)
    try:
        with Keeper(scenario, file, out, console, good=True, failed=keep) as hold:
            result = runner.run(scenario, out=out, keep=False, console=console, quiet=False, hold=hold)
        if result.verdict is not Verdict.PASS:
            report.show(result, console)
    finally:
        with suppress(OSError):  # its disk may be full; the name must be free again
            _save_log(scenario.name, out)
        claims.forget(scenario.name, claim)
    context.exit(result.verdict.exit_code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _save_log(name: str, out: Path) -> None:
    """What the keeper had to say outlives the lab, beside the other logs."""
    folder = out / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "keeper.log").write_bytes(keeper.log(name).read_bytes())
