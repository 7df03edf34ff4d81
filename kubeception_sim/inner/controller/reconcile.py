"""One pass over one cluster: what there is, what is wanted, the difference applied, and what is told of it.

    claims -> homes of disks -> namespace -> network -> authorities -> shared objects -> machines -> renewal -> tokens -> prune
    -> add-ons -> status

Masters are started together, for the members of an etcd need each other to begin; everybody else once all masters run. A machine
whose template is different is started anew when all others run: one at a time, and a worker when its pods have left. New
certificates are given to one after the other, while they run (`certifying`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any

from kubeception_sim.errors import BadInput, HarnessError, KubeceptionError
from kubeception_sim.inner import addons
from kubeception_sim.inner.allocation import Vm, machines
from kubeception_sim.inner.controller.api import Api, Document, Refused
from kubeception_sim.inner.controller.certifying import Certifying
from kubeception_sim.inner.controller.claims import Claims
from kubeception_sim.inner.controller.draining import Drain
from kubeception_sim.inner.controller.leaving import FINALIZER, leave, ours
from kubeception_sim.inner.controller.observed import CLUSTERS, Observed, collection, key, observe
from kubeception_sim.inner.controller.placing import Homes
from kubeception_sim.inner.controller.renewing import When
from kubeception_sim.inner.controller.settings import RENEW_AT
from kubeception_sim.inner.controller.telling import rfc3339, tell
from kubeception_sim.inner.controller.turn import Turn
from kubeception_sim.inner.doors import Doors, Facts, Inside, Pods
from kubeception_sim.inner.resource import About, Cluster, Condition, Phase, Role, Status, VmPhase
from kubeception_sim.inner.status import READY, Reason, Seen, Verdict, calm, halted, judge, told
from kubeception_sim.inner.status import Inside as Answers
from kubeception_sim.inner.wanted import (
    FIXED,
    VM,
    fixed,
    machine,
    namespace,
    shared,
)
from kubeception_sim.inner.wanted_pod import API_PORT

SETTLED_SECONDS, MOVING_SECONDS = 30.0, 3.0
"""After which a pass is due though nobody said that something changed: the API inside says nothing by itself."""


@dataclass(frozen=True)
class Reconciler:
    """`now` is the time in UTC; `addons_image` that of the agents inside. Certificates are renewed after `renew_at` per cent of
    their life."""

    api: Api
    doors: Doors
    inside: Inside
    addons_image: str
    now: Callable[[], datetime]
    pods: Pods
    renew_at: int = RENEW_AT

    def reconcile(self, name: str) -> float | None:
        """One pass. After how many seconds the next is due; None for a cluster that is gone. Raises KubeceptionError."""
        document = self.api.get(f"{CLUSTERS}/{name}")
        if document is None:
            return None
        try:
            cluster = Cluster.read(document)
        except BadInput as error:
            if not _is_leaving(document):
                tell(self.api, document, _refused(document, error, self.now()), self.now())
                return SETTLED_SECONDS
            cluster = Cluster(name)
        # A cluster that is paused is not deleted either.
        if _is_leaving(document) and not cluster.spec.paused:
            return None if leave(self.api, self.doors, document, self.now()) else MOVING_SECONDS
        return self._keep(document, cluster)

    def _keep(self, document: Document, cluster: Cluster) -> float:
        whole = _Pass(self, cluster, observe(self.api, cluster.name))
        if cluster.spec.paused:
            whole.look()
            tell(self.api, document, halted(cluster, whole.status()), self.now())
            return SETTLED_SECONDS
        try:
            self._have_finalizer(document)
            whole.act()
        except KubeceptionError as error:
            whole.seen = replace(whole.seen, problem=_message(error))
            tell(self.api, document, whole.status(), self.now())
            raise
        status = whole.status()
        tell(self.api, document, status, self.now())
        is_settled = status.phase in (Phase.RUNNING, Phase.HIBERNATED) and not (whole.seen.behind or whole.seen.renewing)
        is_settled = is_settled and whole.observed.there <= {vm.name for vm in status.vms} and calm(cluster, self.now())
        return SETTLED_SECONDS if is_settled else MOVING_SECONDS

    def _have_finalizer(self, document: Document) -> None:
        metadata = document["metadata"]
        finalizers = metadata.get("finalizers", [])
        if FINALIZER not in finalizers:
            # With the version: somebody else's must not be lost. The uid: a later cluster of this name is another one.
            known = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
            changed = {"metadata": known | {"finalizers": [*finalizers, FINALIZER]}}
            document["metadata"] = self.api.merge(f"{CLUSTERS}/{metadata['name']}", changed)["metadata"]


@dataclass
class _Pass:
    """What one pass knows. `seen` grows with it, so that who ends it early can tell what there was."""

    at: Reconciler
    cluster: Cluster
    observed: Observed
    seen: Seen = field(init=False)

    def __post_init__(self) -> None:
        pods = self.observed.pods
        started = frozenset(self.observed.deployments)
        endpoint = f"https://api.{self.cluster.name}.{self.at.doors.giantnetes.domain}:{API_PORT}"
        self.seen = Seen(pods=pods, started=started, endpoint=endpoint)

    def status(self) -> Status:
        """What is to be told."""
        return judge(self.cluster, self.seen, rfc3339(self.at.now()))

    def look(self) -> None:
        """See without changing anything."""
        vni, indexes = self._claims().known()
        vms = Homes(self.at.api, self.cluster, self.observed.claims).known(machines(self.cluster, indexes))
        network = certificates = Verdict(None, Reason.PAUSED)
        self.seen = replace(self.seen, vni=vni, vms=vms, network=network, certificates=certificates)
        self._ask_inside()
        self.seen = self._certifying().asked(self.seen)

    def act(self) -> None:
        """All steps. Raises KubeceptionError."""
        self._check()
        claims = self._claims()
        self.seen = replace(self.seen, vni=claims.vni())
        vms = machines(self.cluster, claims.indexes())
        self.seen = replace(self.seen, vms=vms)
        homes = Homes(self.at.api, self.cluster, claims.leases)
        vms = homes.have(vms, self.observed)
        self.seen = replace(self.seen, vms=vms, away=homes.away(vms, self.observed))
        self._ask_inside()
        certifying = self._certifying()
        self.seen = certifying.asked(self.seen)
        self.at.api.apply(namespace(self.cluster), self.observed.namespace)
        facts = self._facts()
        wanted = [*self._shared(facts), *self._machines(facts)]
        self.seen = certifying.give(certifying.turn(self.seen))
        self._prune(wanted)
        claims.release(self.observed.there)
        self._furnish()

    def _certifying(self) -> Certifying:
        return Certifying(self.at.api, self.at.doors.authorities, self.at.pods, self.cluster, self.observed, self._when)

    @property
    def _when(self) -> When:
        return When(self.at.renew_at, self.at.now().timestamp())

    def _claims(self) -> Claims:
        return Claims(self.at.api, self.cluster, self.observed.claims)

    def _check(self) -> None:
        """What cannot be done, before anything is done. Raises BadInput and HarnessError."""
        self.at.doors.giantnetes.guest(self.cluster)
        found = self.observed.namespace
        if found is None:
            return
        name, metadata = self.cluster.namespace, found["metadata"]
        if not ours(found, self.cluster.uid):
            raise HarnessError(
                f"the namespace {name} is there already, and not of this cluster", hint=f"kubectl get namespace {name}"
            )
        if "deletionTimestamp" in metadata:
            raise HarnessError(f"the namespace {name} is being deleted", hint="it is made anew when it is gone")
        was = metadata.get("annotations", {}).get(FIXED)
        if was is not None and was != (wanted := namespace(self.cluster)["metadata"]["annotations"][FIXED]):
            raise BadInput(f"spec: {', '.join(fixed(self.cluster))} cannot be changed: they are {was}, and not {wanted}")

    def _facts(self) -> Facts:
        doors, vms = self.at.doors, self.seen.vms
        values = {vm.name: doors.values(self.cluster, vms, vm) for vm in vms}
        try:
            store = doors.network.ensure(self.cluster, self.seen.vni)
        except HarnessError as error:
            self.seen = replace(self.seen, network=Verdict(False, Reason.FAILED, _message(error)))
            raise
        self.seen = replace(self.seen, network=READY)
        try:
            issuer = doors.authorities.ensure(self.cluster, vms)
        except HarnessError as error:
            self.seen = replace(self.seen, certificates=Verdict(False, Reason.FAILED, _message(error)))
            raise
        self.seen = replace(self.seen, certificates=READY)
        return Facts(doors.giantnetes, self.seen.vni, issuer, store, values)

    def _shared(self, facts: Facts) -> list[Document]:
        wanted = [each for each in shared(self.cluster, facts) if each["kind"] != "Namespace"]
        for each in wanted:
            self.at.api.apply(each, self.observed.of(each))
        return wanted

    def _machines(self, facts: Facts) -> list[Document]:
        """Apply those whose turn it is. All that are wanted, so that no other is pruned."""
        found: list[Document] = []
        turn = Turn(self.cluster, self.seen, self.observed.deployments, self._drained)
        behind: list[str] = []
        for vm in self.seen.vms:
            documents = machine(self.cluster, vm, facts)
            if there := self.observed.deployments.get(vm.name):
                self._drain().call_off(vm.name, there)
            found += documents
            behind += [vm.name] if turn.is_behind(vm, documents[-1]) else []
            if turn.has_come(vm, documents[-1]):
                for each in documents:
                    self.at.api.apply(each, self.observed.of(each))
                self.seen = replace(self.seen, started=self.seen.started | {vm.name})
        self.seen = replace(self.seen, behind=tuple(behind))
        return found

    def _drained(self, vm: Vm) -> bool:
        """Whether a machine that runs may end. A master has nothing that could go elsewhere."""
        if vm.role is Role.MASTER or (at := self._master()) is None:
            return True
        try:
            return self.at.inside.drained(self.cluster, at, vm.name)
        except HarnessError as error:
            self.seen = replace(self.seen, inside=Answers(self.seen.inside.nodes, _message(error)))
            return False

    def _prune(self, wanted: list[Document]) -> None:
        """What is no longer wanted. What a machine runs with stays as long as the machine does."""
        keep = {key(each) for each in wanted} | {("Secret", f"{vm.name}-token") for vm in self.seen.vms}
        running = {pod.vm for pod in self.observed.running}
        for found, document in self.observed.objects.items():
            vm = document["metadata"]["labels"].get(VM, "")
            may_go = self._drain().is_over(vm, document) if found[0] == "Deployment" and found not in keep else vm not in running
            if found not in keep and may_go:
                kind, name = found
                self.at.api.delete(f"{collection(self.cluster.name, kind)}/{name}", document["metadata"]["uid"])

    def _drain(self) -> Drain:
        return Drain(self.at.api, self.at.inside, self.cluster, self._master(), self.at.now())

    def _master(self) -> IPv4Address | None:
        """Where the API inside can be asked."""
        pods = [self.seen.pods[vm.name] for vm in self.seen.vms if vm.role is Role.MASTER and vm.name in self.seen.pods]
        return next((pod.address for pod in pods if pod.ready and not pod.leaving and pod.address), None)

    def _ask_inside(self) -> None:
        if (at := self._master()) is None:
            return
        try:
            nodes = self.at.inside.nodes(self.cluster, at)
        except HarnessError as error:
            self.seen = replace(self.seen, inside=Answers(problem=_message(error)))
        else:
            self.seen = replace(self.seen, inside=Answers(nodes))

    def _furnish(self) -> None:
        """Add-ons, and nodes without a machine, once the API inside answers. That they fail is told, and no reason to end."""
        at, nodes = self._master(), self.seen.inside.nodes
        if at is None or self.seen.inside.problem:
            return
        wanted = {vm.name for vm in self.seen.vms} | self.observed.there
        try:
            if calm(self.cluster, self.at.now()):
                self.at.inside.apply(self.cluster, at, addons.objects(self.cluster, self.seen.vms, self.at.addons_image))
            for name in sorted(set(nodes) - wanted):
                self.at.inside.forget(self.cluster, at, name)
            well = (vm.name for vm in self.seen.vms if self.seen.phase(self.cluster, vm) is VmPhase.READY)
            self.at.inside.admit(self.cluster, at, {*well} - {*self.seen.behind})
        except HarnessError as error:
            self.seen = replace(self.seen, inside=Answers(nodes, _message(error), Reason.ADDONS))


def _is_leaving(document: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in document["metadata"]


def _refused(document: Mapping[str, Any], error: BadInput, now: datetime) -> Status:
    """The status of a cluster that cannot be. What was seen of it before stays."""
    known = document.get("status", {})
    before = [Condition.read(each) for each in known.get("conditions", ())]
    generation = document["metadata"].get("generation", 0)
    verdicts = {About.PROGRESSING: Verdict(False, Reason.INVALID, error.message)}
    if not any(each.about is About.READY for each in before):
        verdicts[About.READY] = Verdict(False, Reason.INVALID)
    conditions = told(before, verdicts, generation, rfc3339(now))
    return Status(Phase.FAILED, conditions, known.get("vni", 0), (), known.get("endpoint", ""), generation)


def _message(error: KubeceptionError) -> str:
    return error.message + (f" ({error.hint})" if error.hint and not isinstance(error, Refused) else "")
