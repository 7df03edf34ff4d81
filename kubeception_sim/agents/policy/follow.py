"""From what the API has to what the kernel does: level-triggered, and the last table stays when the API goes."""

import logging
import threading
import time
from typing import Any, Protocol

import httpx2

from kubeception_sim.agents.api import Mirror, Object
from kubeception_sim.agents.policy import kernel
from kubeception_sim.agents.policy.objects import read_namespaces, read_pods, read_policy
from kubeception_sim.agents.policy.ruleset import Ruleset, translate

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.05
"""Changes come in crowds: a roll-out is many. They are taken together."""
RESYNC_SECONDS = 10.0
"""How long a table that somebody else removed is missing at most; and how soon what failed is tried again."""


class Table(Protocol):
    """What takes rulesets: the module `kernel`, or a test's."""

    def apply(self, ruleset: Ruleset) -> None:
        """Raises `kernel.Refused`."""

    def tidy(self) -> None:
        """Give up what was in force before the last. Raises `kernel.Refused`."""

    def present(self) -> bool:
        """Raises `kernel.Refused`."""

    def problem(self) -> str:
        """Empty if all is well."""


class Follower:
    """Keeps the table of one node current."""

    def __init__(self, client: httpx2.Client, node: str, table: Table, resync: float = RESYNC_SECONDS) -> None:
        self._node, self._table, self._resync = node, table, resync
        self._changed, self._stop = threading.Event(), threading.Event()
        self._problem, self._is_tidy = "", True
        self.ruleset = Ruleset()
        self.applies, self.apply_seconds, self.failures = 0, 0.0, 0
        self._mirrors = {
            name: Mirror(client, [path], changed=self._changed.set, keep=keep)
            for name, path, keep in (
                ("pods", "/api/v1/pods", _pod),
                ("namespaces", "/api/v1/namespaces", _namespace),
                ("policies", "/apis/networking.k8s.io/v1/networkpolicies", _policy),
            )
        }

    @property
    def problem(self) -> str:
        """Why the policies of now are not enforced; empty while they are. Not the loss of the API: all nodes lose it at once."""
        unlisted = [
            f"{name}: {mirror.problem or 'not listed yet'}" for name, mirror in self._mirrors.items() if mirror.objects() is None
        ]
        if self._problem or unlisted or not self.applies:
            return "\n".join([*([self._problem] if self._problem else []), *unlisted]) or "nothing applied yet"
        return self._table.problem()

    @property
    def api_lost(self) -> bool:
        """Whether what is enforced may be old."""
        return any(mirror.problem for mirror in self._mirrors.values())

    def run(self) -> None:
        """Follow until `stop`. The table stays: a node without its agent keeps its policies."""
        for name, mirror in self._mirrors.items():
            threading.Thread(target=mirror.run, args=(self._stop,), name=name, daemon=True).start()
        while not self._stop.is_set():
            if self._changed.wait(self._resync):
                self._stop.wait(SETTLE_SECONDS)
            self._changed.clear()
            try:
                self._step()
                self._problem = ""
            except (kernel.Refused, KeyError, ValueError) as error:
                self.failures += 1
                self._problem = f"{type(error).__name__}: {error}"
                _log.error("the policies of before stay: %s", self._problem)

    def stop(self) -> None:
        """Let `run` end, from another thread."""
        self._stop.set()
        self._changed.set()

    def _step(self) -> None:
        pods, namespaces, policies = (mirror.objects() for mirror in self._mirrors.values())
        if pods is None or namespaces is None or policies is None:
            return
        read = [read_policy(item) for item in policies]
        ruleset = translate(read, read_namespaces(namespaces), read_pods(pods), self._node)
        if self.applies and ruleset == self.ruleset and self._table.present():
            if not self._is_tidy:
                self._table.tidy()
                self._is_tidy = True
            return
        for policy in read:
            for problem in policy.problems:
                _log.warning("%s/%s: %s", policy.namespace, policy.name, problem)
        started = time.monotonic()
        self._table.apply(ruleset)
        self._is_tidy = False
        self.ruleset, self.apply_seconds = ruleset, time.monotonic() - started
        self.applies += 1
        _log.info("table %d: %d isolated addresses in %.0f ms", self.applies, len(ruleset.isolated), 1000 * self.apply_seconds)


def _pod(item: Object) -> Object:
    spec = item["spec"]
    containers = [
        {"ports": [_some(port, "name", "protocol", "containerPort") for port in container.get("ports") or () if port.get("name")]}
        for container in spec.get("containers") or ()
    ]
    return {
        "metadata": _some(item["metadata"], "name", "namespace", "labels"),
        "spec": {**_some(spec, "nodeName", "hostNetwork"), "containers": containers},
        "status": _some(item.get("status"), "phase", "podIP", "podIPs"),
    }


def _namespace(item: Object) -> Object:
    return {"metadata": _some(item["metadata"], "name", "labels")}


def _policy(item: Object) -> Object:
    return {"metadata": _some(item["metadata"], "name", "namespace"), "spec": item["spec"]}


def _some(item: Object | None, *fields: str) -> dict[str, Any]:
    return {name: item[name] for name in fields if name in item} if item else {}
