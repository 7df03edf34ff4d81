"""What Flask answers: hosts' own reports, health, and the read-only admin face for the server's own machine."""

from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, abort, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from mayu_py.core.exchange import Accept, Report
from mayu_py.core.hosts import Host, Stage, State
from mayu_py.core.snapshot import Snapshot
from mayu_py.services.desk import Desk
from mayu_py.services.http.replies import client_address, refusal
from mayu_py.store import Status

# What a host may report itself; the stages before are seen from here.
_REPORTABLE = {Stage.SWITCH_ROOT}
EVENTS_AT_ONCE = 1000

boot = Blueprint("boot", __name__)
admin = Blueprint("admin", __name__, url_prefix="/v1")


def application(desk: Desk) -> Flask:
    """The Flask application of one worker."""
    app = Flask("mayu", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it.
    app.extensions["mayu.desk"] = desk
    app.register_blueprint(boot)
    app.register_blueprint(admin)
    app.register_error_handler(HTTPException, _plain)
    return app


def _plain(error: HTTPException) -> tuple[str, int]:
    return f"{error.description}\n", error.code or 500


def _desk() -> Desk:
    desk = current_app.extensions["mayu.desk"]
    assert isinstance(desk, Desk)
    return desk


@boot.get("/healthz")
def healthz() -> str:
    """200 as long as this worker answers."""
    return "ok\n"


@boot.get("/readyz")
def readyz() -> tuple[str, int]:
    """200 when every worker of the server serves, else 503 with the names of those that do not."""
    desk = _desk()
    with desk.locked:
        workers = desk.store.workers()
    missing = [worker.worker for worker in workers if not worker.ready]
    if missing or not workers:
        return f"not ready: {', '.join(missing) or 'no worker has started'}\n", HTTPStatus.SERVICE_UNAVAILABLE
    return "ready\n", HTTPStatus.OK


@boot.put("/host/<ident>/boot_complete")
def boot_complete(ident: str) -> tuple[Any, int]:
    """The host is up. The body may tell what it runs: `{"os_version": "..."}`."""
    told = request.get_json(silent=True)
    version = told.get("os_version") if isinstance(told, dict) else None
    return _report(ident, Stage.RUNNING, os_version=version[:100] if isinstance(version, str) else "")


@boot.put("/host/<ident>/stage/<stage>")
def stage(ident: str, stage: str) -> tuple[Any, int]:
    """The host has come this far."""
    if stage not in _REPORTABLE:
        abort(HTTPStatus.NOT_FOUND, f"a host cannot report the stage {stage!r}")
    return _report(ident, Stage(stage))


@boot.put("/host/<ident>/failed")
def failed(ident: str) -> tuple[Any, int]:
    """The host cannot go on; the body says why."""
    text = request.get_data().decode("utf-8", "replace").replace("\0", "")
    return _report(ident, State.FAILED, text or "the host gave no reason")


def _report(ident: str, what: Stage | State, text: str = "", os_version: str = "") -> tuple[Any, int]:
    desk = _desk()
    answer = desk.consider(Report(client_address(f"{request.remote_addr}:0"), ident, what, text, os_version))
    if not isinstance(answer.reply, Accept):
        status, _, body = refusal(answer.reply)
        desk.count("http.refused", str(status))
        return body, status
    if refused := desk.report(answer):
        return f"{refused[0].message}\n", HTTPStatus.CONFLICT
    return "accepted\n", HTTPStatus.ACCEPTED


@admin.before_request
def only_from_here() -> None:
    """The admin face has no credentials yet, so it is for the server's own machine alone."""
    source = client_address(f"{request.remote_addr}:0")
    own = {network.address for network in _desk().settings.local}
    if source is None or not (source.is_loopback or source in own):
        _desk().count("http.refused", "not-local")
        abort(HTTPStatus.FORBIDDEN, "the admin face answers only on the machine that mayu runs on")


@admin.get("/hosts")
def hosts() -> Response:
    """Every host with its state."""
    snapshot, statuses = _view()
    return jsonify([_as_json(host, statuses) for host in snapshot.hosts.values()])


@admin.get("/hosts/<ident>")
def host(ident: str) -> Response:
    """One host, by serial, uuid or name."""
    snapshot, statuses = _view()
    found = snapshot.by_ident.get(ident) or snapshot.hosts.get(ident)
    if found is None:
        abort(HTTPStatus.NOT_FOUND, f"there is no host {ident!r}")
    return jsonify(_as_json(found, statuses))


@admin.get("/events")
def events() -> Response:
    """The history after `after` (an event's id; 0 by default), oldest first, 1000 at most."""
    after = request.args.get("after", "0")
    if not after.isdecimal() or len(after) > 18:
        abort(HTTPStatus.BAD_REQUEST, "`after` is the id of an event, a whole number")
    desk = _desk()
    with desk.locked:
        found = desk.store.events(int(after), EVENTS_AT_ONCE)
    return jsonify([asdict(event) for event in found])


@admin.get("/counters")
def counters() -> Response:
    """What every worker has counted, dropped packets with their reasons among it."""
    desk = _desk()
    with desk.locked:
        rows = desk.store.counters()
    keys = ("worker", "name", "reason", "count")
    return jsonify([dict(zip(keys, row, strict=True)) for row in rows])


@admin.get("/workers")
def workers() -> Response:
    """The worker processes."""
    desk = _desk()
    with desk.locked:
        found = desk.store.workers()
    return jsonify([asdict(worker) for worker in found])


def _view() -> tuple[Snapshot, Mapping[str, Status]]:
    desk = _desk()
    with desk.locked:
        return desk.snapshot(), desk.store.statuses()


def _as_json(host: Host, statuses: Mapping[str, Status]) -> dict[str, Any]:
    status = statuses.get(host.name)
    fresh = State.CONFIGURED if host.profile else State.DISCOVERED
    return {
        "name": host.name,
        "serial": host.serial,
        "uuid": host.uuid,
        "macs": list(host.macs),
        "address": str(host.address),
        "addresses": {network: str(address) for network, address in host.addresses.items()},
        "profile": host.profile,
        "state": status.state if status else fresh,
        "stage": status.stage if status else None,
        "since": status.since if status else None,
        "origin": host.origin,
    }
