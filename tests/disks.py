"""The part of a kubelet that ends what removes disks: a pod that sweeps has swept as soon as its node is Ready."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.controller.api import Api
from kubeception_sim.inner.controller.placing import NODES
from kubeception_sim.inner.controller.sweeping import PODS, PURPOSE
from kubeception_sim.inner.placement import is_ready
from tests.api_server import Kubernetes

_STEP_SECONDS = 0.05


@contextmanager
def sweeping(kubernetes: Kubernetes) -> Iterator[None]:
    """For the length of a block, in a thread."""
    stop = threading.Event()

    def work() -> None:
        with closing(kubernetes.client()) as client:
            while not stop.wait(_STEP_SECONDS):
                # Who is deleted between two questions was not there.
                with suppress(HarnessError):
                    _sweep(kubernetes, Api(client))

    thread = threading.Thread(target=work, name="sweeping")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _sweep(kubernetes: Kubernetes, api: Api) -> None:
    for pod in api.list(PODS, PURPOSE):
        node = api.get(f"{NODES}/{pod['spec']['nodeName']}")
        if node and is_ready(node) and pod["status"].get("phase") != "Succeeded":
            kubernetes.tell(api, pod["metadata"]["namespace"], pod["metadata"]["name"], {"phase": "Succeeded"})
