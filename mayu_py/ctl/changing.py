"""Verbs that change what is noted of a host, and what it is given: set, label, override, pin, image."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from mayu_py.ctl import completing, show
from mayu_py.ctl.looking import STATES
from mayu_py.ctl.session import AS_JSON, Session, pass_session
from mayu_py.errors import MayuError

FACTS = {"providerid": "provider_id", "ipmiaddr": "ipmi_address", "cabinet": "cabinet", "etcdtoken": "etcd_token"}
HOST = click.argument("host", shell_complete=completing.hosts)


def _values(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    known = STATES if context.params.get("what") == "state" else ()
    return completing.words(*known)(context, parameter, incomplete)


@click.command("set")
@HOST
@click.argument("what", metavar="WHAT", type=click.Choice([*FACTS, "metadata", "state"]))
@click.argument("value", shell_complete=_values)
@click.option("--text", help="With `state failed`: why.")
@AS_JSON
@pass_session
def set_(session: Session, host: str, what: str, value: str, text: str | None, as_json: bool) -> None:
    """Set what is noted of a host, or its state.

    WHAT is providerid, ipmiaddr, cabinet, etcdtoken, metadata or state.
    An empty VALUE forgets a fact; `-` reads it from standard input, which keeps a token out of the list of processes.
    Metadata is KEY=VALUE, several separated by commas. The state is moved by the rules: an illegal move is refused.

    \b
    Examples:
      mayuctl set node-1 cabinet 3
      mayuctl set node-1 metadata rack=a,row=7
      mayuctl set node-1 state failed --text "broken fan"
      pass etcd/rack | mayuctl set node-1 etcdtoken -
    """
    if text is not None and what != "state":
        raise click.UsageError("--text goes with `state`")
    value = sys.stdin.read().strip() if value == "-" else value
    if what == "state":
        body = {"state": _state(value), **({"text": text} if text else {})}
        after = session.client.ask("POST", "v1", "hosts", host, "state", body=body)
        _done(after, as_json, f"is {value}")
    elif what == "metadata":
        _label(session, host, [each for each in value.split(",") if each], as_json)
    else:
        done = f"has no {what} any more" if not value else f"has a new {what}" if what == "etcdtoken" else f"has {what} {value}"
        _patch(session, host, {"facts": {FACTS[what]: value or None}}, as_json, done)


def _state(value: str) -> str:
    if value == "installed":
        # Mayu had it among the states; here a host that runs from its disk is running, and where it boots from is no state.
        why = "a host is installed when it has run once, with a profile that says `install: once`"
        raise click.UsageError(f"{why}: `set HOST state running` says so for it, `reinstall HOST` takes it back")
    if value not in STATES:
        raise click.UsageError(f"{value!r} is no state: {', '.join(STATES)}")
    return value


@click.command()
@HOST
@click.argument("labels", nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@AS_JSON
@pass_session
def label(session: Session, host: str, labels: tuple[str, ...], as_json: bool) -> None:
    """Set metadata, or take it away with KEY-.

    \b
    Example:  mayuctl label node-1 rack=a row-
    """
    _label(session, host, labels, as_json)


def _label(session: Session, host: str, labels: "tuple[str, ...] | list[str]", as_json: bool) -> None:
    entries: dict[str, str | None] = {}
    for each in labels:
        key, equals, value = each.partition("=")
        if not equals and not key.endswith("-"):
            raise click.UsageError(f"{each!r} is neither KEY=VALUE nor KEY-")
        key = key if equals else key.removesuffix("-")
        if not key:
            raise click.UsageError(f"{each!r} has no key")
        entries[key] = value if equals else None
    if not entries:
        raise click.UsageError("no KEY=VALUE is given")
    _patch(session, host, {"metadata": entries}, as_json, "has " + _told(entries))


def _told(entries: Mapping[str, str | None]) -> str:
    return ", ".join(f"no {show.plain(key)}" if value is None else show.cell({key: value}) for key, value in entries.items())


@click.command()
@HOST
@click.argument("name", metavar="PROPERTY")
@click.argument("value", required=False)
@click.option("--remove", is_flag=True, help="Take the value away: the config's is used again.")
@click.option("--text", "as_text", is_flag=True, help="VALUE is text, even where it could be JSON.")
@AS_JSON
@pass_session
def override(session: Session, host: str, name: str, value: str | None, remove: bool, as_text: bool, as_json: bool) -> None:
    """Give a host's template another value.

    It lies over what the config says. VALUE is JSON where it can be read as such, else text; `-` reads it from standard input.
    What begins as JSON does, with a bracket or a quote, must be whole JSON, unless --text says that it is text. What would make
    the host's config invalid is refused.

    \b
    Examples:
      mayuctl override node-1 ntp pool.ntp.org
      mayuctl override node-1 disks '["/dev/sda", "/dev/sdb"]'
      mayuctl override node-1 release --text 12.10
      mayuctl override node-1 ntp --remove
    """
    if remove == (value is not None):
        raise click.UsageError("either a VALUE or --remove is wanted")
    if value == "-":
        value = sys.stdin.read().removesuffix("\n")
    read = None if value is None else value if as_text else _json_or_text(value)
    if read is None and not remove:
        raise click.UsageError("null would take the value away; --remove says so, --text means the word")
    # Values may be secret, so they are not repeated.
    _patch(session, host, {"values": {name: read}}, as_json, f"has {'no ' if remove else ''}{show.plain(name)} of its own")


_OPENING = ("{", "[", '"')


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        if value.lstrip().startswith(_OPENING):
            raise click.UsageError(f"VALUE begins as JSON does, and is none: {error}; --text takes it as it is") from error
        return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


@click.command()
@HOST
@click.argument("profile", required=False, shell_complete=completing.profiles)
@click.option("--unpin", is_flag=True, help="Take the profile away that was pinned.")
@AS_JSON
@pass_session
def pin(session: Session, host: str, profile: str | None, unpin: bool, as_json: bool) -> None:
    """Give an enrolled host its profile. For one that the config names, the config decides.

    \b
    Examples:
      mayuctl pin 10-77-0-100 worker
      mayuctl pin 10-77-0-100 --unpin
    """
    if unpin == (profile is not None):
        raise click.UsageError("either a PROFILE or --unpin is wanted")
    _patch(session, host, {"profile": profile}, as_json, f"is pinned to {profile}" if profile else "is not pinned any more")


@click.command()
@HOST
@click.argument("image", required=False, shell_complete=completing.images)
@click.option("--reset", is_flag=True, help="Go back to the image of its profile.")
@AS_JSON
@pass_session
def image(session: Session, host: str, image: str | None, reset: bool, as_json: bool) -> None:
    """Have a host boot another image than its profile's.

    \b
    Examples:
      mayuctl image node-1 debian-13
      mayuctl image node-1 --reset
    """
    if reset == (image is not None):
        raise click.UsageError("either an IMAGE or --reset is wanted")
    _patch(session, host, {"image": image}, as_json, f"boots {image}" if image else "boots the image of its profile")


def _patch(session: Session, host: str, body: Mapping[str, Any], as_json: bool, done: str) -> None:
    _done(session.client.ask("PATCH", "v1", "hosts", host, body=body), as_json, done)


def _done(host: Any, as_json: bool, done: str) -> None:
    if not isinstance(host, dict):
        raise MayuError("the server answers without the host", hint="is this a mayu's admin face?")
    if as_json:
        show.emit(host)
    else:
        click.echo(f"{show.plain(host['name'])} {show.plain(done)}")
