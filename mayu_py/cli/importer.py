"""mayu import: bring another server's config and state here."""

import json
from pathlib import Path

import click

from mayu_py.importing import importer
from mayu_py.importing.source import Places

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
DIRECTORY = click.Path(path_type=Path, file_okay=False, exists=True)


@click.group("import")
def import_() -> None:
    """Bring the config and the state of another server here."""


@import_.command("mayu")
@click.argument("folder", type=DIRECTORY)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), required=True, help="A folder that is not there yet.")
@click.option("--config", type=FILE, help="Instead of FOLDER/config.yaml.")
@click.option("--cluster-directory", "cluster", type=DIRECTORY, help="Instead of FOLDER/cluster.")
@click.option("--ignition-config", "template", type=FILE, help="Instead of FOLDER/templates/ignition.yaml.")
@click.option("--template-snippets", "snippets", type=DIRECTORY, help="Instead of FOLDER/templates/snippets.")
@click.option("--files-dir", "files", type=DIRECTORY, help="Instead of FOLDER/files.")
@click.option("--dry-run", is_flag=True, help="Report, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.pass_context
def mayu(
    context: click.Context,
    folder: Path,
    target: Path,
    config: Path | None,
    cluster: Path | None,
    template: Path | None,
    snippets: Path | None,
    files: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import Giant Swarm's Mayu from FOLDER: config.yaml, cluster directory with its git history, Ignition template.

    Exit code 0 when `mayu check` has nothing against the result, 1 when something is left to do.

    \b
    Examples:
      mayu import mayu /etc/mayu -o /etc/mayu-new --dry-run
      mayu import mayu /etc/mayu -o /etc/mayu-new
    """
    places = Places(folder, config, cluster, template, snippets, files)
    outcome = importer.run(places, target, dry_run=dry_run)
    good = not any(": error: " in problem for problem in outcome.problems)
    if as_json:
        report = {
            "ok": good,
            "written": not dry_run,
            "hosts": outcome.hosts,
            "events": outcome.events,
            "items": [item.as_json() for item in outcome.items],
            "check": list(outcome.problems),
        }
        click.echo(json.dumps(report, indent=2))
    else:
        for item in outcome.items:
            click.secho(str(item), fg="yellow" if item.fate == "left" else None)
        for problem in outcome.problems:
            click.secho(problem, fg="red" if ": error: " in problem else "yellow")
        what = "would be written" if dry_run else "written"
        click.secho(f"{target}: {what}: {outcome.hosts} hosts, {outcome.events} events", bold=True)
    context.exit(0 if good else 1)
