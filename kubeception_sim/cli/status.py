"""kubeception status."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kubeception_sim.cli.console import make_console
from kubeception_sim.cli.labs import NAME
from kubeception_sim.cli.options import JSON
from kubeception_sim.errors import HarnessError
from kubeception_sim.model.results import Verdict
from kubeception_sim.scenario import keeper
from kubeception_sim.scenario.keeper import Kept, Phase
from kubeception_sim.scenario.wishes import Wish, ask

_ANSWER_SECONDS = 45.0  # an API server that hangs is asked twice
_TABLES = {
    "machines": ("name", "role", "rack", "address", "power", "state", "stage"),
    "nodes": ("name", "ready", "version", "config", "current"),
    "neighbours": ("host", "asn", "state", "routes"),
    "backends": ("service", "name", "up", "why"),
}


@click.command(short_help="How labs are: machines, nodes, routes, balancer.")
@NAME
@JSON
@click.pass_context
def status(context: click.Context, name: str | None, as_json: bool) -> None:
    """Look at the lab NAME, or at all of them: machines and what mayu has heard of them, nodes, BGP sessions, balancer.

    Exit code 0 when all is well, 1 when something is not.
    """
    labs = [keeper.find(name)] if name else keeper.labs()
    documents = [_document(kept) for kept in labs]
    good = all(document["ok"] for document in documents)
    if as_json:
        click.echo(json.dumps({"schema": 1, "ok": good, "labs": documents}, indent=2))
    elif not labs:
        click.echo("no lab is up")
    else:
        for document in documents:
            _show(document, make_console())
    context.exit(0 if good else Verdict.FAIL.exit_code)


def _document(kept: Kept) -> dict[str, Any]:
    found: dict[str, Any] = {"name": kept.name, "phase": kept.phase, "file": kept.file, "driver": kept.driver, "lab": kept.lab}
    found |= {kind: [] for kind in _TABLES}
    problems = [kept.problem] if kept.problem else []
    if kept.phase is Phase.DEAD:
        problems.append(f"its keeper was killed: kubeception down {kept.name}")
    elif kept.owner.pid:
        answer = _ask(kept)
        found |= {key: value for key, value in answer.items() if key in (*_TABLES, "phase")}
        problems += answer.get("problems", ())
    return {**found, "problems": problems, "ok": found["phase"] == Phase.UP and not problems}


def _ask(kept: Kept) -> Mapping[str, Any]:
    try:
        with ask(kept.name, Wish.STATUS) as asked:
            answer = asked.answer(_ANSWER_SECONDS)
    except HarnessError as error:
        return {"problems": [error.message]}
    return answer or {"problems": [f"its keeper has not answered within {_ANSWER_SECONDS:g} s"]}


def _show(document: Mapping[str, Any], console: Console) -> None:
    colour = "green" if document["ok"] else "bold red"
    where = f"  {document['driver']}, {document['file']}" if document["file"] else ""
    console.print(Text.assemble((document["name"], "bold"), "  ", (document["phase"], colour), (where, "dim")), soft_wrap=True)
    for kind, columns in _TABLES.items():
        if rows := document[kind]:
            console.print(_table(columns, rows, kind))
    for line in document["problems"]:
        console.print(Text.assemble(("  ! ", "bold red"), line), soft_wrap=True)
    console.print()


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], kind: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    used = [column for column in columns if any(row[column] not in ("", []) for row in rows)]
    for index, column in enumerate(used):
        table.add_column(kind.removesuffix("s") if index == 0 else column, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in used))
    return table


def _cell(value: Any) -> Text:
    match value:
        case bool():
            return Text("yes" if value else "no", style="" if value else "bold red")
        case list():
            return Text(", ".join(value))
        case _:
            return Text(str(value))
