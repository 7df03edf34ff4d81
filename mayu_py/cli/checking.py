"""mayu check and mayu render: what would be served, without serving it."""

import json
from pathlib import Path

import click

from mayu_py import config
from mayu_py.cli.options import CONFIG
from mayu_py.core.inventory import compose
from mayu_py.errors import MayuError
from mayu_py.store.copies import CopiedStore


@click.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Problems as JSON.")
@click.pass_context
def check(context: click.Context, path: Path, as_json: bool) -> None:
    """Check a config: its keys and values, its hosts, and every host's rendered Ignition config.

    A profile that no host of the config has is rendered for one that enrols; what is wrong with that is a warning.

    Exit code 0 when mayu would serve it, 1 when not.
    """
    found, problems = config.check(path)
    errors = sum(problem.is_error for problem in problems)
    if as_json:
        rows = [
            {
                "severity": problem.severity,
                "file": problem.mark.file,
                "line": problem.mark.line,
                "column": problem.mark.column,
                "path": problem.path,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ]
        click.echo(json.dumps({"ok": not errors, "problems": rows}, indent=2))
    else:
        for problem in problems:
            click.secho(problem.located, fg="red" if problem.is_error else "yellow")
        hosts = len(found.settings.hosts) if found else 0
        verdict = (
            f"{errors} problem{'s' * (errors != 1)}" if errors else f"good: {hosts} host{'s' * (hosts != 1)}, every config valid"
        )
        click.secho(f"{path}: {verdict}", bold=True)
    context.exit(1 if errors else 0)


@click.command()
@CONFIG
@click.argument("host")
@click.option("--kernel-args", is_flag=True, help="The kernel's arguments instead of the Ignition config.")
def render(path: Path, host: str, kernel_args: bool) -> None:
    """Print what HOST would be served.

    HOST is a name, serial, uuid or MAC. Hosts that have enrolled are known by the state file, which is only read.
    """
    checked = config.read(path)
    hosts = compose(checked.settings, CopiedStore.of(checked.settings.state).inventory())
    found = next((each for each in hosts if host in (each.name, each.serial, each.uuid, *each.macs)), None)
    if found is None:
        names = ", ".join(each.name for each in hosts[:10]) or "none"
        raise MayuError(f"{path} has no host {host!r}", hint=f"hosts: {names}")
    if found.profile is None:
        raise MayuError(f"{found.name} has no profile yet, so it is served nothing", hint="`mayuctl pin` gives it one")
    if kernel_args:
        click.echo("\n".join(checked.renderer.arguments(found)))
    else:
        click.echo(json.dumps(json.loads(checked.renderer.config(found).config), indent=2))
