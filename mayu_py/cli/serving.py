"""mayu serve."""

from pathlib import Path

import click

from mayu_py import app, log
from mayu_py.cli.options import CONFIG


@click.command()
@CONFIG
@click.option("--ready-fd", type=int, help="Write `ready` to this file descriptor once every worker serves.")
@click.option("--debug", is_flag=True, help="Log every decision with its reasons.")
def serve(path: Path, ready_fd: int | None, debug: bool) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Nothing is started when the config has a mistake or a host's Ignition config would not be valid. Workers that die
    are restarted, and find the DHCP and TFTP packets that arrived meanwhile.

    SIGHUP has the config read again: a good one takes the place of the old without losing a packet or a connection, a bad
    one is refused with all its problems in the log, and the last good one serves on.
    """
    log.configure("supervisor", debug=debug)
    app.serve(path, ready_fd=ready_fd, debug=debug)
