"""What the pod of a machine tells, as the API has it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any

from kubeception_sim.inner.doors import TOKEN_REFUSED
from kubeception_sim.inner.resource import VmPhase
from kubeception_sim.inner.wanted import VM

PKI = "pki"
_OVER = ("Succeeded", "Failed")
# The reasons of the kubelet for which nothing will come of it by itself, or not soon.
_STUCK = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
)
_MESSAGE_LENGTH = 300


@dataclass(frozen=True)
class Pod:
    """One pod. Times in seconds of UTC; `refused` is when the pki step was told last that its token is somebody else's, or 0."""

    vm: str
    uid: str
    created: float
    leaving: bool = False
    over: bool = False
    node: str = ""
    address: IPv4Address | None = None
    prepared: bool = False
    certified: bool = False
    refused: float = 0.0
    ready: bool = False
    problem: str = ""
    name: str = ""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Pod":
        """From the API's."""
        metadata, status = document["metadata"], document.get("status", {})
        steps = {each["name"]: each for each in status.get("initContainerStatuses", ())}
        conditions = {each["type"]: each["status"] == "True" for each in status.get("conditions", ())}
        ended = list(_ended(steps.get(PKI, {})))
        text = status.get("podIP", "")
        return cls(
            metadata["labels"][VM],
            metadata["uid"],
            seconds(metadata["creationTimestamp"]),
            "deletionTimestamp" in metadata,
            status.get("phase") in _OVER,
            document["spec"].get("nodeName", ""),
            IPv4Address(text) if text else None,
            conditions.get("Initialized", False),
            steps.get(PKI, {}).get("state", {}).get("terminated", {}).get("exitCode") == 0,
            max((seconds(each["finishedAt"]) for each in ended if each["exitCode"] == TOKEN_REFUSED), default=0.0),
            conditions.get("Ready", False),
            next(_problems([*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]), ""),
            metadata["name"],
        )

    @property
    def phase(self) -> VmPhase:
        """How far it is."""
        if self.leaving:
            return VmPhase.LEAVING
        if self.ready:
            return VmPhase.READY
        if self.problem or self.over:
            return VmPhase.FAILED
        if not self.node:
            return VmPhase.PENDING
        return VmPhase.BOOTING if self.prepared else VmPhase.PREPARING


def current(pods: Iterable[Pod]) -> dict[str, Pod]:
    """The pod of each machine that counts: the youngest that is neither over nor leaving; if there is none, the youngest."""
    found: dict[str, Pod] = {}
    for pod in sorted(pods, key=lambda pod: (not (pod.over or pod.leaving), pod.created)):
        found[pod.vm] = pod
    return found


def seconds(time: str) -> float:
    """A time of the API (RFC 3339) in seconds of UTC."""
    return datetime.fromisoformat(time).timestamp()


def _ended(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("state", "lastState"):
        if found := status.get(key, {}).get("terminated"):
            yield found


def _problems(statuses: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for status in statuses:
        waiting = status.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in _STUCK:
            continue
        said = next(
            (each.get("message") or f"exit code {each['exitCode']}" for each in _ended(status)), waiting.get("message", "")
        )
        yield f"{status['name']}: {waiting['reason']}: {' '.join(str(said).split())[:_MESSAGE_LENGTH]}"
