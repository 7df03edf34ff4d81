"""kubeception gc."""

import json
from dataclasses import asdict

import click

from kubeception_sim import gc as garbage
from kubeception_sim.cli.options import JSON
from kubeception_sim.errors import HarnessError


@click.command(short_help="Remove what killed runs left behind.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@JSON
@click.pass_context
def gc(context: click.Context, dry_run: bool, as_json: bool) -> None:
    """Remove what killed runs left on this machine: processes, mounts, namespaces, links, folders.

    A run that still lives is never touched, nor is anything that no run made. Exit code 2 when something would not go.
    """
    found = garbage.find()
    removals = (garbage.Removal(leftover) for leftover in found) if dry_run else garbage.collect(found)
    rows, stuck = [], 0
    for removal in removals:
        stuck += bool(removal.problem)
        rows.append(asdict(removal.leftover) | {"removed": not dry_run and not removal.problem, "problem": removal.problem})
        verb = "would remove" if dry_run else "could not remove" if removal.problem else "removed"
        problem = f": {removal.problem}" if removal.problem else ""
        click.echo(f"{verb} {removal.leftover}{problem}", err=as_json)
    if not rows:
        click.echo("nothing left behind", err=as_json)
    if as_json:
        click.echo(json.dumps({"schema": 1, "ok": not stuck, "dry_run": dry_run, "leftovers": rows}, indent=2))
    context.exit(HarnessError.exit_code if stuck else 0)
