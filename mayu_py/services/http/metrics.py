"""What is counted, in Prometheus' text format (version 0.0.4).

The numbers are in the store already, so that a client library would only copy them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mayu_py.core.snapshot import Snapshot
from mayu_py.services.http import views
from mayu_py.store import Status, WorkerStatus

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], int]


def exposition(
    release: str,
    snapshot: Snapshot,
    statuses: Mapping[str, Status],
    counters: Iterable[tuple[str, str, str, int]],
    workers: Sequence[WorkerStatus],
) -> Iterator[str]:
    """All metric families, line by line."""
    yield from _family("mayu_info", "gauge", "The version that runs.", [({"version": release}, 1)])
    counted = [({"worker": worker, "name": name, "reason": reason}, n) for worker, name, reason, n in counters]
    yield from _family("mayu_counted_total", "counter", "Everything that workers count, drops with their reasons.", counted)
    yield from _family("mayu_hosts", "gauge", "Hosts by state and profile.", _hosts(snapshot, statuses))
    yield from _family("mayu_network_addresses", "gauge", "Addresses of a network.", _addresses(snapshot))
    up = [({"worker": worker.worker}, int(worker.ready)) for worker in workers]
    yield from _family("mayu_worker_up", "gauge", "Whether a worker serves.", up)
    restarts = [({"worker": worker.worker}, worker.restarts) for worker in workers]
    yield from _family("mayu_worker_restarts_total", "counter", "How often a worker was started again.", restarts)


def _hosts(snapshot: Snapshot, statuses: Mapping[str, Status]) -> list[Sample]:
    hosts = snapshot.hosts.values()
    found = Counter((views.state_of(host, statuses.get(host.name)).value, host.profile or "") for host in hosts)
    return [({"state": state, "profile": profile}, n) for (state, profile), n in sorted(found.items())]


def _addresses(snapshot: Snapshot) -> list[Sample]:
    return [
        ({"network": network["name"], "use": use}, n)
        for network in views.networks(snapshot)
        for use, n in (("used", len(network["used"])), ("free", network["free"]))
    ]


def _family(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{inside}}} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
