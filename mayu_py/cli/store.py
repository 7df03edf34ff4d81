"""mayu store: is the state sound, and how it is carried elsewhere."""

from contextlib import closing
from pathlib import Path

import click

from mayu_py import config
from mayu_py.cli.options import CONFIG
from mayu_py.errors import StoreError
from mayu_py.store import audit, portable
from mayu_py.store.sqlite import SqliteStore

STATE = click.option("--state", type=click.Path(path_type=Path), help="The state file, instead of the one that the config names.")
FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.group()
def store() -> None:
    """Check the state file, and carry what is in it elsewhere.

    \b
    Examples:
      mayu store check -c rack.yaml             is everything in it sound?
      mayu store export -c rack.yaml racks/     a file per host, for git
      mayu store import --state new.db racks/   the same state again
    """


@store.command("check")
@CONFIG
@STATE
@click.pass_context
def check(context: click.Context, path: Path, state: Path | None) -> None:
    """Find everything that is wrong with the state file; a server may be running on it.

    Exit code 0 when it is sound, 1 when not.
    """
    file = _existing(path, state)
    with closing(SqliteStore(file)) as opened:
        found = audit.check(opened)
    for each in found:
        click.secho(f"{file}: {each}", fg="red")
    count = f"{len(found)} problem{'s' * (len(found) != 1)}" if found else "sound"
    click.secho(f"{file}: {count}", bold=True)
    context.exit(1 if found else 0)


@store.command("export")
@CONFIG
@STATE
@FOLDER
def export(path: Path, state: Path | None, folder: Path) -> None:
    """Write the state into FOLDER as text: sorted, a file per host, and the history.

    Equal states make equal files. FOLDER may hold an earlier export, under version control for example.
    """
    file = _existing(path, state)
    with closing(SqliteStore(file)) as opened:
        hosts = portable.export(opened, folder)
    click.echo(f"{folder}: {hosts} host{'s' * (hosts != 1)}")


@store.command("import")
@CONFIG
@STATE
@FOLDER
def import_(path: Path, state: Path | None, folder: Path) -> None:
    """Read the export in FOLDER into a state file that is new or empty: all of it, or nothing."""
    file = state or _named(path)
    with closing(SqliteStore(file)) as opened:
        hosts = portable.load(opened, folder)
    click.echo(f"{file}: {hosts} host{'s' * (hosts != 1)}")


def _named(path: Path) -> Path:
    """The state file of a config, which may have mistakes elsewhere."""
    found, problems = config.check(path)
    if found is None:
        raise StoreError("\n".join(map(str, problems)), hint="name the state file with --state")
    return found.settings.state


def _existing(path: Path, state: Path | None) -> Path:
    file = state or _named(path)
    if not file.exists():
        raise StoreError(f"there is no state file {file}", hint="a server makes it when it starts; --state names another")
    return file
