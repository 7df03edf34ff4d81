"""ignition: validate, butane, merge, translate, migrate, render, diff, apply.

The library is imported by the command that needs it, through the lazy names of `ignition`, so that `--help` and shell
completion are quick.
"""

import os
import sys

import click
from click.shell_completion import get_completion_class

from ignition.cli import configs, machines, texts

NAME = "ignition"
SHELLS = ("bash", "zsh", "fish")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kubeception", prog_name=NAME)
def ignition() -> None:
    """Check, make and apply Ignition configs.

    A config is read from stdin where its file is `-` or left out. Results go to stdout or to --output, everything said about
    them to stderr.

    \b
    Examples:
      ignition validate worker.ign               what ignition-validate would say
      ignition butane worker.bu -o worker.ign    Butane to Ignition
      ignition translate --to 3.3.0 worker.ign   for an older Ignition
      ignition diff old.ign new.ign              what a machine would notice
      ignition apply worker.ign /srv/roots/w1    the real Ignition, on a directory

    \b
    Exit codes:
      0    done
      1    a config is not good, or it could not be done; diff: there is a difference
      2    the command line is wrong; diff: a config is not good
      130  stopped by Ctrl-C
    """


@ignition.command(
    "completion", help='Print the completion script of a shell.\n\n\b\nExample:\n  eval "$(ignition completion bash)"'
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ignition, {}, NAME, f"_{NAME.upper()}_COMPLETE").source())


for module in (texts, configs, machines):
    for command in module.COMMANDS:
        ignition.add_command(command)


def main() -> None:
    """Entry point. What a person can act on is told by the commands; anything else unexpected is a bug: traceback."""
    try:
        # Outside of its standalone mode click returns what `Context.exit` was given.
        code = ignition.main(prog_name=NAME, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has seen enough (`ignition diff a b | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
