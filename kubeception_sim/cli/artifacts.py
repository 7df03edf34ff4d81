"""kubeception artifacts: what is built and fetched, once, for all labs."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kubeception_sim.artifacts import catalogue
from kubeception_sim.artifacts.catalogue import FETCH, Kept, Removal
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.cli.console import make_console, show_progress
from kubeception_sim.cli.options import JSON
from kubeception_sim.errors import HarnessError

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@click.group(short_help="What is built and fetched: list, fetch, verify, clear.")
def artifacts() -> None:
    """What labs are made of: images of machines, Kubernetes' programs, container images. Kept in $KUBECEPTION_CACHE.

    A run makes what it needs by itself.

    \b
    Examples:
      kubeception artifacts fetch              all that any scenario needs, before going offline
      kubeception artifacts fetch kubernetes   one kind, with what it needs itself
      kubeception artifacts list
      kubeception artifacts gc --dry-run       what no recipe of now would use
    """


@artifacts.command("list", short_help="What there is, how big and how old, and whether it is current.")
@JSON
def list_(as_json: bool) -> None:
    """List the cache. An entry is current when a run would use it as things are now; gc removes the others."""
    cache = default_cache()
    entries = catalogue.kept(cache)
    missing = sorted(set(catalogue.current(cache)) - {entry.kind for entry in entries if entry.current})
    if as_json:
        _print({"ok": True, "cache": str(cache), "artifacts": [_row(entry) for entry in entries], "missing": missing})
        return
    width = max((len(entry.key) for entry in entries), default=0)
    for entry in entries:
        state = "current" if entry.current else "old" if entry.whole else "unfinished"
        click.echo(f"{entry.kind:<15} {entry.key:<{width}} {_size(entry.size):>9} {_age(entry):>7}  {state}")
    for kind in missing:
        click.echo(f"{kind:<15} {'-':<{width}} {'':>9} {'':>7}  not made yet")
    click.echo(f"{_size(sum(entry.size for entry in entries))} in {cache}", err=True)


@artifacts.command(short_help="Build or fetch what is missing.")
@click.argument("kinds", nargs=-1, type=click.Choice(tuple(FETCH)), metavar="[KIND]...")
@JSON
def fetch(kinds: tuple[str, ...], as_json: bool) -> None:
    """Build or fetch each KIND that is missing (all kinds without one), and print the folder of each.

    Kinds: testbed, kubernetes, images, node, images-clusters, node-clusters, openbao. The first time takes about twelve
    minutes on two cores, most of it for Kubernetes; $KUBECEPTION_KUBERNETES names a folder or a server that has it already.
    """
    cache, console = default_cache(), make_console(err=True)
    folders: dict[str, Path] = {}
    for kind in kinds or FETCH:
        with show_progress(console) as progress:
            folders[kind] = FETCH[kind](cache, progress)
        if not as_json:
            click.echo(f"{kind:<15} {folders[kind]}")
    if as_json:
        _print({"ok": True, "folders": {kind: str(folder) for kind, folder in folders.items()}})


@artifacts.command(short_help="Read everything and compare it with its checksums.")
@JSON
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Read every byte of every finished entry, and compare it with what was written. Exit code 2 when one is damaged."""
    cache, rows, damaged = default_cache(), [], 0
    for entry in catalogue.kept(cache):
        if not entry.whole:
            continue
        problem = catalogue.verify(cache, entry)
        damaged += bool(problem)
        rows.append(_row(entry) | {"problem": problem})
        click.echo(f"{entry.kind:<15} {entry.key}  {problem or 'as it was built'}", err=as_json)
    if as_json:
        _print({"ok": not damaged, "artifacts": rows})
    context.exit(HarnessError.exit_code if damaged else 0)


@artifacts.command(short_help="Remove what no recipe of now would use.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@JSON
@click.pass_context
def gc(context: click.Context, dry_run: bool, as_json: bool) -> None:
    """Remove entries that are not current, and what killed builds left. What apt downloaded stays.

    Nothing is removed while a lab lives: its machines may boot from any entry. Exit code 2 then, and when one would not go.
    """
    cache = default_cache()
    old = [entry for entry in catalogue.kept(cache) if not entry.current]
    removals: Iterable[Removal] = map(Removal, old) if dry_run or not old else catalogue.collect(cache, old)
    rows, stuck, freed = [], 0, 0
    for removal in removals:
        entry, problem = removal.kept, removal.problem
        stuck += bool(problem)
        freed += 0 if problem else entry.size
        rows.append(_row(entry) | {"removed": not dry_run and not problem, "problem": problem})
        verb = "would remove" if dry_run else "could not remove" if problem else "removed"
        click.echo(f"{verb} {entry.kind} {entry.key}, {_size(entry.size)}{f': {problem}' if problem else ''}", err=as_json)
    click.echo(f"{_size(freed)} {'would be free' if dry_run else 'freed'}" if old else "nothing to remove", err=as_json)
    if as_json:
        _print({"ok": not stuck, "dry_run": dry_run, "bytes": freed, "artifacts": rows})
    context.exit(HarnessError.exit_code if stuck else 0)


def _row(entry: Kept) -> dict[str, Any]:
    return asdict(entry) | {"directory": str(entry.directory)}


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps({"schema": 1, **document}, indent=2))


def _size(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _age(entry: Kept) -> str:
    seconds = max(0, int(time.time() - entry.made))
    unit, name = next(((unit, name) for unit, name in _UNITS if seconds >= unit), _UNITS[-1])
    return f"{seconds // unit} {name}"
