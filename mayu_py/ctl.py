"""mayuctl: asks a running mayu over HTTP. Imports nothing of the server."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mayu_py import terminal
from mayu_py.errors import MayuError

FIELDS = ("name", "serial", "address", "profile", "state", "stage", "since")
POLL_SECONDS = 0.5
_COLOURS = {"running": "green", "failed": "red", "installing": "yellow"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kubeception", prog_name="mayuctl")
@click.option("--server", envvar="MAYU_SERVER", default="http://127.0.0.1:4081", show_default=True, show_envvar=True)
@click.pass_context
def mayuctl(context: click.Context, server: str) -> None:
    """Ask a running mayu about its hosts. It answers on its own machine only.

    \b
    Examples:
      mayuctl --server http://10.77.0.1:4081 list
      mayuctl status node-1
      mayuctl events --follow
    """
    context.obj = server.rstrip("/")


@mayuctl.command("list")
@click.option("--fields", default=",".join(FIELDS), show_default=True, help="Columns, separated by commas.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@click.pass_obj
def list_(server: str, fields: str, as_json: bool) -> None:
    """List hosts."""
    hosts = _get(server, "/v1/hosts")
    if as_json:
        click.echo(json.dumps(hosts, indent=2))
        return
    columns = fields.split(",")
    if hosts and (unknown := set(columns) - set(hosts[0])):
        raise MayuError(f"there is no field {', '.join(sorted(unknown))}", hint=f"fields: {', '.join(hosts[0])}")
    table = Table(*(column.upper() for column in columns), box=None, pad_edge=False)
    for host in hosts:
        table.add_row(*(_cell(column, host[column]) for column in columns))
    Console().print(table)


@mayuctl.command()
@click.argument("host")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def status(server: str, host: str, as_json: bool) -> None:
    """Show one host, by serial, uuid or name."""
    found = _get(server, f"/v1/hosts/{urllib.parse.quote(host, safe='')}")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in found.items():
        table.add_row(key, _cell(key, value))
    Console().print(table)


@mayuctl.command()
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def events(server: str, follow: bool, as_json: bool) -> None:
    """Print the history, oldest first."""
    after = 0
    while True:
        found = _get(server, f"/v1/events?after={after}")
        for event in found:
            after = event["id"]
            detail = " ".join(f"{key}={value}" for key, value in event["detail"].items())
            click.echo(
                json.dumps(event) if as_json else f"{event['at']}  {event['host'] or '-':<20} {event['kind']:<10} {detail}"
            )
        if not found and not follow:
            return
        if not found:
            time.sleep(POLL_SECONDS)


@mayuctl.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def counters(server: str, as_json: bool) -> None:
    """Show what was counted: packets sent, and packets dropped with the reason."""
    rows = _get(server, "/v1/counters")
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("WORKER", "WHAT", "REASON", "COUNT", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["worker"], row["name"], row["reason"], str(row["count"]))
    Console().print(table)


def _cell(column: str, value: Any) -> Text:
    text = ", ".join(value) if isinstance(value, list) else "-" if value is None else str(value)
    return Text(text, style=_COLOURS.get(text, "") if column == "state" else "")


def _get(server: str, path: str) -> Any:
    try:
        with urllib.request.urlopen(server + path, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise MayuError(error.read().decode("utf-8", "replace").strip() or str(error)) from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise MayuError(
            f"{server} does not answer: {getattr(error, 'reason', error)}",
            hint="is mayu running? name it with --server or MAYU_SERVER",
        ) from error


terminal.completion(mayuctl, "mayuctl")


def main() -> None:
    """Entry point."""
    terminal.run(mayuctl, "mayuctl")
