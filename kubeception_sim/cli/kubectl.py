"""kubeception kubectl and kubeconfig: the cluster of a lab, from outside its network."""

import click

from kubeception_sim.cli.labs import LAB, NAME, become, existing
from kubeception_sim.run import run

CLUSTER = click.option("--cluster", default="", metavar="NAME", help="An inner cluster of the lab, through its entrance.")
_COMMAND_SECONDS = 10.0
# What is not ours is kubectl's, whatever it looks like.
_PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(short_help="kubectl, in the network of a lab's cluster.", context_settings=_PASS_ON)
@LAB
@CLUSTER
@click.argument("arguments", metavar="[--] ARGS...", nargs=-1, type=click.UNPROCESSED)
def kubectl(lab: str | None, cluster: str, arguments: tuple[str, ...]) -> None:
    """Run the kubectl that belongs to a lab's cluster as its administrator, inside the lab's network.

    \b
    Examples:
      kubeception kubectl get nodes -o wide
      kubeception kubectl --lab outer-cluster -- -n kube-system get pods
      kubeception kubectl --cluster customera -- get pods -A
    """
    kept = existing(lab)
    become((*kept.kubectl_line(cluster), *arguments), kept.lab)


@click.command(short_help="Print the administrator's kubeconfig of a lab.")
@NAME
@CLUSTER
def kubeconfig(name: str | None, cluster: str) -> None:
    """Print a kubeconfig with everything in it. Whoever reads it is root in the cluster.

    Its server is an address inside the lab's network: a client must be started there, as stderr says how.
    """
    kept = existing(name)
    line = kept.kubectl_line(cluster)
    ran = run((*line[4:], "config", "view", "--raw", "--flatten"), timeout=_COMMAND_SECONDS)
    click.echo(ran.stdout, nl=False)
    click.echo(f"reached from inside: ip netns exec {kept.namespace} PROGRAM", err=True)
