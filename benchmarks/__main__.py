"""`python -m benchmarks NAME...`: some parts, or all of them."""

import signal
import subprocess
from collections.abc import Callable, Mapping

import click

from benchmarks import dhcp, dns, download, ignition, serve, storm, tftp, web

PARTS: Mapping[str, Callable[[], None]] = {
    "web": web.main,
    "download": download.main,
    "dhcp": dhcp.main,
    "tftp": tftp.main,
    "dns": dns.main,
    "storm": storm.main,
    "serve": serve.main,
    "ignition": ignition.main,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PARTS)))
def main(names: tuple[str, ...]) -> None:
    """Measure mayu beside its peers; needs root. Rewrites results.json, results.svg and the tables of README.md."""
    # Told to end, it takes its servers and namespaces down as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    broken = []
    for name in names or PARTS:
        try:
            PARTS[name]()
        except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
            # The others are worth their time all the same, and nothing of this one is published.
            broken.append(name)
            click.echo(f"{name}: {error}", err=True)
    if broken:
        raise click.ClickException(f"not measured: {', '.join(broken)}")


main()
