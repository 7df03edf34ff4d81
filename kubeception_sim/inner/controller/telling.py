"""What is written for people: the status of a cluster, and events."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kubeception_sim.inner import schema
from kubeception_sim.inner.controller.api import Api, Document
from kubeception_sim.inner.controller.observed import CLUSTERS
from kubeception_sim.inner.resource import Condition, Status
from kubeception_sim.inner.status import News, news

_EVENTS = "default"
"""Where the events of objects without a namespace are."""
_LONGEST = 1000
_ABSENT = {"vni": None, "endpoint": None}


def tell(api: Api, document: Mapping[str, Any], status: Status, now: datetime) -> None:
    """Have the status be so, and say what is new in it. Nothing is written when it is so. Raises HarnessError."""
    before, after = document.get("status", {}), status.document()
    if before == after:
        return
    known = [Condition.read(each) for each in before.get("conditions", ())]
    # Events first: who is ended between the two says it again, rather than never.
    announce(api, document, news(known, status.conditions), now)
    # A list is replaced as a whole (RFC 7396); what is none any more is named. The uid: a later cluster is another one.
    content = {"metadata": {"uid": document["metadata"]["uid"]}, "status": _ABSENT | after}
    api.merge(f"{CLUSTERS}/{document['metadata']['name']}/status", content)


def announce(api: Api, document: Mapping[str, Any], found: Iterable[News], now: datetime) -> None:
    """Make the events. One that is there already stays as it is. Raises HarnessError."""
    for each in found:
        api.create(event(document, each, now))


def event(document: Mapping[str, Any], what: News, now: datetime) -> Document:
    """An event about a cluster. Pure."""
    metadata, time = document["metadata"], rfc3339(now)
    unique = hashlib.sha256(f"{metadata['uid']} {what.reason} {what.message} {time}".encode()).hexdigest()[:16]
    about = {"apiVersion": schema.API_VERSION, "kind": schema.KIND, "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{unique}", "namespace": _EVENTS},
        "involvedObject": about,
        "type": "Warning" if what.is_warning else "Normal",
        "reason": what.reason,
        "message": what.message[:_LONGEST],
        "source": {"component": "kubeception"},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def rfc3339(now: datetime) -> str:
    """A time as the API has it. Pure."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
