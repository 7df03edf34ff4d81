"""kubeception down."""

import json
import time
from typing import Any

import click

from kubeception_sim.cli.labs import NAME, Following
from kubeception_sim.cli.options import JSON
from kubeception_sim.errors import BadInput
from kubeception_sim.scenario import keeper
from kubeception_sim.scenario.ending import end
from kubeception_sim.scenario.keeper import Kept


@click.command(short_help="Take a lab down.")
@NAME
@click.option("--all", "everything", is_flag=True, help="Every lab there is.")
@JSON
def down(name: str | None, everything: bool, as_json: bool) -> None:
    """Take the lab NAME down: machines, servers, network, files. Without NAME the only one there is.

    Says what that took. A lab that is not up is down: that is no error. What a killed keeper left is removed as well.
    The report and the logs of its way up stay where `kubeception up` put them.

    \b
    Exit codes:
      0  it is down
      2  it did not go down, or something of it would not
      3  several labs are up, and none was named
    """
    if name and everything:
        raise BadInput("a name or --all, not both")
    gone = [_take_down(kept, err=as_json) for kept in _meant(name, everything, err=as_json)]
    if as_json:
        click.echo(json.dumps({"schema": 1, "ok": True, "labs": gone}, indent=2))


def _meant(name: str | None, everything: bool, *, err: bool) -> list[Kept]:
    known = keeper.labs()
    if name and name not in [kept.name for kept in known]:
        click.echo(f"{name} is not up", err=err)
        return []
    if not known:
        click.echo("no lab is up", err=err)
        return []
    return known if everything else [keeper.find(name)]


def _take_down(kept: Kept, *, err: bool) -> dict[str, Any]:
    start = time.monotonic()
    with Following(keeper.log(kept.name), from_end=True, err=err) as following:
        ended = end(kept, following.show)
    seconds = time.monotonic() - start
    if ended.killed:
        click.echo(f"the keeper of {kept.name} was killed; what it left is removed:", err=err)
    for what in ended.swept:
        click.echo(f"  removed {what}", err=err)
    if ended.killed and not kept.owner.pid:
        click.echo("  its record could not be read: should more be left, kubeception gc finds it", err=err)
    click.echo(f"{kept.name} is down, {seconds:.1f} s", err=err)
    return {"name": kept.name, "killed": ended.killed, "swept": list(ended.swept), "seconds": round(seconds, 3)}
