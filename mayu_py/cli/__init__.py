"""mayu: the server's command line."""

import click

from mayu_py import terminal
from mayu_py.cli.checking import check, render
from mayu_py.cli.serving import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kubeception", prog_name="mayu")
def mayu() -> None:
    """Boot machines over the network: DHCP, TFTP, iPXE, HTTP and Ignition from one small server.

    \b
    Examples:
      mayu check -c rack.yaml          find every mistake, with file and line
      mayu render -c rack.yaml node-1  the Ignition config that node-1 would be served
      mayu serve -c rack.yaml          serve until Ctrl-C
    """


for verb in (serve, check, render):
    mayu.add_command(verb)
terminal.completion(mayu, "mayu")


def main() -> None:
    """Entry point."""
    terminal.run(mayu, "mayu")
