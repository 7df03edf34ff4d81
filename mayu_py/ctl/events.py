"""Verbs over the history: events, history."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from mayu_py.ctl import completing, show
from mayu_py.ctl.session import Session, pass_session

AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
KIND = click.option("--kind", "-k", "kinds", multiple=True, metavar="KIND", help="Only this kind, such as `state`; repeatable.")
PAGE = 1000
Event = Mapping[str, Any]


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C; a server that restarts is waited for.")
@click.option("--host", shell_complete=completing.hosts, help="Only of this host, by name or serial.")
@KIND
@click.option("--after", type=click.IntRange(0), default=0, metavar="ID", help="Only what came after this event.")
@AS_JSON
@pass_session
def events(session: Session, follow: bool, host: str | None, kinds: tuple[str, ...], after: int, as_json: bool) -> None:
    """Print the history, oldest first.

    \b
    Examples:
      mayuctl events --follow
      mayuctl events --host node-1 --kind state --kind failed
      mayuctl events --json --after 1200 | jq .detail
    """

    def wanted(event: Event) -> bool:
        return (not kinds or event["kind"] in kinds) and host in (None, event["host"], event["serial"])

    client = session.client
    found = (
        client.follow(after, _tell) if follow else _pages(lambda last: client.get("v1", "events", after=last, limit=PAGE), after)
    )
    nothing = "no event fits" if kinds or host or after else "nothing has happened yet"
    _print(filter(wanted, found), as_json, "" if follow else nothing, named=True)


@click.command()
@click.argument("host", shell_complete=completing.hosts)
@KIND
@AS_JSON
@pass_session
def history(session: Session, host: str, kinds: tuple[str, ...], as_json: bool) -> None:
    """Print what happened to one host, oldest first.

    What happened to a host that was deleted is found by `mayuctl events --host`.

    \b
    Example:  mayuctl history node-1
    """
    client = session.client
    found = _pages(lambda last: client.get("v1", "hosts", host, "history", after=last, limit=PAGE), 0)
    nothing = "no event fits" if kinds else f"nothing has happened to {host} yet"
    _print((event for event in found if not kinds or event["kind"] in kinds), as_json, nothing, named=False)


def _pages(ask: Callable[[int], list[Event]], after: int) -> Iterator[Event]:
    while page := ask(after):
        yield from page
        after = page[-1]["id"]


def _tell(why: str) -> None:
    show.say(f"{why}; trying again")


def _print(found: Iterator[Event], as_json: bool, nothing: str, *, named: bool) -> None:
    width, is_empty = show.console_width(), True
    for event in found:
        is_empty = False
        click.echo(json.dumps(event) if as_json else line(event, named=named, limit=width))
    if is_empty and nothing and not as_json:
        show.say(nothing)


def line(event: Event, *, named: bool = True, limit: int | None = None) -> str:
    """An event, with its host if that is not known anyway. Long details go on below themselves."""
    detail = show.cell(event["detail"]) if event["detail"] else ""
    kind = f"{show.plain(event['kind']):<11}"
    host = f"{show.cell(event['host']):<20}  " if named else ""
    moved = show.COLOURS.get(str(event["detail"].get("to"))) if event["kind"] == "state" else None
    shown = click.style(kind, fg="red" if event["kind"] in ("failed", "invalid", "refused") else moved)
    start = f"{show.moment(event['at'])}  {host}"
    indent = len(start) + len(kind) + 2
    lines = show.folded(detail, max(30, limit - indent) if limit is not None else None)
    gap = "\n" + " " * indent
    return f"{start}{shown}  {gap.join(lines)}".rstrip()
