"""The part of a pass that is about certificates: what machines have, whose turn it is to have new ones, and tokens for them."""

from dataclasses import dataclass, replace

from kubeception_sim.inner import tokens
from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.controller import renewing
from kubeception_sim.inner.controller.api import Api
from kubeception_sim.inner.controller.observed import Observed
from kubeception_sim.inner.doors import Authorities, Pods
from kubeception_sim.inner.pods import Pod
from kubeception_sim.inner.resource import Cluster, VmPhase
from kubeception_sim.inner.status import Seen
from kubeception_sim.inner.wanted import ROTATION, Start, token

_STOLEN = "its token was used by somebody else, who may have its certificates"


@dataclass(frozen=True)
class Certifying:
    """Of one cluster, in one pass. Each step returns what was seen with what it has found. All raise HarnessError."""

    api: Api
    authorities: Authorities
    pods: Pods
    cluster: Cluster
    observed: Observed
    when: renewing.When

    def asked(self, seen: Seen) -> Seen:
        """With what the machines that run say of their certificates."""
        pods = {vm.name: seen.pods[vm.name] for vm in seen.vms if vm.name in seen.pods}
        said = {name: self.pods.held(pod.address) for name, pod in pods.items() if pod.ready and pod.address}
        return replace(seen, held={name: held for name, held in said.items() if held})

    def turn(self, seen: Seen) -> Seen:
        """With the machine that is to have new ones, while nobody starts anew."""
        if seen.behind or any(seen.phase(self.cluster, vm) is not VmPhase.READY for vm in seen.vms):
            return seen
        found = renewing.turn(self.cluster, seen.vms, seen.held, self.when)
        return replace(seen, renewing=found.name if found else "")

    def give(self, seen: Seen) -> Seen:
        """A token for each machine that needs one, and none for those that do not; with the machines whose token was stolen."""
        alarms: dict[str, str] = {}
        for vm in seen.vms:
            there = self.observed.objects.get(("Secret", f"{vm.name}-token"))
            start, pod = tokens.read(there) if there else None, self.observed.pods.get(vm.name)
            match self._judged(seen, vm, start, pod):
                case tokens.Verdict.MAKE if pod is not None:
                    self._give(vm, pod, start, is_running=vm.name == seen.renewing)
                case tokens.Verdict.SPEND if start is not None:
                    self.api.apply(token(self.cluster, vm, replace(start, wrapped="")))
                case tokens.Verdict.ALARM:
                    alarms[vm.name] = _STOLEN
                case _:
                    pass
        return replace(seen, alarms={**seen.alarms, **alarms})

    def _judged(self, seen: Seen, vm: Vm, start: Start | None, pod: Pod | None) -> tokens.Verdict:
        if vm.name != seen.renewing or pod is None:
            return tokens.judge(start, pod, self.when.now)
        held = seen.held[vm.name]
        refused = held.refused if start and start.wrapped and renewing.is_refused(start, held) else 0
        return tokens.renew(start, pod, self.cluster.spec.rotation, self.when.now, refused)

    def _give(self, vm: Vm, pod: Pod, before: Start | None, *, is_running: bool) -> None:
        wrapped, now = self.authorities.token(self.cluster, vm), int(self.when.now)
        is_renewed = before is not None and before.pod == pod.uid
        rotation = self.cluster.spec.rotation
        self.api.apply(token(self.cluster, vm, Start(pod.uid, now, now + wrapped.seconds, is_renewed, wrapped.token, rotation)))
        if is_running:
            # A kubelet looks at what it has mounted once a minute, and at once when something about the pod changes.
            note = {"metadata": {"uid": pod.uid, "annotations": {ROTATION: f"{rotation}@{now}"}}}
            self.api.merge(f"/api/v1/namespaces/{self.cluster.namespace}/pods/{pod.name}", note)
