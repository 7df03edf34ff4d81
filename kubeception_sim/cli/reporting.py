"""kubeception report."""

from pathlib import Path

import click

from kubeception_sim import report as reports
from kubeception_sim.cli.console import make_console
from kubeception_sim.errors import BadInput

_NAME = "report.json"


@click.command(short_help="Draw the report of an earlier run again.")
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the page to this file too.")
@click.option("--no-color", is_flag=True, help="No colours; so does any value of NO_COLOR.")
@click.pass_context
def report(context: click.Context, report: Path, html: Path | None, no_color: bool) -> None:
    """Show what a run found out, from REPORT: its folder, or the report.json in it.

    The exit code is that of the run. Descriptions and consoles are only on the page that the run itself wrote.
    """
    path = report / _NAME if report.is_dir() else report
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"{path}: {reason}", hint="name the folder that --out of a run named") from error
    result = reports.from_json(text, str(path))
    reports.show(result, make_console(err=False, no_color=no_color))
    if html is not None:
        try:
            reports.write_page(result, html)
        except OSError as error:
            raise BadInput(f"{html}: {error.strerror}", hint="choose another file with --html") from error
    context.exit(result.verdict.exit_code)
