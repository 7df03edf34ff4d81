"""Verbs that look: list, status, history, profiles, networks, counters, workers, version."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from mayu_py.ctl import completing, fields, show
from mayu_py.ctl.session import AS_JSON, Session, pass_session

STATES = ("discovered", "configured", "installing", "running", "failed")
WIDE = ("name", "serial", "address", "profile", "state", "stage", "since")
NARROW = ("name", "address", "profile", "state", "stage")
# From here on every column of WIDE has room for what it usually holds.
WIDE_FROM = 100
LEGEND = click.option("--no-legend", "legend", flag_value=False, default=True, help="Without the line of headers.")


@click.command("list")
@click.option("--state", shell_complete=completing.words(*STATES), help="Only hosts in this state.")
@click.option("--profile", shell_complete=completing.profiles, help="Only hosts with this profile.")
@click.option("--tag", help="Only hosts whose profile has this tag.")
@click.option("--fields", "names", metavar="A,B", help="These fields instead; dots lead into them, as in facts.cabinet.")
@click.option("--sort", metavar="FIELD", default="name", show_default=True, help="By this field; -FIELD backwards.")
@LEGEND
@AS_JSON
@pass_session
def list_(
    session: Session,
    state: str | None,
    profile: str | None,
    tag: str | None,
    names: str | None,
    sort: str,
    legend: bool,
    as_json: bool,
) -> None:
    """List hosts.

    A terminal gets what fits into it; a pipe, --json and --fields get everything.

    \b
    Examples:
      mayuctl list --state failed
      mayuctl list --fields name,facts.cabinet,facts.metadata.rack --sort facts.cabinet
      mayuctl list --profile worker --fields name --no-legend | xargs -n 1 mayuctl reinstall
    """
    found = session.client.get("v1", "hosts", state=state, profile=profile, tag=tag)
    hosts = fields.ordered(found, sort)
    width = show.console_width()
    columns = fields.chosen(names, hosts) if names else NARROW if width is not None and width < WIDE_FROM else WIDE
    if as_json:
        show.emit([{name: fields.read(host, name) for name in columns} for host in hosts] if names else hosts)
        return
    if not hosts:
        _none(filtered=any((state, profile, tag)))
        return
    rows = [[_value(name, fields.read(host, name)) for name in columns] for host in hosts]
    _print(show.table(columns, rows, limit=width, legend=legend))


def _none(*, filtered: bool) -> None:
    if filtered:
        show.say("no host fits", "without --state, --profile and --tag, all are listed")
    else:
        show.say("no hosts yet", "name them in the config, or set `unknown_hosts: enrol` and switch one on")


def _value(name: str, value: Any) -> Any:
    return show.moment(value) if name == "since" and isinstance(value, str) else value


@click.command()
@click.argument("host", shell_complete=completing.hosts)
@AS_JSON
@pass_session
def status(session: Session, host: str, as_json: bool) -> None:
    """Show one host, by serial, uuid or name.

    \b
    Example:  mayuctl status node-1
    """
    found = session.host(host)
    if as_json:
        show.emit(found)
        return
    _print(show.record({name: _value(name, value) for name, value in fields.flat(found)}, show.console_width()))


@click.command()
@LEGEND
@AS_JSON
@pass_session
def profiles(session: Session, legend: bool, as_json: bool) -> None:
    """List profiles, with how many hosts each has.

    \b
    Example:  mayuctl profiles
    """
    columns = ("name", "image", "install", "hosts", "quantity", "tags", "origin")
    _rows(session.client.get("v1", "profiles"), columns, legend, as_json, "no profiles", "name them in the config")


@click.command()
@LEGEND
@AS_JSON
@pass_session
def networks(session: Session, legend: bool, as_json: bool) -> None:
    """List networks and how full they are.

    Used are addresses of known hosts, which --json names; free are those left in the range.

    \b
    Example:  mayuctl networks
    """
    found = session.client.get("v1", "networks")
    if as_json:
        show.emit(found)
        return
    columns = ("name", "subnet", "interface", "address", "range", "used", "free")
    rows = [{**row, "range": _range(row["range"]), "used": len(row["used"])} for row in found]
    _rows(rows, columns, legend, as_json, "no networks", "")


def _range(value: Mapping[str, str] | None) -> str | None:
    return f"{value['start']}-{value['end']}" if value else None


@click.command()
@LEGEND
@AS_JSON
@pass_session
def counters(session: Session, legend: bool, as_json: bool) -> None:
    """Show what was sent, and what was dropped.

    Every packet and request that is dropped is counted with its reason.

    \b
    Example:  mayuctl counters | grep dropped
    """
    found = session.client.get("v1", "counters")
    _rows(found, ("worker", "name", "reason", "count"), legend, as_json, "nothing was counted yet", "")


@click.command()
@LEGEND
@AS_JSON
@pass_session
def workers(session: Session, legend: bool, as_json: bool) -> None:
    """List the server's processes, and which generation of the config each serves.

    \b
    Example:  mayuctl workers
    """
    found = session.client.get("v1", "workers")
    _rows(found, ("worker", "pid", "ready", "restarts", "generation"), legend, as_json, "no worker has started", "")


@click.command()
@click.option("--client", "own", is_flag=True, help="Only that of mayuctl; no server is asked.")
@AS_JSON
@pass_session
def version(session: Session, own: bool, as_json: bool) -> None:
    """Show what mayuctl and the server are.

    \b
    Example:  mayuctl version
    """
    from importlib.metadata import version as release

    client = release("kubeception")
    if not as_json:
        # Before the server is asked: it may not answer.
        click.echo(f"mayuctl {client}")
    server = None if own else session.client.get("v1", "version")
    if as_json:
        show.emit({"client": client, "server": server})
    elif server is not None:
        url = session.connection.server
        click.echo(f"mayu    {show.cell(server['mayu'])} at {url}, API {show.cell(server['api'])}")


def _rows(
    found: Sequence[Mapping[str, Any]], columns: Sequence[str], legend: bool, as_json: bool, nothing: str, hint: str
) -> None:
    if as_json:
        show.emit(found)
    elif not found:
        show.say(nothing, hint)
    else:
        rows = [[row.get(column) for column in columns] for row in found]
        _print(show.table(columns, rows, limit=show.console_width(), legend=legend))


def _print(lines: Sequence[str]) -> None:
    click.echo("\n".join(lines))
