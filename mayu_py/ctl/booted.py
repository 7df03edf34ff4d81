"""boot-complete: runs on a host that has booted, and tells the boot face so."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mayu_py.asking.connection import Connection, url
from mayu_py.ctl import show
from mayu_py.ctl.session import AS_JSON, Session, pass_session
from mayu_py.errors import MayuError

if TYPE_CHECKING:
    from mayu_py.asking.client import Client

BOOT_PORT = 4081
# The newer name first: a host that is booted by hand may have both.
ARGUMENTS = ("mayu.report", "testbed.report")
SERIAL = "sys/class/dmi/id/product_serial"
AGAIN_SECONDS = 1.0


@click.command("boot-complete")
@click.option("--update-versions", is_flag=True, help="Tell what runs here too, by /etc/os-release.")
@click.option("--host", metavar="SERIAL", help="With --server: the host's serial, uuid or name, instead of what its board says.")
@click.option("--timeout", "seconds", type=click.FloatRange(0, 3600), default=30.0, show_default=True, help="How long to try.")
@click.option("--root", type=click.Path(path_type=Path), default="/", show_default=True, help="Where /proc, /sys and /etc are.")
@AS_JSON
@pass_session
def boot_complete(session: Session, update_versions: bool, host: str | None, seconds: float, root: Path, as_json: bool) -> None:
    """Tell mayu that this host is up.

    Run it on the host itself, at the end of its boot.

    Where to is what the kernel's command line says, `mayu.report=URL` or `testbed.report=URL`; with --server it is that
    server's boot face (port 4081) and this board's serial.

    \b
    Examples:
      mayuctl boot-complete --update-versions
      mayuctl --server http://10.77.0.1:4081 boot-complete
    """
    server, ident = _target(session, host, root)
    version = os_version(root) if update_versions else None
    from mayu_py.asking.client import Client

    client = Client(Connection(server))
    _tell(client, ident, {"os_version": version} if version else {}, seconds)
    if as_json:
        show.emit({"server": server, "host": ident, "os_version": version})
    else:
        click.echo(f"{server} knows that {show.plain(ident)} is running{f' {show.plain(version)}' if version else ''}")


def _target(session: Session, host: str | None, root: Path) -> tuple[str, str]:
    """Server and host. Raises MayuError when nothing names them."""
    if session.given.server is not None:
        return url(session.given.server, scheme="http", port=BOOT_PORT), host or _serial(root)
    words = _read(root / "proc/cmdline").split()
    for name in ARGUMENTS:
        for word in words:
            if word.startswith(f"{name}="):
                return _report(word.partition("=")[2])
    raise MayuError(
        f"the kernel's command line has no {' and no '.join(f'{name}=' for name in ARGUMENTS)}",
        hint="add {{ report_url }} to the image's args in mayu's config, or name the boot face with --server",
    )


def _report(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"(https?://[^/?#]+)/host/([^/?#]+)", text.rstrip("/"))
    if found is None:
        raise MayuError(f"{text!r} is no report URL", hint="http://SERVER:4081/host/SERIAL")
    from urllib.parse import unquote

    return url(found[1]), unquote(found[2])


def _serial(root: Path) -> str:
    serial = _read(root / SERIAL).strip()
    if not serial:
        raise MayuError("this board tells no serial", hint="name the host with --host")
    return serial


def _tell(client: "Client", ident: str, body: dict[str, str], seconds: float) -> None:
    """Until the server has taken it. Networks and servers may still be coming up; a refusal is final."""
    from mayu_py.asking.client import Refused, Unanswered

    deadline = time.monotonic() + seconds
    while True:
        try:
            client.ask("PUT", "host", ident, "boot_complete", body=body)
            return
        except (Refused, Unanswered) as error:
            final = isinstance(error, Refused) and error.status < 500
            if final or time.monotonic() + AGAIN_SECONDS > deadline:
                raise
        time.sleep(AGAIN_SECONDS)


def os_version(root: Path) -> str:
    """What os-release(5) says of the version: VERSION_ID, else BUILD_ID, else PRETTY_NAME. Raises MayuError."""
    for path in (root / "etc/os-release", root / "usr/lib/os-release"):
        if path.exists():
            told = dict(_assignments(_read(path)))
            version = next((told[key] for key in ("VERSION_ID", "BUILD_ID", "PRETTY_NAME") if told.get(key)), "")
            if version:
                return version
    raise MayuError(f"{root / 'etc/os-release'} tells no version", hint="leave --update-versions away")


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    import shlex

    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            try:
                yield name, "".join(shlex.split(value))
            except ValueError:
                continue


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise MayuError(f"{path} cannot be read: {error.strerror}", hint="run this on the host, as root") from error
