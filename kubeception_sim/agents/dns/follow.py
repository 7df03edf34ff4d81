"""From what the API has to the zone that is served: level-triggered, and the last zone stays when the API goes."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from kubeception_sim.agents.api import Mirror, Object
from kubeception_sim.agents.dns.zone import SERVICE_NAME, TOLERATE_UNREADY, Zone, records

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.05
"""Changes come in crowds: a roll-out is many. They are taken together."""
POLL_SECONDS = 1.0


class Follower:
    """Keeps a zone current. `publish` is given each new zone, from a thread of this."""

    def __init__(self, client: httpx2.Client, domain: str, publish: Callable[[Zone], None]) -> None:
        self._domain, self._publish = domain, publish
        self._changed, self._stop = threading.Event(), threading.Event()
        self._serial = int(time.time()) % (1 << 31) + 1
        self.build_seconds = 0.0
        self.builds = 0
        slices = [f"/apis/discovery.k8s.io/{version}/endpointslices" for version in ("v1", "v1beta1")]
        self._services = Mirror(client, ["/api/v1/services"], changed=self._changed.set, keep=_service)
        self._slices = Mirror(client, slices, changed=self._changed.set, keep=_slice)
        self._pods = Mirror(client, ["/api/v1/pods"], changed=self._changed.set, keep=_pod)

    @property
    def mirrors(self) -> Mapping[str, Mirror]:
        """By what they hold."""
        return {"services": self._services, "endpointslices": self._slices, "pods": self._pods}

    def start(self) -> None:
        """Start to follow, in daemon threads."""
        for name, mirror in self.mirrors.items():
            threading.Thread(target=mirror.run, args=(self._stop,), name=name, daemon=True).start()
        threading.Thread(target=self._build, name="zone", daemon=True).start()

    def stop(self) -> None:
        """Let the threads end."""
        self._stop.set()
        self._changed.set()

    def _build(self) -> None:
        # An API without a single object changes nothing by its first list: hence the poll.
        while not self._stop.is_set():
            if not self._changed.wait(POLL_SECONDS) and self.builds:
                continue
            self._stop.wait(SETTLE_SECONDS)
            self._changed.clear()
            services, slices, pods = (mirror.objects() for mirror in self.mirrors.values())
            if services is None or slices is None or pods is None:
                continue
            started = time.monotonic()
            self._serial += 1
            zone = records(services, slices, pods, self._domain, self._serial)
            self.builds, self.build_seconds = self.builds + 1, time.monotonic() - started
            self._publish(zone)
            _log.info("zone %d: %d names in %.0f ms", zone.serial, len(zone.names), 1000 * self.build_seconds)


def _service(item: Object) -> Object:
    annotations = item["metadata"].get("annotations") or {}
    kept = {TOLERATE_UNREADY: annotations[TOLERATE_UNREADY]} if TOLERATE_UNREADY in annotations else {}
    fields = ("type", "clusterIP", "clusterIPs", "externalName", "publishNotReadyAddresses")
    spec: dict[str, Any] = _some(item.get("spec"), *fields)
    spec["ports"] = [_some(port, "name", "protocol", "port") for port in (item.get("spec") or {}).get("ports") or ()]
    return {"metadata": {**_names(item), "annotations": kept}, "spec": spec}


def _slice(item: Object) -> Object:
    label = (item["metadata"].get("labels") or {}).get(SERVICE_NAME)
    return {
        "metadata": {**_names(item), "labels": {SERVICE_NAME: label} if label else {}},
        "ports": [_some(port, "name", "protocol", "port") for port in item.get("ports") or ()],
        "endpoints": [_some(each, "addresses", "hostname", "conditions") for each in item.get("endpoints") or ()],
    }


def _pod(item: Object) -> Object:
    return {"metadata": _names(item), "status": _some(item.get("status"), "phase", "podIP", "podIPs")}


def _names(item: Object) -> dict[str, Any]:
    return _some(item["metadata"], "name", "namespace")


def _some(item: Object | None, *fields: str) -> dict[str, Any]:
    return {field: item[field] for field in fields if field in item} if item else {}
