"""What Flask answers on the boot face: hosts' own reports, health, Mayu's old paths, and a look at `/v1` for the own machine."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, abort, current_app, request
from werkzeug.exceptions import HTTPException

from mayu_py.core.access import Credentials, Role
from mayu_py.core.exchange import Accept, Report
from mayu_py.core.hosts import Stage, State
from mayu_py.core.render import Renderer
from mayu_py.errors import Forbidden
from mayu_py.services.desk import Desk
from mayu_py.services.http import admin, discovery, old_boot, problems
from mayu_py.services.http.replies import client_address, refusal

# What a host may report itself; the stages before are seen from here.
_REPORTABLE = {Stage.SWITCH_ROOT}
# What the server's own machine may look at here, so that nothing but this port is needed for it.
_LOOKS = frozenset({"/v1/hosts", "/v1/hosts/<ident>", "/v1/events", "/v1/counters", "/v1/workers"})

boot = Blueprint("boot", __name__)


class Text(Response):
    """What is a string here is text: it may repeat what somebody sent, and no browser shall take that for a page."""

    default_mimetype = "text/plain"


def application(desk: Desk, renderer: Renderer) -> Flask:
    """The Flask application of one worker."""
    app = admin.base(desk)
    app.response_class = Text
    app.register_blueprint(boot)
    app.register_blueprint(old_boot.blueprint)
    app.register_blueprint(discovery.blueprint)
    access = desk.settings.admin.access
    for endpoint in admin.ENDPOINTS:
        if endpoint.method == "GET" and endpoint.path in _LOOKS:
            admin.register(app, endpoint, desk, renderer, access, Role.READ)
    app.before_request(only_from_here)
    app.register_error_handler(HTTPException, _plain)
    return app


def only_from_here() -> None:
    """What is not for machines is for the server's own, and only while nobody has credentials: this port has no TLS for them."""
    if not request.path.startswith("/v1/"):
        return
    face = _desk().settings.admin
    if not face.access.is_open:
        raise Forbidden("with tokens or client certificates, /v1 is on the admin face only", hint=f"ask port {face.port}")
    if not request.environ.get(admin.CREDENTIALS, Credentials()).local:
        raise Forbidden("without tokens, /v1 answers only on the machine that mayu runs on", hint=f"ask port {face.port}")


def _plain(error: HTTPException) -> tuple[str, int]:
    return f"{problems.told(error, request.path)}\n", error.code or 500


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
@boot.put("/admin/host/<ident>/boot_complete")
def boot_complete(ident: str) -> tuple[Any, int]:
    """The host is up. The body may tell what it runs: `{"os_version": "..."}`, or as Mayu's client does."""
    told = request.get_json(force=True, silent=True)
    told = told if isinstance(told, dict) else {}
    versions = (told.get(key) for key in ("os_version", "FlatcarVersion", "CoreOSVersion"))
    version = next((version for version in versions if isinstance(version, str)), "")
    return _report(ident, Stage.RUNNING, os_version=version[:100])


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
