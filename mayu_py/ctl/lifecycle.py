"""Verbs over a host's life: delete, reinstall, wait."""

import time
from typing import Any

import click

from mayu_py.ctl import completing, show
from mayu_py.ctl.looking import STATES
from mayu_py.ctl.session import AS_JSON, YES, Session, pass_session
from mayu_py.errors import MayuError

POLL_SECONDS = 0.5
HOSTS = click.argument("hosts", nargs=-1, required=True, metavar="HOST...", shell_complete=completing.hosts)


@click.command()
@HOSTS
@YES
@AS_JSON
@pass_session
def delete(session: Session, hosts: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Forget enrolled hosts. Their addresses are free again; their history stays.

    All of them must be there, or none is deleted. Exit code 1 when the server refuses one of them.

    \b
    Examples:
      mayuctl delete 10-77-0-100
      mayuctl delete --yes 10-77-0-100 10-77-0-101
    """
    found = _found(session, hosts)
    if not yes:
        for host in found:
            click.echo(f"{show.cell(host['name'])}  {show.cell(host['address'])}  {show.cell(host['state'])}", err=True)
        many = f"these {len(found)} hosts" if len(found) > 1 else "this host"
        click.confirm(f"Forget {many}?", abort=True, err=True)
    _each(session, found, as_json, "DELETE", (), "is forgotten")


@click.command()
@HOSTS
@AS_JSON
@pass_session
def reinstall(session: Session, hosts: tuple[str, ...], as_json: bool) -> None:
    """Have hosts be installed anew.

    It happens when they boot next, and not before. It is for hosts that run from their disks; others get their image anyway.

    \b
    Example:  mayuctl reinstall node-1
    """
    _each(session, _found(session, hosts), as_json, "POST", ("reinstall",), "will be installed anew when it boots next")


def _found(session: Session, idents: tuple[str, ...]) -> list[dict[str, Any]]:
    hosts = [session.host(ident) for ident in idents]
    return list({host["name"]: host for host in hosts}.values())


def _each(session: Session, hosts: list[dict[str, Any]], as_json: bool, method: str, below: tuple[str, ...], done: str) -> None:
    """Ask for each host, and go on past refusals; raise what they were at the end."""
    names, refusals = [], []
    for host in hosts:
        try:
            session.client.ask(method, "v1", "hosts", host["name"], *below)
        except MayuError as error:
            refusals.append(error)
            continue
        names.append(host["name"])
        if not as_json:
            click.echo(f"{show.plain(host['name'])} {done}")
    if as_json:
        show.emit(names)
    if refusals:
        raise MayuError("\n".join(error.message for error in refusals), hint=refusals[0].hint)


def _seconds(context: click.Context, parameter: click.Parameter, text: str) -> float:
    from ignition.document import Duration

    try:
        return Duration.parse(text).seconds
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("host", shell_complete=completing.hosts)
@click.option("--state", type=click.Choice(STATES), default="running", show_default=True)
@click.option("--timeout", "seconds", callback=_seconds, default="10m", show_default=True, metavar="TIME", help="As in 90s, 10m.")
@AS_JSON
@pass_session
def wait(session: Session, host: str, state: str, seconds: float, as_json: bool) -> None:
    """Wait until a host is in a state.

    A host that is not known yet may come, and a server that restarts is waited for. Exit code 1, with the last stage, when the
    time is over, and at once when the host fails while it is waited for.

    \b
    Example:  mayuctl reinstall node-1 && mayuctl wait node-1 --state running --timeout 20m
    """
    deadline = time.monotonic() + seconds
    found, before = _look(session, host, None), None
    while (found or {}).get("state") != state:
        if found is not None and found["state"] == "failed" and before not in (None, "failed"):
            raise MayuError(f"{host} has failed; {_last(found)}", hint=f"mayuctl history {host}")
        if time.monotonic() >= deadline:
            raise MayuError(f"{host} is not {state} after {seconds:g} s; {_last(found)}", hint=f"mayuctl history {host}")
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
        before, found = (found or {}).get("state", before), _look(session, host, found)
    if as_json:
        show.emit(found)
    else:
        click.echo(f"{show.plain(host)} is {state}")


def _look(session: Session, host: str, last: dict[str, Any] | None) -> dict[str, Any] | None:
    """The host as it is; None while the server knows none; `last` while the server does not answer."""
    from mayu_py.asking.client import Refused, Unanswered

    try:
        return session.host(host)
    except Refused as error:
        if error.status == 404:
            return None
        if error.status < 500:
            raise
        return last
    except Unanswered:
        # The first question must be answered: a wrong address would be waited for in vain.
        if last is None:
            raise
        return last


def _last(host: dict[str, Any] | None) -> str:
    if host is None:
        return "the server knows no such host"
    return f"its state is {host['state']}, its last stage {host['stage'] or 'none'}"
