"""The rest of `/v1`, and what watches over the server: profiles, networks, counters, workers, snapshot, health, metrics."""

import platform
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from flask import Response, current_app

from mayu_py.config import Config
from mayu_py.core.access import Role
from mayu_py.services.http import metrics, views
from mayu_py.services.http.problems import HttpProblem
from mayu_py.services.http.rest_hosts import view
from mayu_py.services.http.routes import Call, Endpoint, Result
from mayu_py.services.http.schemas import INTEGER, STRING, array, mapping, obj
from mayu_py.store import ReloadOutcome, records

REREAD = "mayu.reread"
"""The application's extension that reads the config again: who wants it -> ReloadOutcome."""
SERVED = "mayu.served"
"""The application's extension that is the Config in service."""

_COUNTER = obj({"worker": STRING, "name": STRING, "reason": STRING, "count": INTEGER})
_WORKER = obj({"worker": STRING, "pid": INTEGER, "ready": {"type": "boolean"}, "restarts": INTEGER, "generation": INTEGER})
_INVENTORY = obj({"revision": INTEGER, "enrolled": mapping(mapping()), "told": mapping(mapping()), "edits": mapping(mapping())})
_SNAPSHOT = obj({"mayu": STRING, "file": STRING, "config": STRING, "templates": mapping(STRING), "inventory": _INVENTORY})
_VERSION = obj({"mayu": STRING, "api": STRING, "python": STRING})


@cache
def release() -> str:
    """The version of this mayu."""
    return version("kubeception")


def profiles(call: Call) -> Result:
    """The profiles of the config."""
    return Result(views.profiles(call.desk.snapshot()))


def networks(call: Call) -> Result:
    """The networks of the config, with the addresses that are used and how many are free."""
    return Result(list(views.networks(call.desk.snapshot())))


def counters(call: Call) -> Result:
    """What every worker has counted, dropped packets with their reasons among it."""
    with call.desk.locked:
        rows = call.desk.store.counters()
    keys = ("worker", "name", "reason", "count")
    return Result([dict(zip(keys, row, strict=True)) for row in rows])


def workers(call: Call) -> Result:
    """The worker processes."""
    with call.desk.locked:
        found = call.desk.store.workers()
    return Result([asdict(worker) for worker in found])


def about(call: Call) -> Result:
    """Which mayu this is."""
    return Result({"mayu": release(), "api": "v1", "python": platform.python_version()})


def snapshot(call: Call) -> Result:
    """All that this worker decides by: the config file and the profiles' templates as it has read them, and the inventory."""
    served: Config = current_app.extensions[SERVED]
    with call.desk.locked:
        inventory = call.desk.store.inventory()
    return Result(
        {
            "mayu": release(),
            "file": str(Path(served.settings.origin.mark.file).absolute()),
            "config": served.text,
            "templates": {name: source.text for name, source in served.sources.items()},
            "inventory": records.of_inventory(inventory),
        }
    )


def reload(call: Call) -> Result:
    """Read the config file again, and run it if it is good."""
    reread = current_app.extensions.get(REREAD)
    if reread is None:
        raise HttpProblem(HTTPStatus.NOT_IMPLEMENTED, "this server reads its config when it starts", hint="start mayu again")
    outcome: ReloadOutcome = reread(call.caller.name)
    if not outcome.accepted:
        hint = f"generation {outcome.generation} goes on serving"
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "\n".join(outcome.problems), hint=hint)
    return Result({"generation": outcome.generation, "changes": dict(outcome.changes)})


def welcome(call: Call) -> Response:
    """Who answers here."""
    return Response(f"this is the admin face of mayu {release()}; /openapi.json describes it\n", content_type="text/plain")


def healthz(call: Call) -> Response:
    """200 as long as this worker answers."""
    return Response("ok\n", content_type="text/plain")


def readyz(call: Call) -> Response:
    """200 when every worker of the server serves, else 503 with the names of those that do not."""
    with call.desk.locked:
        found = call.desk.store.workers()
    missing = [worker.worker for worker in found if not worker.ready]
    if missing or not found:
        raise HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {', '.join(missing) or 'no worker has started'}")
    return Response("ready\n", content_type="text/plain")


def prometheus(call: Call) -> Response:
    """Everything that is counted, for Prometheus."""
    snapshot, statuses = view(call)
    with call.desk.locked:
        counted, working = call.desk.store.counters(), call.desk.store.workers()
    lines = metrics.exposition(release(), snapshot, statuses, counted, working)
    return Response("".join(lines), content_type=metrics.MEDIA_TYPE)


ENDPOINTS = (
    Endpoint("GET", "/v1/profiles", Role.READ, "List profiles", profiles, {200: array(views.PROFILE)}),
    Endpoint("GET", "/v1/networks", Role.READ, "List networks and their addresses", networks, {200: array(views.NETWORK)}),
    Endpoint("GET", "/v1/counters", Role.READ, "What was counted", counters, {200: array(_COUNTER)}),
    Endpoint("GET", "/v1/workers", Role.READ, "The worker processes", workers, {200: array(_WORKER)}),
    Endpoint("GET", "/v1/snapshot", Role.ADMIN, "Config and inventory in service", snapshot, {200: _SNAPSHOT}),
    Endpoint("GET", "/v1/version", Role.READ, "Which mayu this is", about, {200: _VERSION}),
    Endpoint(
        *("POST", "/v1/reload", Role.ADMIN, "Read the config file again", reload),
        {200: obj({"generation": INTEGER, "changes": mapping()})},
        problems=(501,),
    ),
    Endpoint("GET", "/metrics", Role.READ, "Metrics for Prometheus", prometheus, {200: "text/plain"}, tag="watch"),
    Endpoint("GET", "/healthz", None, "Whether this worker answers", healthz, {200: "text/plain"}, tag="watch"),
    Endpoint("GET", "/readyz", None, "Whether every worker serves", readyz, {200: "text/plain"}, problems=(503,), tag="watch"),
    Endpoint("GET", "/", None, "Who answers here", welcome, {200: "text/plain"}, tag="watch"),
)
