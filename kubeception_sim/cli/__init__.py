"""kubeception: the testbed's command line, a module a verb."""

import os
import sys
import traceback

import click

from kubeception_sim.cli.artifacts import artifacts
from kubeception_sim.cli.completion import completion
from kubeception_sim.cli.doctor import doctor
from kubeception_sim.cli.down import down
from kubeception_sim.cli.gc import gc
from kubeception_sim.cli.image import image
from kubeception_sim.cli.keep import keep_verb
from kubeception_sim.cli.kubectl import kubeconfig, kubectl
from kubeception_sim.cli.logs import logs
from kubeception_sim.cli.outer import outer
from kubeception_sim.cli.reporting import report
from kubeception_sim.cli.running import plan, run
from kubeception_sim.cli.shell import shell
from kubeception_sim.cli.status import status
from kubeception_sim.cli.up import up
from kubeception_sim.errors import BadInput, HarnessError, KubeceptionError

__all__ = ["artifacts", "image", "kubeception", "main"]


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
      kubeception up outer-cluster.yaml        the same, and let it stand: status, kubectl, shell, logs, down
      kubeception gc --dry-run                 what killed runs left on this machine
      kubeception artifacts list               what is built and fetched, and what of it is still needed

    \b
    Exit codes:
      0    every step, check and budget was met
      1    the subject under test failed one
      2    the harness or this machine failed: nothing is known about the subject
      3    a file or an option is wrong
      130  stopped by Ctrl-C, after taking everything down
    """


LABS = (up, status, down, kubectl, kubeconfig, shell, logs, outer, keep_verb)

for verb in (run, plan, report, *LABS, doctor, gc, image, artifacts, completion):
    kubeception.add_command(verb)


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
