"""kubeception logs."""

import click

from kubeception_sim import claims
from kubeception_sim.cli.labs import LAB, SOURCE, Following, existing, file_of, pause
from kubeception_sim.scenario import keeper


@click.command(short_help="What a machine, mayu or the keeper of a lab has said.")
@LAB
@SOURCE
@click.option("--follow", "-f", is_flag=True, help="Go on until the lab is down.")
def logs(lab: str | None, source: str, follow: bool) -> None:
    """Print the console of a machine, or the log of mayu or of the lab's keeper; the keeper's if none is named.

    \b
    Examples:
      kubeception logs --follow
      kubeception logs worker-1
    """
    kept = existing(lab) if lab or source in ("mayu", "keeper") else keeper.find_machine(source, None)[0]
    with Following(file_of(kept, source)) as following:
        following.show()
        while follow and claims.held(kept.name):
            pause()
            following.show()
        following.show()  # what came between the last look and the end
