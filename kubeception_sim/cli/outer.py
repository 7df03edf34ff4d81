"""kubeception outer: the certificates of a lab's cluster."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from kubeception_sim.cli.console import make_console
from kubeception_sim.cli.labs import NAME, Following, existing
from kubeception_sim.cli.options import JSON
from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.giantnetes.rotation import Do, Step
from kubeception_sim.model.results import Verdict
from kubeception_sim.scenario import keeper
from kubeception_sim.scenario.keeper import Kept, Phase
from kubeception_sim.scenario.rotating import COMPONENTS, Which
from kubeception_sim.scenario.wishes import Wish, ask

_POLL_SECONDS = 0.1
_WIDE = 240
_COLUMNS = ("host", "component", "used by", "subject", "serial", "not after", "due", "on the host")


@click.group(short_help="The certificates of a lab's cluster: look at them, renew them.")
def outer() -> None:
    """Look after the outer cluster of a lab that is up."""


@outer.command(short_help="Every certificate, and which are due.")
@NAME
@JSON
@click.pass_context
def certificates(context: click.Context, name: str | None, as_json: bool) -> None:
    """Show the certificates of the lab NAME: whose they are, who uses them, until when, and whether they are due.

    Due is what ends within ten days; a certificate lasts thirty. "on the host" is whether the host's file is this certificate.
    Exit code 0 when none is due and all are where they belong, 1 else.
    """
    found = _answered(existing(name), Wish.CERTIFICATES, {})
    rows = found.get("certificates", [])
    good = bool(found["ok"]) and not any(row["due"] or row["present"] is False for row in rows)
    if as_json:
        click.echo(json.dumps({"schema": 1, **found, "ok": good}, indent=2))
    elif found["problem"]:
        raise HarnessError(found["problem"])
    else:
        console = make_console()
        if not console.is_terminal:
            console.width = _WIDE  # a file has no width, and nothing may be missing in it
        console.print(_table(rows))
    context.exit(0 if good else Verdict.FAIL.exit_code)


@outer.command(short_help="New certificates, while the cluster serves.")
@NAME
@click.option("--due", "which", flag_value=Which.DUE.value, default=True, help="Those that end within ten days.  [default]")
@click.option("--all", "which", flag_value=Which.ALL.value, help="All of them.")
@click.option(
    "--component",
    "components",
    multiple=True,
    type=click.Choice(sorted(COMPONENTS)),
    metavar="COMPONENT",
    help="This one of every host, whenever it ends. Can be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@JSON
@click.pass_context
def rotate(
    context: click.Context, name: str | None, which: str, components: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Give the hosts of the lab NAME new keys and certificates, one host after the other, and restart what reads them.

    Each host: new ones are issued, mayu is told, files are replaced, the balancer sends nobody there any more, and etcd, the API
    server and the rest start again once the others can do without; then files, containers and handshakes must show the new ones.
    Leaves the CAs and the keys of service accounts. What fails half-way is part of the next rotation, and so is what Ctrl-C no
    longer watches: it goes on.

    \b
    Examples:
      kubeception outer rotate --all --dry-run
      kubeception outer rotate                          what is due
      kubeception outer rotate --component apiserver
    """
    if components and which == Which.ALL:
        raise BadInput("--all or --component, not both")
    kept = existing(name)
    wanted = {"which": which, "components": components, "dry_run": dry_run}
    answer = _answered(kept, Wish.ROTATE, wanted, following=not (as_json or dry_run))
    if as_json:
        click.echo(json.dumps({"schema": 1, **answer}, indent=2))
    elif answer["problem"]:
        click.echo(f"{kept.name}: {answer['problem']}", err=True)
    elif not answer["plan"]:
        click.echo("nothing is due")
    elif dry_run:
        for each in answer["plan"]:
            click.echo(str(Step(each["host"], Do(each["do"]), tuple(each["what"]))))
    else:
        click.echo(f"{kept.name}: {_renewed(answer['steps'])} new, {sum(each['seconds'] for each in answer['steps']):.1f} s")
    context.exit(0 if answer["ok"] else Verdict.FAIL.exit_code)


def _renewed(steps: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(each["what"]) for each in steps if each["do"] == Do.ISSUE)


def _answered(kept: Kept, wish: Wish, arguments: Mapping[str, Any], *, following: bool = False) -> Mapping[str, Any]:
    """The keeper's answer; what it says meanwhile is shown if it is followed. Raises HarnessError when there is none."""
    if kept.phase is Phase.DEAD:
        raise BadInput(f"the keeper of {kept.name} was killed", hint=f"kubeception down {kept.name}, then up again")
    log = Following(keeper.log(kept.name), from_end=True) if following else None
    try:
        with ask(kept.name, wish, arguments) as asked:
            while (answer := asked.answer(_POLL_SECONDS)) is None:
                if log:
                    log.show()
        if log:
            log.show()
    finally:
        if log:
            log.close()
    return answer


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows:
        there = {True: "yes", False: "another", None: "?"}[row["present"]]
        table.add_row(
            row["host"] or "-",
            row["component"],
            ", ".join(row["users"]) or "-",
            row["subject"],
            row["serial"][:16],
            row["not_after"][:16].replace("T", " "),
            Text("due", style="bold red") if row["due"] else Text("no", style="dim"),
            Text(there, style="" if row["present"] else "bold red"),
        )
    return table
