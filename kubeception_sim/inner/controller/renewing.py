"""New certificates for machines that run: whose turn it is, and what its pod has to say of it.

Masters come first, and one machine at a time: what is wrong with new certificates then shows at the first of them, while all
others have those of before. The first machine in order whose certificates are not those that are wanted has its turn until it
says that it has them, so a controller that is ended and starts again goes on with the same. Nothing is begun while a machine
starts anew: it gets new ones by that.
"""

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import httpx2

from kubeception_sim.agents.issue.record import fingerprint
from kubeception_sim.inner.allocation import Vm
from kubeception_sim.inner.doors import Held
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.inner.wanted import Start
from kubeception_sim.inner.wanted_pod import VM_PORT

_TIMEOUT = httpx2.Timeout(3.0)


@dataclass(frozen=True)
class When:
    """When certificates are renewed by themselves: after so many per cent of their life. `now` in seconds of UTC."""

    per_cent: int
    now: float

    def is_due(self, cluster: Cluster, held: Held) -> bool:
        """Whether a machine is to have others."""
        if held.rotation != cluster.spec.rotation:
            return True
        return bool(held.until) and self.now >= held.made + (held.until - held.made) * self.per_cent / 100


def turn(cluster: Cluster, vms: Sequence[Vm], held: Mapping[str, Held], when: When) -> Vm | None:
    """The machine whose turn it is, of those that say what they have; None when all have what they should. Pure."""
    return next((vm for vm in vms if vm.name in held and when.is_due(cluster, held[vm.name])), None)


def is_refused(start: Start, held: Held) -> bool:
    """Whether a machine has found this very token to be somebody else's. Pure."""
    return bool(held.refused) and held.wrapper == fingerprint(b64decode(start.wrapped).decode())


class AskedPods:
    """`inner.doors.Pods` over HTTP."""

    def __init__(self, port: int = VM_PORT) -> None:
        self._port = port
        self._client = httpx2.Client(timeout=_TIMEOUT, trust_env=False)

    def held(self, at: IPv4Address) -> Held | None:
        """See `Pods`."""
        try:
            answer = self._client.get(f"http://{at}:{self._port}/certificates")
            return Held(**answer.json()) if answer.is_success else None
        except (httpx2.HTTPError, json.JSONDecodeError, TypeError):
            return None
