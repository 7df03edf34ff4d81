"""From what the API has to what HAProxy does: level-triggered, and the last configuration stays when the API goes."""

import logging
import threading
from collections.abc import Callable, Mapping

import httpx2

from kubeception_sim.agents.api import Mirror, Object
from kubeception_sim.agents.edge import config, ingress
from kubeception_sim.agents.edge.gates import gates, kept
from kubeception_sim.agents.edge.ingress import Wanted
from kubeception_sim.agents.edge.proxy import Proxy, Refused

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.2
"""Changes come in crowds, and each reload costs a process: they are taken together."""
RESYNC_SECONDS = 10.0

Make = Callable[[Mapping[str, tuple[Object, ...]]], Wanted]


class Follower:
    """Keeps a proxy as `make` wants it, of what the mirrors hold. Made by `of_clusters` and `of_ingresses`."""

    def __init__(self, proxy: Proxy, make: Make) -> None:
        self._proxy, self._make = proxy, make
        self._changed, self._stop = threading.Event(), threading.Event()
        self._mirrors: dict[str, Mirror] = {}
        self._problem = "nothing applied yet"
        self._told: tuple[str, ...] = ()
        self.failures = 0

    @classmethod
    def of_clusters(cls, client: httpx2.Client, proxy: Proxy, domain: str) -> "Follower":
        """In the outer cluster: the pods of machines."""
        follower = cls(proxy, lambda found: Wanted(config.render(gates(found["pods"]), domain, str(proxy.folder))))
        follower._mirrors["pods"] = Mirror(client, ["/api/v1/pods"], changed=follower._changed.set, keep=kept)
        return follower

    @classmethod
    def of_ingresses(cls, client: httpx2.Client, proxy: Proxy) -> "Follower":
        """In an inner cluster: Ingresses, and what they name."""
        names = ("ingresses", "services", "endpoints", "secrets")
        follower = cls(proxy, lambda found: ingress.render(*(found[each] for each in names), folder=str(proxy.folder)))
        paths = ("/apis/networking.k8s.io/v1/ingresses", "/api/v1/services", "/api/v1/endpoints", "/api/v1/secrets")
        for name, path in zip(names, paths, strict=True):
            only = {"fieldSelector": "type=kubernetes.io/tls"} if name == "secrets" else {}
            follower._mirrors[name] = Mirror(client, [path], changed=follower._changed.set, keep=_whole, only=only)
        return follower

    @property
    def problem(self) -> str:
        """Why what is wanted now is not so; empty while it is. Not the loss of the API: all lose it at once."""
        return self._problem or self._proxy.problem

    @property
    def api_lost(self) -> bool:
        """Whether what is served may be old."""
        return any(mirror.problem for mirror in self._mirrors.values())

    def run(self) -> None:
        """Follow until `stop`."""
        for name, mirror in self._mirrors.items():
            threading.Thread(target=mirror.run, args=(self._stop,), name=name, daemon=True).start()
        while not self._stop.is_set():
            if self._changed.wait(RESYNC_SECONDS):
                self._stop.wait(SETTLE_SECONDS)
            self._changed.clear()
            try:
                self._step()
            except (Refused, OSError, KeyError, TypeError, ValueError) as error:
                self.failures += 1
                self._problem = f"{type(error).__name__}: {error}"
                _log.error("the entrance of before stays: %s", self._problem)

    def stop(self) -> None:
        """Let `run` end, from another thread."""
        self._stop.set()
        self._changed.set()

    def _step(self) -> None:
        found = {name: mirror.objects() for name, mirror in self._mirrors.items()}
        known = {name: objects for name, objects in found.items() if objects is not None}
        if len(known) < len(found):
            return
        wanted = self._make(known)
        before = self._proxy.reloads
        told = (*wanted.problems, *self._proxy.apply(wanted))
        self._problem = ""
        if self._proxy.reloads != before:
            _log.info("reload %d", self._proxy.reloads)
        for problem in told if told != self._told else ():
            _log.warning("%s", problem)
        self._told = told


def _whole(item: Object) -> Object:
    metadata = {name: item["metadata"][name] for name in ("namespace", "name", "annotations") if name in item["metadata"]}
    return {"metadata": metadata, **{name: item[name] for name in ("spec", "subsets", "data") if name in item}}
