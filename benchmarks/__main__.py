"""`python -m benchmarks NAME...`: some parts, or all of them."""

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
    for name in names or PARTS:
        PARTS[name]()


main()
