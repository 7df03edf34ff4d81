"""When the probes of inner clusters make sense."""

from collections.abc import Collection, Iterator

from ignition.document import Problem
from kubeception_sim.model.scenario import ProbeKind, StartProbe


def probed(step: StartProbe, there: Collection[str]) -> Iterator[Problem]:
    """What is wrong with a probe: one of an inner cluster names it, and others none. `there` are the clusters at this point."""
    if (step.kind is ProbeKind.HANDSHAKES) != bool(step.cluster):
        yield step.origin.error(f"{'no cluster can' if step.cluster else 'a cluster must'} be named", "cluster")
    elif step.cluster and step.cluster not in there:
        yield step.origin.error(f"no cluster {step.cluster!r} at this point", "cluster")
