"""Inner clusters in a scenario: the steps that make, await and end them, and when these make sense."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ignition.document import Duration, Origin, Problem
from kubeception_sim.model.garbage import CompareTraces, GarbageStep, NoteTraces
from kubeception_sim.model.life import RotateCluster, UpgradeCluster


@dataclass(frozen=True)
class CreateCluster:
    """Ask the outer API for an inner cluster of that name; `spec` is the resource's (docs/clusters.md)."""

    do: Literal["cluster-create"]
    cluster: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class AwaitInner:
    """Wait until an inner cluster is Ready: its API answers, and the node of each of its machines is Ready in it."""

    do: Literal["cluster-ready"]
    cluster: str
    within: Duration
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass(frozen=True)
class DeleteCluster:
    """Delete an inner cluster, and wait until nothing of it is there. Without `wait`, ask for it only: another step waits."""

    do: Literal["cluster-delete"]
    cluster: str
    within: Duration
    wait: bool = True
    origin: Origin = field(default=Origin.none(), compare=False, repr=False)


@dataclass
class Clusters:
    """The clusters that are there at a point of the steps, and whether traces are noted."""

    there: set[str] = field(default_factory=set)
    are_noted: bool = False

    def take(
        self,
        step: CreateCluster | AwaitInner | DeleteCluster | GarbageStep | RotateCluster | UpgradeCluster,
        are_possible: bool,
        systems: Collection[str] = (),
    ) -> Iterator[Problem]:
        """Go past a step; what is wrong with it. `are_possible`: the outer cluster is made for inner ones, of `systems`."""
        if not are_possible:
            yield step.origin.error("there are no inner clusters here", hint="outer: {clusters: true}")
        match step:
            case NoteTraces():
                self.are_noted = True
            case CompareTraces():
                if not self.are_noted:
                    yield step.origin.error("nothing to compare with", hint="put a do: traces-note before it")
            case CreateCluster():
                if step.cluster in self.there:
                    yield step.origin.error(f"a second cluster {step.cluster!r}", "cluster")
                self.there.add(step.cluster)
            case AwaitInner() | DeleteCluster() | RotateCluster() | UpgradeCluster():
                if step.cluster not in self.there:
                    known = f"known are: {', '.join(sorted(self.there))}" if self.there else ""
                    yield step.origin.error(f"no cluster {step.cluster!r} at this point", "cluster", hint=known)
                if isinstance(step, UpgradeCluster) and step.os not in systems:
                    hint = f"outer: {{systems: [{', '.join([*systems, step.os])}]}}"
                    yield step.origin.error(f"no system {step.os!r} is served", "os", hint=hint)
                if isinstance(step, DeleteCluster) and step.wait:
                    self.there.discard(step.cluster)
