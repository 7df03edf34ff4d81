"""mayu plan: what a change of the config does to every host."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from mayu_py.asking import meant
from mayu_py.asking.connection import Given
from mayu_py.cli import steps, worlds
from mayu_py.cli.options import CONFIG
from mayu_py.core.plan import Action, Group, Member, Plan, plan

_SIGNS = {Action.ADDED: "+", Action.REMOVED: "-", Action.CHANGED: "~"}
_COLOURS = {Action.ADDED: "green", Action.REMOVED: "red", Action.CHANGED: "yellow"}
_MOST_NAMES = 8
_PATIENCE = 1.0
CHANGES = 2
# What no URL is: the server is chosen as mayuctl chooses it.
_CHOSEN = ""
_PEM = click.Path(path_type=Path, dir_okay=False)


@click.command("plan")
@CONFIG
@click.option("--against", type=click.Path(path_type=Path), help="The config to compare with: the one in service.")
@click.option(
    "--against-running",
    "server",
    is_flag=False,
    flag_value=_CHOSEN,
    metavar="[URL]",
    help="Compare with what this mayu serves; without URL, the one that mayuctl would ask.",
)
@click.option("--context", "context_", metavar="NAME", help="Compare with what the mayu of this context of mayuctl serves.")
@click.option("--token-file", type=_PEM, help="A file with a bearer token.  [env: MAYU_TOKEN, the token itself]")
@click.option("--ca", type=_PEM, help="The authority that signed the server's certificate, in PEM.")
@click.option("--client-cert", type=_PEM, help="A client certificate, in PEM.")
@click.option("--client-key", type=_PEM, help="Its key, if not in the same file.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 when anything changes.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def plan_(
    context: click.Context,
    path: Path,
    against: Path | None,
    server: str | None,
    context_: str | None,
    token_file: Path | None,
    ca: Path | None,
    client_cert: Path | None,
    client_key: Path | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Tell which hosts change, what each is served then, and why.

    Both configs are rendered for every host, enrolled ones included, and the Ignition configs compared by what they mean. A cause
    is what changes the result when it alone is changed. Hosts to which the same happens are told of once; secrets never.

    A mayu that is running tells the config as it has read it, and its inventory, to the role `admin`; nothing is changed.

    \b
    Examples:
      mayu plan -c new.yaml --against /etc/mayu/mayu.yaml
      mayu plan -c new.yaml --against-running
      mayu plan -c new.yaml --against-running https://mayu.lab:4080 --ca lab-ca.pem --token-file token
      git worktree add /tmp/before HEAD~1 && mayu plan -c rack.yaml --against /tmp/before/rack.yaml
    """
    given = Given(server or None, context_, token_file, ca, client_cert, client_key)
    _demand_one(against, server, given)
    old, new = worlds.of_files(against, path) if against is not None else worlds.of_running(meant(given, os.environ), path)
    found = plan(old, new, _Progress())
    if as_json:
        click.echo(json.dumps(found.to_data(), indent=2))
    else:
        for line in _lines(found, steps.width()):
            click.echo(line)
    context.exit(CHANGES if exit_code and not found.is_empty else 0)


def _demand_one(against: Path | None, server: str | None, given: Given) -> None:
    """Raise UsageError unless there is one thing to compare with. `server` may be the one that is chosen."""
    is_running = server is not None or given.context is not None
    if (against is not None) == is_running:
        raise click.UsageError("one of --against FILE, --against-running [URL] and --context NAME is wanted")
    if against is not None and given != Given():
        raise click.UsageError("credentials are for a mayu that is running: see --against-running")
    if given.server is not None and given.context is not None:
        raise click.UsageError("either the URL of --against-running or --context is wanted")
    if given.client_key is not None and given.client_cert is None:
        raise click.UsageError("--client-key needs --client-cert")


class _Progress:
    """How far it is, on standard error, for who has waited for a while."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PATIENCE
        self._shown = False

    def __call__(self, done: int, of: int) -> None:
        if not sys.stderr.isatty():
            return
        now = time.monotonic()
        if now >= self._next and done < of:
            self._next, self._shown = now + _PATIENCE / 4, True
            click.echo(f"\r{done} of {of} hosts", nl=False, err=True)
        elif done == of and self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)


def _lines(found: Plan, columns: int) -> Iterator[str]:
    for group in found.groups:
        yield from _group(group, columns)
        yield ""
    for kind, value in found.settings.as_detail().items():
        names = value if isinstance(value, list) else [f"{how} {', '.join(which)}" for how, which in value.items()]
        if kind not in ("hosts", "configs"):
            yield steps.wrapped(", ".join(names), f"in the config: {kind}: ", columns)
    if found.is_empty:
        yield click.style(f"nothing changes for {_hosts(found.unchanged)}", bold=True)
        return
    counts = ", ".join(f"{found.count(action)} {action}" for action in Action)
    groups = len(found.groups)
    yield click.style(f"{counts}, {found.unchanged} unchanged; {groups} group{'s' * (groups != 1)}", bold=True)


def _group(group: Group, columns: int) -> Iterator[str]:
    what = group.what
    names = [member.host for member in group.members]
    shown = ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
    label = f"{_SIGNS[what.action]} {_hosts(len(names))} {what.action}: "
    yield click.style(steps.wrapped(shown, label, columns), fg=_COLOURS[what.action], bold=True)
    for n, cause in enumerate(group.causes):
        yield click.style(steps.wrapped(str(cause), "  because " if not n else "          ", columns), fg="cyan")
    yield from _moves(group.members, columns)
    if what.problem:
        yield click.style(steps.wrapped(what.problem, "  no config: ", columns), fg="red")
    if what.arguments:
        yield "  kernel arguments"
        for line in what.arguments:
            yield click.style(f"    {line}", fg="green" if line.startswith("+") else "red")
    if what.config is not None:
        yield "  Ignition config"
        for line in what.config.render().splitlines():
            yield click.style(f"    {line}", fg=_diff_colour(line))


def _moves(members: tuple[Member, ...], columns: int) -> Iterator[str]:
    """What of the records changes: once if it is the same for all."""
    same = len({member.moves for member in members}) == 1
    for member in members[: 1 if same else _MOST_NAMES]:
        for move in member.moves:
            text = f"{move.before or '(none)'} -> {move.after or '(none)'}"
            yield steps.wrapped(text, f"  {'' if same else f'{member.host} '}{move.field} ", columns)
    if not same and len(members) > _MOST_NAMES:
        yield f"  and {len(members) - _MOST_NAMES} more"


def _diff_colour(line: str) -> str | None:
    return {"+": "green", "-": "red", "~": "yellow", "@": "cyan"}.get(line.strip()[:1])


def _hosts(number: int) -> str:
    return f"{number:,} host{'s' * (number != 1)}"
