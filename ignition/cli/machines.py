"""The command that changes something: apply."""

from pathlib import Path
from typing import Any

import click

import ignition
from ignition.cli.console import Console, command, read, shown


@click.argument("config", type=click.Path(allow_dash=True))
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--partial", is_flag=True, help="Leave out disks, RAID, LUKS, filesystems and kernel arguments.")
@click.option(
    "--engine", type=click.Path(path_type=Path), envvar="IGNITION_ENGINE", show_envvar=True, help="The Ignition binary."
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=120.0, show_default=True, help="Seconds for everything."
)
@click.option("--log", is_flag=True, help="Show Ignition's own log.")
def _apply(console: Console, config: str, root: Path, partial: bool, engine: Path | None, timeout: float, log: bool) -> None:
    raw = read(config)
    try:
        applied = ignition.apply(raw, root, partial=partial, engine=engine, timeout=timeout, file=shown(config))
    except ignition.EngineFailed as failure:
        for line in failure.journal if log else failure.journal[-_TAIL:]:
            console.note(line)
        raise
    console.say(applied.report.problems)
    for line in applied.journal if log else ():
        console.note(line)
    for part in applied.skipped:
        console.note(f"{shown(config)}: warning: {part} was left out", "yellow")
    result: dict[str, Any] = {"spec": applied.spec, "skipped": applied.skipped, "journal": applied.journal}
    console.finish(applied.report.problems, root=str(applied.root), **result)


_TAIL = 10

_APPLY = """Apply a config to the directory ROOT with the real Ignition, as a first boot would: users, files, links, units.

For machines that are namespaces or containers. Nothing outside of ROOT is written. Disks are those of this machine, so a config
with any is refused, unless --partial leaves them out. Run as root when the config has users or owners. Like a first boot it is
for a fresh root: what is there already is an error where the config does not say `overwrite`.

\b
Examples:
  ignition apply worker.ign /srv/roots/worker-1
  ignition butane worker.bu | ignition apply - /srv/roots/worker-1 --log
"""

COMMANDS = (command("apply", "The real Ignition, on a directory.", _APPLY)(_apply),)
