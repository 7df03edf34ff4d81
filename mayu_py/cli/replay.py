"""mayu replay: what this config would have answered to the requests in a capture."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from mayu_py import config
from mayu_py.cli import steps
from mayu_py.cli.options import CONFIG
from mayu_py.errors import MayuError
from mayu_py.rehearsal import words
from mayu_py.rehearsal.captured import Replay, Replayed
from mayu_py.rehearsal.engine import Engine
from mayu_py.store.copies import CopiedStore

LARGEST_CAPTURE = 1 << 30
_DAMAGE = {
    "truncated": "it ends in the middle of a frame",
    "not-a-capture": "it is neither pcap nor pcapng",
    "length": "a frame claims to be longer than any is",
}


@click.command()
@click.argument("capture", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@CONFIG
@click.option("--interface", help="Where packets without an address came in; by default the first network's.")
@click.option("--verbose", is_flag=True, help="Whole answers, and the frames that were passed over.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def replay(capture: Path, path: Path, interface: str | None, verbose: bool, as_json: bool) -> None:
    """Decide every DHCP, TFTP and HTTP request in CAPTURE (pcap or pcapng), and say why.

    Where the capture holds another server's answer, the difference is told. Nothing is sent and nothing is written.

    \b
    Examples:
      mayu replay boot.pcap -c rack.yaml
      tcpdump -i br0 -w boot.pcap udp or tcp port 4081
    """
    checked = config.read(path)
    engine = Engine(checked, CopiedStore.of(checked.settings.state))
    replaying = Replay(engine, interface or checked.settings.home.interface or "")
    found = replaying.read(_bytes(capture))
    if replaying.damage == "not-a-capture" and not replaying.frames:
        raise MayuError(f"{capture} is neither pcap nor pcapng", hint="tcpdump -w and Wireshark write either")
    if as_json:
        told = {"frames": replaying.frames, "damage": replaying.damage, "skipped": replaying.skipped}
        click.echo(json.dumps({**told, "requests": [each.to_data() for each in found]}, indent=2))
        return
    columns = steps.width()
    for each in found:
        for line in _lines(each, columns, verbose=verbose):
            click.echo(line)
        click.echo()
    answered = sum(each.step.answered for each in found)
    frames, requests = _count(replaying.frames, "frame"), _count(len(found), "request")
    click.secho(f"{capture}: {frames}, {requests}, {answered} answered", bold=True)
    if verbose and replaying.skipped:
        click.echo("passed over: " + ", ".join(f"{reason} {count}" for reason, count in sorted(replaying.skipped.items())))
    if replaying.damage:
        click.secho(f"the rest cannot be read: {_DAMAGE.get(replaying.damage, replaying.damage)}", fg="yellow", err=True)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _bytes(capture: Path) -> bytes:
    try:
        if capture.stat().st_size > LARGEST_CAPTURE:
            hint = "cut it: `tcpdump -r FILE -w SMALLER udp or tcp port 4081`"
            raise MayuError(f"{capture} is larger than 1 GiB", hint=hint)
        return capture.read_bytes()
    except OSError as error:
        raise MayuError(f"{capture} cannot be read: {error.strerror}") from error


def _lines(each: Replayed, columns: int, *, verbose: bool) -> Iterator[str]:
    at = datetime.fromtimestamp(each.at / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
    yield steps.heading(each.step.request, f"frame {each.frame} at {at}:", columns)
    if verbose:
        yield from steps.body(each.step, "  ", columns)
    else:
        boot = [f"{name} {words.bare(value)}" for name, value in each.step.details if name in ("address", "boot file")]
        yield click.style(
            steps.wrapped(", ".join((each.step.answer, *boot)), "  -> ", columns), fg="green" if each.step.answered else "yellow"
        )
        for n, reason in enumerate(each.step.reasons):
            yield click.style(steps.wrapped(reason, f"     {steps.column('because' if not n else '')}", columns), fg="cyan")
    if each.captured:
        yield steps.wrapped(each.captured, f"     {steps.column(f'frame {each.captured_frame}')}", columns)
    for contrast in each.contrasts:
        text = f"{contrast.captured or '(none)'} there, {contrast.ours or '(none)'} here"
        yield click.style(steps.wrapped(text, f"     {steps.column(f'  {contrast.name}')}", columns), fg="yellow")
