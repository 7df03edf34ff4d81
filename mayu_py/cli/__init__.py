"""mayu: the server's command line."""

import click

from mayu_py import terminal
from mayu_py.cli.checking import check, render
from mayu_py.cli.dhcp_probe import dhcp_probe
from mayu_py.cli.explain import explain
from mayu_py.cli.importer import import_
from mayu_py.cli.init import init
from mayu_py.cli.plan import plan_
from mayu_py.cli.replay import replay
from mayu_py.cli.serving import serve
from mayu_py.cli.store import store
from mayu_py.cli.tokens import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kubeception", prog_name="mayu")
def mayu() -> None:
    """Boot machines over the network: DHCP, TFTP, iPXE, HTTP and Ignition from one small server.

    \b
    Examples:
      mayu init etcd --interface br0 --address 10.77.0.1/24   a config and a template to begin with
      mayu check -c rack.yaml          find every mistake, with file and line
      mayu render -c rack.yaml node-1  the Ignition config that node-1 would be served
      mayu explain -c rack.yaml --mac 52:54:00:00:00:01   what a machine would be answered, and why
      mayu plan -c new.yaml --against rack.yaml           which hosts a change changes, and why
      mayu replay boot.pcap -c rack.yaml                  the same for what was captured
      mayu serve -c rack.yaml          serve until Ctrl-C
      mayu store check -c rack.yaml    is the state file sound?
      mayu token new ci --role operate a token for the admin face
      mayu import mayu /etc/mayu -o /etc/mayu-new         bring Giant Swarm's Mayu here
      mayu dhcp-probe -i br0           which DHCP servers answer on a link
    """


for verb in (init, serve, check, render, explain, plan_, replay, store, dhcp_probe, token, import_):
    mayu.add_command(verb)
terminal.completion(mayu, "mayu")


def main() -> None:
    """Entry point."""
    terminal.run(mayu, "mayu")
