"""kubeception shell."""

import shlex

import click

from kubeception_sim.cli.labs import LAB, MACHINE, become
from kubeception_sim.errors import BadInput
from kubeception_sim.scenario import keeper


@click.command(short_help="A root shell in a machine.", context_settings={"allow_interspersed_args": False})
@LAB
@MACHINE
@click.argument("command", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
def shell(lab: str | None, machine: str, command: tuple[str, ...]) -> None:
    """Open a root shell in MACHINE, or run a COMMAND there, whose exit code is ours and whose stdin is empty.

    \b
    Examples:
      kubeception shell worker-1
      kubeception shell worker-1 -- journalctl --unit kubelet --lines 50
    """
    kept, view = keeper.find_machine(machine, lab)
    kept.must_live()
    if not view.shell:
        raise BadInput(f"{machine} has no shell: it is a machine of the driver {kept.driver}")
    # Every driver's shell is a login shell of bash, and reads what it is to do from stdin unless that is a terminal.
    become(view.shell, kept.lab, stdin=f"exec {shlex.join(command)} </dev/null\n".encode() if command else None)
