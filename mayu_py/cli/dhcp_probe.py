"""mayu dhcp-probe: who answers DHCP on a link."""

import json
from dataclasses import asdict

import click

from mayu_py.core.hosts import Mac
from mayu_py.errors import MayuError
from mayu_py.services import dhcp_probe as probing

_ROW = "{:15}  {:15}  {:17}  {:15}  {}"


@click.command("dhcp-probe")
@click.option("-i", "--interface", required=True, help="The network interface to ask on.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=4.0, show_default=True, help="How long to wait for answers.")
@click.option("--mac", help="The MAC that asks.  [default: the interface's own]")
@click.option("--json", "as_json", is_flag=True, help="The servers as JSON.")
@click.pass_context
def dhcp_probe(context: click.Context, interface: str, seconds: float, mac: str | None, as_json: bool) -> None:
    """List the DHCP servers on a link, by sending one DISCOVER as a machine that boots from the network sends it.

    It takes no lease, but a server that enrols strangers enrols the MAC that asks. A mayu on this very machine hears nothing of
    it. Exit code 0 when somebody answers, 1 when nobody does.
    """
    try:
        hardware = bytes.fromhex(Mac.parse(mac).replace(":", "")) if mac else None
        found: list[probing.Found] = []
        for server in probing.search(interface, seconds, hardware):
            if not as_json:
                if not found:
                    click.secho(_ROW.format("SERVER", "FROM", "MAC", "OFFERS", "BOOT FILE"), bold=True)
                row = (server.server, server.source, server.mac, server.offered or "no address", server.boot_file or "-")
                click.echo(_ROW.format(*map(str, row)))
            found.append(server)
    except ValueError as error:
        raise MayuError(str(error)) from error
    except OSError as error:
        hint = "packet sockets need root, or CAP_NET_RAW; see `ip link` for the interfaces"
        raise MayuError(f"cannot ask on {interface}: {error.strerror}", hint=hint) from error
    if as_json:
        rows = [{key: None if value is None else str(value) for key, value in asdict(server).items()} for server in found]
        click.echo(json.dumps(rows, indent=2))
    elif not found:
        click.secho(f"nobody answered on {interface} within {seconds:g} s", bold=True)
    context.exit(0 if found else 1)
