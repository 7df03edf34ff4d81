"""The verb `context`: servers by name."""

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from mayu_py.asking.connection import url
from mayu_py.asking.contexts import Context, location, read, write
from mayu_py.ctl import completing, show
from mayu_py.ctl.session import AS_JSON
from mayu_py.errors import MayuError

NAME = click.argument("name", shell_complete=completing.contexts)
FILE = click.Path(path_type=Path, dir_okay=False, exists=True, resolve_path=True)


@click.group()
def context() -> None:
    """Name servers and choose among them.

    Contexts are servers with their credentials. They are kept in $XDG_CONFIG_HOME/mayuctl/config.yaml
    (~/.config/mayuctl/config.yaml), for its owner only.

    \b
    Examples:
      mayuctl context add lab --server https://mayu.lab:4080 --ca lab-ca.pem --token-stdin < token
      mayuctl context use lab
      mayuctl --context live list
    """


@context.command("list")
@AS_JSON
def list_(as_json: bool) -> None:
    """List contexts; `*` is the one in use."""
    book = read(location(os.environ))
    if as_json:
        show.emit([{"name": name, "current": name == book.current, **_shown(each)} for name, each in book.contexts.items()])
    elif not book.contexts:
        show.say("no contexts yet", "mayuctl context add NAME --server URL")
    else:
        rows = [
            ("*" if name == book.current else " ", name, each.server, _credentials(each)) for name, each in book.contexts.items()
        ]
        click.echo("\n".join(show.table(("", "name", "server", "credentials"), rows, limit=show.console_width())))


@context.command()
@NAME
def use(name: str) -> None:
    """Ask this server from now on.

    \b
    Example:  mayuctl context use lab
    """
    path = location(os.environ)
    write(path, read(path).using(name))
    click.echo(f"{name} is in use")


@context.command()
@click.argument("name")
@click.option("--server", required=True, metavar="URL", help="The admin face. HOST means https://HOST:4080.")
@click.option("--token-stdin", is_flag=True, help="Read a bearer token from standard input, and keep it.")
@click.option("--token-file", type=FILE, help="Read the bearer token from this file, each time anew.")
@click.option("--ca", type=FILE, help="The authority that signed the server's certificate, in PEM.")
@click.option("--client-cert", type=FILE, help="A client certificate, in PEM.")
@click.option("--client-key", type=FILE, help="Its key, if not in the same file.")
@click.option("--use", "used", is_flag=True, help="Use it from now on; the first is used anyway.")
def add(
    name: str,
    server: str,
    token_stdin: bool,
    token_file: Path | None,
    ca: Path | None,
    client_cert: Path | None,
    client_key: Path | None,
    used: bool,
) -> None:
    """Add a server by a name.

    \b
    Examples:
      mayuctl context add lab --server mayu.lab --ca lab-ca.pem --token-stdin < token
      mayuctl context add live --server mayu.live --client-cert me.pem --client-key me.key --use
    """
    if token_stdin and token_file:
        raise click.UsageError("either --token-stdin or --token-file is wanted")
    if client_key and not client_cert:
        raise click.UsageError("--client-key needs --client-cert")
    token = sys.stdin.read().strip() if token_stdin else None
    if token_stdin and not token:
        raise MayuError("standard input has no token", hint=f"mayuctl context add {name} ... --token-stdin < FILE")
    path = location(os.environ)
    book = read(path).adding(name, Context(url(server), token, token_file, ca, client_cert, client_key), use=used)
    write(path, book)
    click.echo(f"{name} is added{' and in use' if book.current == name else ''}")


@context.command()
@NAME
def remove(name: str) -> None:
    """Forget a context.

    \b
    Example:  mayuctl context remove lab
    """
    path = location(os.environ)
    write(path, read(path).without(name))
    click.echo(f"{name} is removed")


@context.command("show")
@click.argument("name", required=False, shell_complete=completing.contexts)
@AS_JSON
def show_(name: str | None, as_json: bool) -> None:
    """Show a context, or the one in use. Of a token it says only that there is one.

    \b
    Example:  mayuctl context show lab
    """
    book = read(location(os.environ))
    chosen = name or book.current
    if chosen is None:
        raise MayuError("no context is in use", hint=f"mayuctl context use {next(iter(book.contexts), 'NAME')}")
    shown = {"name": chosen, "current": chosen == book.current, **_shown(book.get(chosen))}
    if as_json:
        show.emit(shown)
    else:
        click.echo("\n".join(show.record(shown, show.console_width())))


def _shown(context: Context) -> dict[str, Any]:
    """Everything but the token itself."""
    found = {each.name: getattr(context, each.name) for each in fields(context)}
    return {name: "(set)" if name == "token" and value else str(value) if value else None for name, value in found.items()}


def _credentials(context: Context) -> str:
    kinds = ((context.token or context.token_file, "token"), (context.client_cert, "certificate"))
    return " and ".join(kind for given, kind in kinds if given)
