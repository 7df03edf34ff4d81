"""What both command lines share: errors told once at the top, colours that turn off, shell completion."""

import os
import sys

import click
from click.shell_completion import get_completion_class

from mayu_py.errors import MayuError

SHELLS = ("bash", "zsh", "fish")


def run(command: click.Command, name: str) -> None:
    """Run a command line. A MayuError is message and hint, exit 1; anything else unexpected is a bug: traceback."""
    # https://no-color.org: any non-empty value turns colours off. Rich reads the variable itself. Errors are told when the
    # command line is forgotten already, so its option is looked for here.
    color = False if os.environ.get("NO_COLOR") or "--no-color" in sys.argv[1:] else None
    try:
        # Outside of its standalone mode click returns what `Context.exit` was given.
        code = command.main(prog_name=name, standalone_mode=False, color=color)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except MayuError as error:
        click.echo(f"{click.style(f'{name}:', fg='red', bold=True)} {error.message}", err=True, color=color)
        if error.hint:
            click.echo(f"{click.style('hint:', fg='cyan')} {error.hint}", err=True, color=color)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has seen enough (`mayuctl list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def completion(group: click.Group, name: str) -> None:
    """Add the verb `completion SHELL` to a command line."""

    @group.command(
        "completion", help=f'Print the completion script of a shell.\n\n\b\nExample:  eval "$({name} completion bash)"'
    )
    @click.argument("shell", type=click.Choice(SHELLS))
    def command(shell: str) -> None:
        found = get_completion_class(shell)
        assert found is not None
        variable = f"_{name.upper()}_COMPLETE"
        click.echo(found(group, {}, name, variable).source())
