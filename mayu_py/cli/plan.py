"""mayu plan: what a change of the config does to every host."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from ignition.render import Template
from mayu_py import config
from mayu_py.cli import steps
from mayu_py.cli.options import CONFIG
from mayu_py.core.causes import Source
from mayu_py.core.inventory import compose
from mayu_py.core.plan import Action, Group, Member, Plan, World, plan, with_paths
from mayu_py.core.settings import Settings
from mayu_py.errors import MayuError
from mayu_py.store.copies import CopiedStore

_SIGNS = {Action.ADDED: "+", Action.REMOVED: "-", Action.CHANGED: "~"}
_COLOURS = {Action.ADDED: "green", Action.REMOVED: "red", Action.CHANGED: "yellow"}
_MOST_NAMES = 8
_PATIENCE = 1.0
CHANGES = 2


@click.command("plan")
@CONFIG
@click.option("--against", type=click.Path(path_type=Path), required=True, help="The config to compare with: the one in service.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 when anything changes.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def plan_(context: click.Context, path: Path, against: Path, exit_code: bool, as_json: bool) -> None:
    """Tell which hosts change, what each is served then, and why.

    Both configs are rendered for every host, enrolled ones included, and the Ignition configs compared by what they mean. A cause
    is what changes the result when it alone is changed. Hosts to which the same happens are told of once; secrets never.

    \b
    Examples:
      mayu plan -c new.yaml --against /etc/mayu/mayu.yaml
      git worktree add /tmp/before HEAD~1 && mayu plan -c rack.yaml --against /tmp/before/rack.yaml
    """
    old, new = _worlds(against, path)
    found = plan(old, new, _Progress())
    if as_json:
        click.echo(json.dumps(found.to_data(), indent=2))
    else:
        for line in _lines(found, steps.width()):
            click.echo(line)
    context.exit(CHANGES if exit_code and not found.is_empty else 0)


def _worlds(against: Path, path: Path) -> tuple[World, World]:
    """Both over the state of the new config's file: what has enrolled stays enrolled."""
    before, after = config.read(against), config.read(path)
    with closing(CopiedStore.of(after.settings.state)) as store:
        inventory = store.inventory()
    worlds = []
    for checked, file in ((before, against), (after, path)):
        hosts = {host.name: host for host in compose(checked.settings, inventory)}
        worlds.append(World(_comparable(checked, file), checked.settings, hosts, checked.renderer, dict(_sources(checked))))
    return worlds[0], worlds[1]


def _comparable(checked: config.Config, file: Path) -> Settings:
    """With paths as they are written in the file that was read."""
    folder = file.absolute().parent

    def written(path: Path) -> Path:
        return path.absolute().relative_to(folder) if path.absolute().is_relative_to(folder) else path

    found = with_paths(checked.settings, written)
    assert isinstance(found, Settings)
    return found


def _sources(checked: config.Config) -> Iterator[tuple[str, Source]]:
    for profile in checked.settings.profiles:
        try:
            text = profile.ignition.read_text("utf-8")
        except OSError as error:
            raise MayuError(f"{profile.ignition} cannot be read: {error.strerror}") from error
        yield profile.name, Source(profile.ignition, text, Template.parse(text, str(profile.ignition)))


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
