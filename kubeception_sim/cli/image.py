"""kubeception image: the testbed OS alone."""

import click

from kubeception_sim.artifacts import testbed
from kubeception_sim.artifacts.store import Store
from kubeception_sim.cli.console import make_console, show_progress
from kubeception_sim.errors import HarnessError


@click.group(short_help="Build, find or verify the testbed OS.")
def image() -> None:
    """The testbed OS that machines boot. A run builds it by itself; it is kept in $KUBECEPTION_CACHE.

    \b
    Examples:
      kubeception image build         build it now, unless it is there (minutes, root)
      ls -l $(kubeception image path)
    """


@image.command()
def build() -> None:
    """Build the image, unless the cache has it. Prints its folder."""
    with show_progress(make_console(err=True)) as progress:
        built = testbed.ensure(testbed.default_cache(), progress)
    click.echo(built.directory)


@image.command()
def path() -> None:
    """Print the image's folder. Builds nothing: exit code 2 when there is none."""
    cache = testbed.default_cache()
    entry = Store(cache, testbed.KIND).find(testbed.key())
    if entry is None:
        raise HarnessError(f"no image in {cache}", hint="kubeception image build")
    click.echo(entry.directory)


@image.command()
def verify() -> None:
    """Read the whole image and compare it with its checksums."""
    testbed.verify(testbed.default_cache())
    click.echo("every file is as it was built")
