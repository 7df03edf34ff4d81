"""What a person is told of a cluster, out of what was seen of it. Pure.

`judge` makes the status; `news` what is worth an event in it. A condition keeps its time as long as it says the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.doors import Held
from kubeception_sim.inner.pods import Pod
from kubeception_sim.inner.resource import About, Cluster, Condition, Phase, Role, Status, VmPhase, VmStatus


class Reason(StrEnum):
    """The reasons in conditions."""

    ADDONS = "AddonsFailed"
    API = "ApiAway"
    AWAY = "NodeAway"
    BOOTING = "Booting"
    CREATING = "Creating"
    DEGRADED = "Degraded"
    DELETING = "Deleting"
    DONE = "Done"
    FAILED = "Failed"
    HIBERNATED = "Hibernated"
    INVALID = "Invalid"
    NONE = "NoWorkers"
    NODES = "NodesNotReady"
    PAUSED = "Paused"
    PENDING = "Pending"
    READY = "Ready"
    ROTATING = "Rotating"
    TOKEN = "TokenRefused"
    UPGRADING = "Upgrading"


ADDONS_SECONDS = 300.0

_BAD = (Reason.ADDONS, Reason.AWAY, Reason.DEGRADED, Reason.FAILED, Reason.INVALID, Reason.TOKEN)


@dataclass(frozen=True)
class Verdict:
    """What a condition says."""

    truth: bool | None
    reason: Reason
    message: str = ""


PENDING = Verdict(None, Reason.PENDING, "not asked yet")
READY = Verdict(True, Reason.READY)


@dataclass(frozen=True)
class Inside:
    """What the cluster itself says: whether its nodes are Ready, by name; `problem` if it says nothing, or takes no add-ons."""

    nodes: Mapping[str, bool] = field(default_factory=dict)
    problem: str = ""
    reason: Reason = Reason.API


@dataclass(frozen=True)
class Seen:
    """All that a pass has seen. `alarms` by machine: somebody else has had its token; `away`: why the node with its disk cannot
    run it. `problem` is what ended the pass early.

    `held` is what machines say of their certificates; `behind` are those that are to be started anew, or just were; `renewing` is
    the one that is to get new certificates now.
    """

    vni: int = 0
    vms: tuple[Vm, ...] = ()
    pods: Mapping[str, Pod] = field(default_factory=dict)
    started: frozenset[str] = frozenset()
    alarms: Mapping[str, str] = field(default_factory=dict)
    away: Mapping[str, str] = field(default_factory=dict)
    network: Verdict = PENDING
    certificates: Verdict = PENDING
    inside: Inside = Inside(problem="no master runs yet")
    endpoint: str = ""
    problem: str = ""
    held: Mapping[str, Held] = field(default_factory=dict)
    behind: tuple[str, ...] = ()
    renewing: str = ""

    def phase(self, cluster: Cluster, vm: Vm) -> VmPhase:
        """How far a machine is."""
        pod = self.pods.get(vm.name)
        if vm.name in self.alarms:
            return VmPhase.FAILED
        if cluster.spec.hibernated:
            return VmPhase.LEAVING if pod else VmPhase.STOPPED
        if vm.name not in self.started:
            return VmPhase.WAITING
        return pod.phase if pod else VmPhase.PENDING


def judge(cluster: Cluster, seen: Seen, now: str) -> Status:
    """The status of a cluster that is not being deleted; `now` is RFC 3339, in UTC."""
    vms = tuple(_vm(cluster, seen, vm) for vm in seen.vms)
    verdicts = {About.NETWORK: seen.network, About.CERTIFICATES: _certificates(seen)}
    verdicts |= {
        About.CONTROL_PLANE: _machines(cluster, seen, vms, Role.MASTER),
        About.WORKERS: _machines(cluster, seen, vms, Role.WORKER),
    }
    verdicts[About.READY] = _ready(cluster, seen, verdicts)
    verdicts[About.PROGRESSING] = _progressing(cluster, seen, verdicts)
    conditions = told(cluster.conditions, verdicts, cluster.generation, now)
    return Status(_phase(cluster, seen, verdicts), conditions, seen.vni, vms, seen.endpoint, cluster.generation)


def calm(cluster: Cluster, now: datetime) -> bool:
    """Whether add-ons are no burden: the cluster has been told to be Ready, or they have waited for ADDONS_SECONDS since its
    masters run.

    Where processors are scarce, what add-ons do while they start keeps the last machines from becoming Ready.
    """
    since = {each.about: each.since for each in cluster.conditions if each.truth}
    if About.READY in since:
        return True
    runs = since.get(About.CONTROL_PLANE)
    return runs is not None and (now - datetime.fromisoformat(runs)).total_seconds() >= ADDONS_SECONDS


def told(before: Iterable[Condition], verdicts: Mapping[About, Verdict], generation: int, now: str) -> tuple[Condition, ...]:
    """The conditions, in the order of their types. What says the same keeps its time."""
    old = {each.about: each for each in before}
    found = []
    for about in About:
        if about in verdicts:
            verdict, was = verdicts[about], old.get(about)
            since = was.since if was and was.truth is verdict.truth else now
            found.append(Condition(about, verdict.truth, str(verdict.reason), verdict.message, since, generation))
        elif about in old:
            found.append(old[about])
    return tuple(found)


def halted(cluster: Cluster, status: Status) -> Status:
    """The status of a cluster that is paused: what there is, and that nothing is done about it."""
    paused = Verdict(False, Reason.PAUSED, "spec.paused: nothing is changed, and nothing deleted")
    now = next((each.since for each in status.conditions if each.about is About.PROGRESSING), "")
    conditions = told(status.conditions, {About.PROGRESSING: paused}, cluster.generation, now)
    return replace(status, conditions=conditions)


@dataclass(frozen=True)
class News:
    """What is worth an event."""

    is_warning: bool
    reason: str
    message: str


def news(before: Iterable[Condition], after: Iterable[Condition]) -> Iterator[News]:
    """What is different between conditions, but for what nobody knew before and does not know now."""
    old = {each.about: (each.truth, each.reason) for each in before}
    for each in after:
        if old.get(each.about, (None, each.reason)) != (each.truth, each.reason):
            value = {True: "is", False: "is not", None: "is perhaps"}[each.truth]
            said = f"{value} {each.about}: {each.reason}" + (f": {each.message}" if each.message else "")
            yield News(each.reason in _BAD, str(each.reason), said)


def _vm(cluster: Cluster, seen: Seen, vm: Vm) -> VmStatus:
    node = seen.pods[vm.name].node if vm.name in seen.pods else ""
    held = seen.held.get(vm.name, Held())
    until = datetime.fromtimestamp(held.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if held.until else ""
    return VmStatus(vm.name, vm.role, vm.index, vm.address, seen.phase(cluster, vm), node, held.rotation, until)


def _certificates(seen: Seen) -> Verdict:
    if seen.alarms:
        return Verdict(False, Reason.TOKEN, "; ".join(f"{vm}: {why}" for vm, why in sorted(seen.alarms.items())))
    return seen.certificates


def _machines(cluster: Cluster, seen: Seen, vms: Iterable[VmStatus], role: Role) -> Verdict:
    """Of the machines of a role: their own word, then the cluster's."""
    ours = [vm for vm in vms if vm.role is role]
    if cluster.spec.hibernated:
        return Verdict(False, Reason.HIBERNATED)
    if not ours:
        return PENDING if role is Role.MASTER else Verdict(True, Reason.NONE)
    if late := [vm for vm in ours if vm.phase is not VmPhase.READY]:
        return Verdict(False, _worst(seen, late), "; ".join(_about(seen, vm) for vm in late))
    if seen.inside.problem and (role is Role.MASTER or not seen.inside.nodes):
        return Verdict(False, seen.inside.reason, seen.inside.problem)
    if missing := [vm.name for vm in ours if not seen.inside.nodes.get(vm.name)]:
        return Verdict(False, Reason.NODES, f"inside, {', '.join(missing)} is not a Ready node")
    return READY


def _worst(seen: Seen, late: Iterable[VmStatus]) -> Reason:
    if any(vm.name in seen.away for vm in late):
        return Reason.AWAY
    return Reason.FAILED if any(vm.phase is VmPhase.FAILED for vm in late) else Reason.BOOTING


def _about(seen: Seen, vm: VmStatus) -> str:
    problem = seen.away.get(vm.name) or (seen.pods[vm.name].problem if vm.name in seen.pods else "")
    return f"{vm.name}: {vm.phase}" + (f" ({problem})" if problem else "")


def _ready(cluster: Cluster, seen: Seen, verdicts: Mapping[About, Verdict]) -> Verdict:
    if cluster.spec.hibernated:
        return Verdict(False, Reason.HIBERNATED)
    # Machines that run need nobody who certifies: those are conditions of their own.
    wrong = [about for about in (About.CONTROL_PLANE, About.WORKERS) if not verdicts[about].truth]
    if not wrong:
        return READY
    was = next((each for each in cluster.conditions if each.about is About.READY), None)
    # Another generation asks for something else: until it is there, nothing is worse than before.
    lost = was is not None and was.generation == cluster.generation and (was.truth or was.reason == Reason.DEGRADED)
    return Verdict(False, Reason.DEGRADED if lost else Reason.CREATING, f"without {', '.join(wrong)}")


def _progressing(cluster: Cluster, seen: Seen, verdicts: Mapping[About, Verdict]) -> Verdict:
    if seen.problem:
        return Verdict(False, Reason.FAILED, seen.problem)
    if cluster.spec.hibernated:
        is_there = bool(seen.pods)
        return Verdict(is_there, Reason.HIBERNATED, "machines shut down" if is_there else "")
    if seen.alarms:
        return Verdict(False, Reason.TOKEN, "a person has to look at it; deleting the pod gives the machine another token")
    if seen.behind:
        return Verdict(True, Reason.UPGRADING, f"{', '.join(seen.behind)} to be started anew")
    if seen.renewing:
        why = seen.held[seen.renewing].why if seen.renewing in seen.held else ""
        return Verdict(True, Reason.ROTATING, f"{seen.renewing}: {why}" if why else seen.renewing)
    if verdicts[About.READY].truth:
        return Verdict(False, Reason.DONE)
    return Verdict(True, verdicts[About.READY].reason, verdicts[About.READY].message)


def _phase(cluster: Cluster, seen: Seen, verdicts: Mapping[About, Verdict]) -> Phase:
    ready = verdicts[About.READY]
    if seen.alarms:
        return Phase.FAILED
    if cluster.spec.hibernated:
        return Phase.HIBERNATED
    if ready.truth:
        return Phase.RUNNING
    if ready.reason is Reason.DEGRADED:
        return Phase.DEGRADED
    return Phase.CREATING if seen.vni else Phase.PENDING
