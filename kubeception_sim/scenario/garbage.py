"""The steps of `model.garbage`."""

import time
from collections.abc import Mapping
from typing import Any

from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.bringup import OuterCluster
from kubeception_sim.giantnetes.kubectl import Kubectl
from kubeception_sim.inner import schema
from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.inner.resource import Phase, Role, VmPhase
from kubeception_sim.inner.wanted_pod import CLUSTERS
from kubeception_sim.inner.wanted_policies import CONTROLLER
from kubeception_sim.machines import Machine
from kubeception_sim.model.garbage import CompareTraces, GarbageStep, KillController, Moment, NoteTraces
from kubeception_sim.scenario import traces
from kubeception_sim.scenario.clustering import Left

_ASK_SECONDS = 10.0
_POLL_SECONDS = 1.0
_MOST_LINES = 200
_BEGUN = (VmPhase.BOOTING, VmPhase.READY)
_COMMAND = "python3 -m kubeception_sim.inner.controller"
_KILL = f"""
for process in /proc/[0-9]*; do
  case "$(tr '\\0' ' ' <"$process/cmdline" 2>/dev/null)" in "{_COMMAND}"*) kill -KILL "${{process#/proc/}}" && echo killed;; esac
done
"""


def carry_out(step: GarbageStep, outer: OuterCluster, machines: Mapping[str, Machine], noted: list[str], left: Left) -> str:
    """What is wrong when its time is over; empty when it is done. `noted` are the traces that were written down last."""
    match step:
        case NoteTraces():
            noted[:] = traces.take(outer, machines, CLUSTERS)
            return ""
        case CompareTraces():
            return _compare(outer, machines, noted, left)
        case KillController():
            return _kill(step, outer, machines, left)


def late(clusters: list[Mapping[str, Any]], moment: Moment) -> list[str]:
    """The clusters that have not come so far. Pure."""
    return [each["metadata"]["name"] for each in clusters if not _has_come(each, each.get("status", {}), moment)]


def _has_come(document: Mapping[str, Any], status: Mapping[str, Any], moment: Moment) -> bool:
    match moment:
        case Moment.NOW:
            return True
        case Moment.CLAIMED:
            return bool(status.get("vni"))
        case Moment.BOOTING:
            masters = [vm for vm in status.get("vms", ()) if vm["role"] == Role.MASTER]
            return bool(masters) and all(vm["phase"] in _BEGUN for vm in masters)
        case Moment.LEAVING:
            return "deletionTimestamp" in document["metadata"] and status.get("phase") == Phase.DELETING


def _compare(outer: OuterCluster, machines: Mapping[str, Machine], noted: list[str], left: Left) -> str:
    while lines := traces.difference(noted, traces.take(outer, machines, CLUSTERS)):
        if left.seconds() <= 0:
            more = [f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
            return "\n".join([f"{len(lines)} differences", *lines[:_MOST_LINES], *more])
        left.say(lines[0])
        time.sleep(_POLL_SECONDS)
    return ""


def _kill(step: KillController, outer: OuterCluster, machines: Mapping[str, Machine], left: Left) -> str:
    while waiting := late(outer.kubectl.get(schema.RESOURCE, timeout=_ASK_SECONDS)["items"], step.at):
        if left.seconds() <= 0:
            return f"{', '.join(waiting)} is not {step.at}"
        left.say(f"until {', '.join(waiting)} is {step.at}")
        time.sleep(_POLL_SECONDS)
    before = _serving(outer.kubectl)
    kill_controller(machines)
    while not _serving(outer.kubectl) - before:
        if left.seconds() <= 0:
            return "the controller has no successor that is ready"
        left.say("until the controller is back")
        time.sleep(_POLL_SECONDS)
    return ""


def kill_controller(machines: Mapping[str, Machine]) -> None:
    """SIGKILL to its process; the kubelet of its node starts another. Raises HarnessError when there is none to kill."""
    if not any("killed" in each.execute(("bash", "-c", _KILL), timeout=_ASK_SECONDS).stdout for each in machines.values()):
        raise HarnessError("no node runs the controller of inner clusters", hint=f"kubectl -n {NAMESPACE} get pods")


def _serving(kubectl: Kubectl) -> set[str]:
    """The containers of controllers that are ready, by their ids."""
    selector = ",".join(f"{key}={value}" for key, value in CONTROLLER.items())
    pods = kubectl.get(f"--namespace={NAMESPACE}", "pods", f"--selector={selector}", timeout=_ASK_SECONDS)["items"]
    states = [state for pod in pods for state in pod["status"].get("containerStatuses", ())]
    return {state["containerID"] for state in states if state["ready"]}
