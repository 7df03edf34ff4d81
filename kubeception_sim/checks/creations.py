"""How an inner cluster came to be, out of what the outer API and the machines' logs tell afterwards. Pure.

The API's times are whole seconds, of the host's clock; stages of a guest come from the lines of its pod's log, which are finer.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from kubeception_sim.inner.wanted import VM
from kubeception_sim.model.results import Creation, Span

Document = Mapping[str, Any]
_LINE = re.compile(r"^(?:\[\S+\] )?(?P<time>\d{4}-\d\d-\d\dT\S+) .*the guest is at stage (?P<name>[a-z][a-z0-9-]*)")


def creation_of(
    cluster: Document,
    pods: Iterable[Document],
    logs: Mapping[str, str],
    asked: float,
    ready: float | None,
    to_run: Callable[[float], float],
) -> Creation:
    """The spans of a cluster's creation, by machine and then by time.

    `pods` are those of its machines, `logs` the text of `kubectl logs --timestamps` by pod. `to_run` turns seconds of UTC into
    seconds of the run, on which `asked` and `ready` are.
    """
    spans = list(_own(cluster, asked, to_run))
    for pod in sorted(pods, key=lambda each: str(each["metadata"]["labels"][VM])):
        spans += _machine(pod, logs.get(pod["metadata"]["name"], ""), asked, ready, to_run)
    return Creation(cluster["metadata"]["name"], asked, ready, tuple(spans))


def _own(cluster: Document, asked: float, to_run: Callable[[float], float]) -> Iterator[Span]:
    for each in cluster.get("status", {}).get("conditions", ()):
        if each["status"] == "True" and each["type"] not in ("Ready", "Progressing"):
            # A second is cut off, so a change may seem to come before the question.
            yield Span("", each["type"], asked, max(asked, to_run(_utc(each["lastTransitionTime"]))))


def _machine(pod: Document, log: str, asked: float, ready: float | None, to_run: Callable[[float], float]) -> Sequence[Span]:
    metadata, status = pod["metadata"], pod.get("status", {})
    vm = str(metadata["labels"][VM])
    since = {
        each["type"]: to_run(_utc(each["lastTransitionTime"]))
        for each in status.get("conditions", ())
        if each["status"] == "True" and each.get("lastTransitionTime")
    }
    marks = [("waiting", asked), ("scheduling", to_run(_utc(metadata["creationTimestamp"])))]
    if "PodScheduled" in since:
        marks.append(("preparing", since["PodScheduled"]))
    for each in status.get("initContainerStatuses", ()):
        if ended := each.get("state", {}).get("terminated"):
            marks += [
                (f"init {each['name']}", to_run(_utc(ended["startedAt"]))),
                ("preparing", to_run(_utc(ended["finishedAt"]))),
            ]
    for each in status.get("containerStatuses", ()):
        if each["name"] == "vm" and (running := each.get("state", {}).get("running")):
            marks.append(("qemu", to_run(_utc(running["startedAt"]))))
    marks += [(name, to_run(at)) for name, at in stages_of(log)]
    end = since.get("Ready", ready)
    return list(_between(vm, marks, asked, end))


def _between(vm: str, marks: Sequence[tuple[str, float]], asked: float, end: float | None) -> Iterator[Span]:
    """Each mark lasts until the next. Times that were cut to seconds are put in the order in which things happen."""
    at = asked
    ordered = []
    for name, when in marks:
        at = max(at, when)
        ordered.append((name, at))
    last = at if end is None else max(at, end)
    for (name, start), (_, until) in zip(ordered, [*ordered[1:], ("", last)], strict=True):
        if until > start:
            yield Span(vm, name, start, until)


def stages_of(log: str) -> list[tuple[str, float]]:
    """The stages that a machine's log tells of, with seconds of UTC; the first time counts."""
    found: dict[str, float] = {}
    for line in log.splitlines():
        if match := _LINE.match(line):
            found.setdefault(match["name"], _utc(match["time"]))
    return list(found.items())


def _utc(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
