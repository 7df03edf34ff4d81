"""The API of an inner cluster (`inner.doors.Inside`), at the pod of a master, as an administrator for some hours.

The pod's address is what is connected to; the name that its certificate must have is `api.ID.DOMAIN`, so that no other cluster
and nobody else in the network can answer.
"""

import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx2

from kubeception_sim.errors import HarnessError
from kubeception_sim.inner.certificates import ADMIN_HOURS, Administrator
from kubeception_sim.inner.controller import upgrading
from kubeception_sim.inner.controller.api import Api, Document
from kubeception_sim.inner.resource import Cluster
from kubeception_sim.inner.wanted import fingerprint
from kubeception_sim.inner.wanted_pod import API_PORT

NOTE = "kubeception-addons"
"""A ConfigMap in kube-system: what was applied last, as a fingerprint."""
_NODES, _PODS = "/api/v1/nodes", "/api/v1/pods"
_OVER = ("Succeeded", "Failed")
_MIRROR = "kubernetes.io/config.mirror"
"""On a pod of a file of its node."""
# An API server on an emulated processor takes seconds for its first answers.
_TIMEOUT = httpx2.Timeout(20.0, connect=5.0)
_FRESH_SECONDS = ADMIN_HOURS * 3600 / 2


@dataclass(frozen=True)
class _Way:
    client: httpx2.Client
    api: Api
    at: IPv4Address
    made: float


class InsideApi:
    """`administrator` issues a certificate for a cluster (`ClusterPki.administrator`). Ways in are kept."""

    def __init__(
        self,
        administrator: Callable[[str], Administrator],
        domain: str,
        *,
        port: int = API_PORT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._administrator, self._domain, self._port, self._clock = administrator, domain, port, clock
        self._lock = threading.Lock()
        self._ways: dict[str, _Way] = {}

    def nodes(self, cluster: Cluster, at: IPv4Address) -> Mapping[str, bool]:
        """See `Inside`. Raises HarnessError."""
        return {each["metadata"]["name"]: _is_ready(each) for each in self._to(cluster, at).list(_NODES)}

    def apply(self, cluster: Cluster, at: IPv4Address, objects: Sequence[Mapping[str, Any]]) -> None:
        """See `Inside`. Raises HarnessError."""
        api, wanted = self._to(cluster, at), _note(objects)
        there = api.get(api.path(wanted))
        if there is not None and there.get("data") == wanted["data"]:
            return
        for each in objects:
            api.apply(each)
        # Last: it says that all of them are there.
        api.apply(wanted)

    def drain(self, cluster: Cluster, at: IPv4Address, node: str) -> tuple[str, ...]:
        """See `Inside`. Raises HarnessError."""
        api = self._to(cluster, at)
        if not self._close(api, node, closed=True):
            return ()
        pods = [each for each in api.list(_PODS) if each["spec"].get("nodeName") == node and leaves(each)]
        for each in pods:
            if "deletionTimestamp" not in each["metadata"]:
                api.evict(each)
        return tuple(f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in pods)

    def welcome(self, cluster: Cluster, at: IPv4Address, node: str) -> None:
        """See `Inside`. Raises HarnessError."""
        self._close(self._to(cluster, at), node, closed=False)

    def _close(self, api: Api, node: str, *, closed: bool) -> bool:
        """Whether there is such a node."""
        there = api.get(f"{_NODES}/{node}")
        if there and there["spec"].get("unschedulable", False) is not closed:
            api.merge(
                f"{_NODES}/{node}", {"metadata": {"uid": there["metadata"]["uid"]}, "spec": {"unschedulable": closed or None}}
            )
        return there is not None

    def forget(self, cluster: Cluster, at: IPv4Address, node: str) -> None:
        """See `Inside`. Raises HarnessError."""
        api = self._to(cluster, at)
        if there := api.get(f"{_NODES}/{node}"):
            api.delete(f"{_NODES}/{node}", there["metadata"]["uid"])

    def drained(self, cluster: Cluster, at: IPv4Address, node: str) -> bool:
        """See `Inside`. Raises HarnessError."""
        return upgrading.drained(self._to(cluster, at), node, datetime.now(UTC))

    def admit(self, cluster: Cluster, at: IPv4Address, nodes: Collection[str]) -> None:
        """See `Inside`. Raises HarnessError."""
        upgrading.admit(self._to(cluster, at), nodes)

    def drop(self, uid: str) -> None:
        """Nothing is kept of a cluster that is gone."""
        with self._lock:
            if way := self._ways.pop(uid, None):
                way.client.close()

    def _to(self, cluster: Cluster, at: IPv4Address) -> Api:
        with self._lock:
            known = self._ways.get(cluster.uid)
        if known and known.at == at and self._clock() - known.made < _FRESH_SECONDS:
            return known.api
        self.drop(cluster.uid)
        client = httpx2.Client(
            base_url=f"https://{at}:{self._port}",
            verify=trusting(self._administrator(cluster.name)),
            timeout=_TIMEOUT,
            trust_env=False,
        )
        api = Api(client, {"sni_hostname": f"api.{cluster.name}.{self._domain}"})
        with self._lock:
            self._ways[cluster.uid] = _Way(client, api, at, self._clock())
        return api


def trusting(who: Administrator) -> ssl.SSLContext:
    """A context that believes the cluster's authority alone, and has the administrator's certificate. Raises HarnessError."""
    context = ssl.create_default_context(cadata=who.ca)
    # OpenSSL takes a key from a file only.
    with tempfile.TemporaryDirectory(prefix="kubeception-") as folder:
        pair = Path(folder) / "pair.pem"
        pair.touch(0o600)
        pair.write_text(who.cert + who.key)
        try:
            context.load_cert_chain(pair)
        except OSError as error:
            raise HarnessError(f"the administrator's certificate cannot be used: {error}") from error
    return context


def leaves(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has to leave before its node goes: not one that is over, is of the node itself, or of a DaemonSet. Pure."""
    metadata = pod["metadata"]
    stays = _MIRROR in metadata.get("annotations", {}) or any(
        each["kind"] == "DaemonSet" for each in metadata.get("ownerReferences", ())
    )
    return not stays and pod.get("status", {}).get("phase") not in _OVER


def _note(objects: Sequence[Mapping[str, Any]]) -> Document:
    metadata = {"name": NOTE, "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"applied": fingerprint(list(objects))}}


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
