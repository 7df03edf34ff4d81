"""Verbs over the server's config: config get, config set, reload; and a host's own: ignition."""

import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mayu_py.ctl import completing, show
from mayu_py.ctl.session import AS_JSON, YES, Session, pass_session
from mayu_py.errors import MayuError

if TYPE_CHECKING:
    from ignition.secrets import Secrets

YAML = "application/yaml"
CONFIG = "/admin/mayu_config"
STDIN = Path("-")
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.group()
def config() -> None:
    """Read and replace the server's config file."""


@config.command("get")
@AS_JSON
@pass_session
def get(session: Session, as_json: bool) -> None:
    """Print the server's config file, secrets and all. The role `admin` may.

    \b
    Example:  mayuctl config get > rack.yaml
    """
    text = _current(session)
    if as_json:
        show.emit({"config": text})
    else:
        click.echo(text, nl=False)


@config.command("set")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@YES
@AS_JSON
@pass_session
def set_(session: Session, file: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Replace the server's config file by FILE.

    It shows how FILE differs from what the server has, and asks. `-` is standard input. A config with mistakes is refused,
    with all of them; the old one goes on serving.

    \b
    Examples:
      mayuctl config set rack.yaml
      mayuctl config set --dry-run rack.yaml
    """
    new = _read(file)
    changes = list(_changes(_current(session), new, file.name))
    wanted = bool(changes) and not dry_run
    if not as_json:
        click.echo("\n".join(changes) if changes else "nothing changes")
    if wanted and not yes:
        if file == STDIN:
            raise click.UsageError("standard input is the config, so nobody can answer: say --yes")
        click.confirm("Run this config?", abort=True, err=True)
    if wanted:
        session.client.send("PUT", CONFIG, new.encode(), YAML)
    if as_json:
        show.emit({"changed": bool(changes), "applied": wanted})
    elif wanted:
        click.echo("accepted")


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if file == STDIN else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MayuError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from error


def _current(session: Session) -> str:
    return session.client.send("GET", CONFIG)[1].decode("utf-8", "replace")


def _changes(old: str, new: str, name: str) -> Iterator[str]:
    for line in difflib.unified_diff(old.splitlines(), new.splitlines(), "server", name, lineterm=""):
        yield click.style(show.plain(line), fg=_COLOURS.get(line[:1]), bold=line.startswith(("---", "+++")))


@click.command()
@AS_JSON
@pass_session
def reload(session: Session, as_json: bool) -> None:
    """Have the server read its config again.

    One with mistakes is refused, and the old one goes on serving.

    \b
    Example:  mayuctl reload
    """
    told = session.client.ask("POST", "v1", "reload")
    if as_json:
        show.emit(told)
        return
    click.echo("accepted")
    if isinstance(told, dict) and told:
        changes = told.pop("changes", {})
        shown = {**told, **{kind: _named(names) for kind, names in changes.items()}} if changes else {**told, "changes": None}
        click.echo("\n".join(show.record(shown, show.console_width())))


def _named(names: object) -> object:
    """`changed node-1, node-2; added node-3`, of names by what happened to them."""
    if not isinstance(names, dict):
        return names
    return "; ".join(f"{how} {', '.join(which)}" for how, which in names.items())


@click.command()
@click.argument("host", shell_complete=completing.hosts)
@click.option("--redacted", is_flag=True, help="For showing around: *** stands where something secret stood.")
@pass_session
def ignition(session: Session, host: str, redacted: bool) -> None:
    """Print the config that a host would be served.

    Secret are what Ignition's schema says is, the host's etcd token, and the values that operators and config gave the host.
    They are found in any encoding.

    \b
    Examples:
      mayuctl ignition node-1 | ignition validate -
      mayuctl ignition node-1 --redacted
    """
    raw = session.client.send("GET", f"/v1/hosts/{_escaped(host)}/ignition")[1]
    if redacted:
        from ignition.secrets import redact_config

        raw = redact_config(raw, _secrets(session, host))
    try:
        show.emit(json.loads(raw))
    except ValueError as error:
        raise MayuError(f"the server sends no JSON: {error}") from error


def _escaped(part: str) -> str:
    from urllib.parse import quote

    return quote(part, safe="")


def _secrets(session: Session, host: str) -> "Secrets":
    from ignition.secrets import SHORTEST, Secrets

    found = session.host(host)
    texts = [found["facts"].get("etcd_token", ""), *_texts(found.get("values", {}))]
    # Shorter ones occur elsewhere by chance.
    return Secrets(text for text in texts if len(text.strip()) >= SHORTEST)


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for member in value.values():
                yield from _texts(member)
        case list():
            for item in value:
                yield from _texts(item)
