"""The controller of inner clusters dies, without a word."""

from typing import TYPE_CHECKING, Any

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.allocation import NAMESPACE
from kubeception_sim.inner.controller_pod import NAME
from kubeception_sim.inner.wanted_policies import CONTROLLER

if TYPE_CHECKING:
    from kubeception_sim.scenario.steps import Bench

_PROGRAM = "^python3 -m kubeception_sim[.]inner[.]controller"
_SECONDS = 30.0


def kill_controller(bench: "Bench") -> str:
    """SIGKILL to its process, on the machine that runs it: whose name it returns. The kubelet there starts another.

    Raises HarnessError when there is none to kill.
    """
    assert bench.outer is not None
    labels = ",".join(f"{key}={value}" for key, value in CONTROLLER.items())
    found: list[Any] = bench.outer.kubectl.get("pods", "--namespace", NAMESPACE, "--selector", labels)["items"]
    nodes: list[str] = [each["spec"]["nodeName"] for each in found if each["status"]["phase"] == "Running"]
    if not nodes:
        raise HarnessError(f"there is no {NAME} that runs", hint=f"kubectl -n {NAMESPACE} describe pods -l {labels}")
    bench.machines[nodes[0]].execute(("pkill", "--signal", "KILL", "--full", _PROGRAM), timeout=_SECONDS)
    return nodes[0]
