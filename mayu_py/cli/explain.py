"""mayu explain: a machine's boot, request by request, and the rules that decide."""

import json
from ipaddress import IPv4Address
from pathlib import Path

import click

from mayu_py import config
from mayu_py.cli import steps
from mayu_py.cli.options import CONFIG
from mayu_py.core.hosts import Host, Mac, Uuid
from mayu_py.core.networks import Network
from mayu_py.core.settings import Settings
from mayu_py.errors import MayuError
from mayu_py.rehearsal.clients import ARCHITECTURES, Machine, Place
from mayu_py.rehearsal.engine import Engine
from mayu_py.rehearsal.walk import Walk
from mayu_py.rehearsal.words import Step
from mayu_py.store.copies import CopiedStore


def _mac(context: click.Context, parameter: click.Parameter, value: str) -> Mac:
    try:
        return Mac.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _uuid(context: click.Context, parameter: click.Parameter, value: str | None) -> Uuid | None:
    try:
        return Uuid.parse(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _arch(context: click.Context, parameter: click.Parameter, value: str) -> int:
    if value in ARCHITECTURES:
        return ARCHITECTURES[value]
    if value.isascii() and value.isdigit() and int(value) < 2**16:
        return int(value)
    raise click.BadParameter(f"{value!r} is none of {', '.join(ARCHITECTURES)}, and no number of DHCP option 93")


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> IPv4Address | None:
    try:
        return IPv4Address(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@CONFIG
@click.option("--mac", required=True, callback=_mac, help="The network card that boots.")
@click.option("--arch", default="uefi-x64", show_default=True, callback=_arch, help=f"{', '.join(ARCHITECTURES)}, or option 93.")
@click.option("--serial", help="What iPXE reads of the board; by default what is known of the host.")
@click.option("--uuid", callback=_uuid, help="The board's UUID; by default what is known of the host.")
@click.option("--network", help="The network it boots in; by default the host's own, else the first.")
@click.option("--relay", callback=_address, help="Its packets come through this relay.")
@click.option("--interface", help="Its packets come in on this interface.")
@click.option("--ipxe", is_flag=True, help="Its card starts with an iPXE of its own.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def explain(
    path: Path,
    mac: Mac,
    arch: int,
    serial: str | None,
    uuid: Uuid | None,
    network: str | None,
    relay: IPv4Address | None,
    interface: str | None,
    ipxe: bool,
    as_json: bool,
) -> None:
    """Tell what a machine would be answered, from its first packet until it runs, and which rules decide.

    The code that serves machines decides, over a copy of the state file: nothing is sent and nothing is written. A machine that
    nobody knows is enrolled in the copy.

    \b
    Examples:
      mayu explain -c rack.yaml --mac 52:54:00:00:00:01
      mayu explain -c rack.yaml --mac 52:54:00:00:00:99 --arch bios --ipxe
      mayu explain -c rack.yaml --mac 52:54:00:00:00:01 --relay 10.1.0.9 --json
    """
    checked = config.read(path)
    engine = Engine(checked, CopiedStore.of(checked.settings.state))
    host = engine.desk.snapshot().by_mac.get(mac)
    machine = Machine(mac, arch, serial or (host.serial if host else None), uuid or (host.uuid if host else None), ipxe)
    place, at = _place(checked.settings, host, network, relay, interface)
    walk = Walk(engine, machine, place, at)
    found = list(walk.steps())
    if as_json:
        where = {"network": at.name if at else None, "interface": place.interface or None, "relay": str(relay) if relay else None}
        told = {"mac": mac, "arch": arch, "serial": machine.serial, "uuid": machine.uuid, "ipxe": ipxe}
        click.echo(
            json.dumps({"machine": told, **where, "steps": [step.to_data() for step in found], "ending": walk.ending}, indent=2)
        )
        return
    _print(found)
    click.secho(f"\n{walk.ending}", bold=True)


def _place(
    settings: Settings, host: Host | None, name: str | None, relay: IPv4Address | None, interface: str | None
) -> tuple[Place, Network | None]:
    """Where the packets come in, and the network that this should be. Raises MayuError."""
    if relay is not None:
        named = next((network for network in settings.networks if relay in network.relays), None)
        return Place(relay=relay), settings.network_of(relay) or named
    if interface is not None:
        return Place(interface), next((each for each in settings.local if each.interface == interface), None)
    network = (settings.seat(host) if host is not None else None) or settings.home
    if name is not None:
        named = next((each for each in settings.networks if each.name == name), None)
        if named is None:
            raise MayuError(f"there is no network {name!r}", hint=f"networks: {', '.join(n.name for n in settings.networks)}")
        network = named
    if network.interface is not None:
        return Place(network.interface), network
    stand_in = next(iter(network.relays), None) or network.gateway or next(network.subnet.hosts())
    return Place(relay=stand_in), network


def _print(found: list[Step]) -> None:
    columns = steps.width()
    digits = len(str(len(found)))
    for n, step in enumerate(found):
        click.echo(("\n" if n else "") + steps.heading(step.request, f"{n + 1:>{digits}}.", columns))
        for line in steps.body(step, " " * (digits + 2), columns, found[n - 1] if n else None):
            click.echo(line)
