"""mayu init: a config and a template to begin with."""

from ipaddress import IPv4Interface
from pathlib import Path
from string import Template

import click

from mayu_py.errors import MayuError

TEMPLATES = Path(__file__).parents[1] / "templates"
ROLES = ("plain", "etcd", "giantnetes-master", "giantnetes-worker")


def _interface(context: click.Context, parameter: click.Parameter, text: str) -> IPv4Interface:
    try:
        found = IPv4Interface(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if found.ip in (found.network.network_address, found.network.broadcast_address):
        raise click.BadParameter(f"{text} is no host's address with its subnet; as in 10.77.0.1/24")
    return found


@click.command()
@click.argument("role", type=click.Choice(ROLES))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("."))
@click.option("--interface", required=True, help="The NIC of this machine that the rack hangs on.")
@click.option("--address", callback=_interface, required=True, help="This machine's address on it, as in 10.77.0.1/24.")
def init(role: str, folder: Path, interface: str, address: IPv4Interface) -> None:
    """Write a config and a template for hosts of ROLE into FOLDER.

    The template's first lines say which values it wants: they are errors of `mayu check` until the config gives them. Files that
    are there already are left alone.
    """
    config, template = folder / "mayu.yaml", folder / f"{role}.bu"
    if found := [path for path in (config, template) if path.exists()]:
        raise MayuError(f"{found[0]} exists", hint="choose another folder, or remove it")
    text = Template((TEMPLATES / "mayu.yaml").read_text("utf-8"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        filled = text.substitute(
            role=role, interface=interface, address=address.ip, subnet=address.network, file=config.as_posix()
        )
        config.write_text(filled, "utf-8")
        template.write_text((TEMPLATES / f"{role}.bu").read_text("utf-8"), "utf-8")
    except OSError as error:
        raise MayuError(f"{error.filename} cannot be written: {error.strerror}") from error
    click.echo(f"wrote {config} and {template}; next: mayu check -c {config}")
