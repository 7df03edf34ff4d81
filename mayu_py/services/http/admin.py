"""The admin face: a Flask application made of the table of endpoints. Every request is authorised, checked and answered here."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from ignition.document import DocumentError
from mayu_py.config import Config
from mayu_py.core.access import Access, Caller, Credentials, Role, identify
from mayu_py.core.render import Renderer
from mayu_py.errors import MayuError
from mayu_py.services.desk import Desk
from mayu_py.services.http import old_admin, openapi, problems, rest_hosts, rest_server
from mayu_py.services.http.problems import HttpProblem
from mayu_py.services.http.routes import Call, Endpoint, Query, Result
from mayu_py.services.http.schemas import mapping
from mayu_py.services.http.schemas import problems as wrongs

# Where the server puts what a request says of its sender: Credentials, in the WSGI environment.
CREDENTIALS = "mayu.credentials"
# The application's extension that takes a new config file's text and who wants it, if there is one.
RELOAD = old_admin.RELOAD
REREAD = rest_server.REREAD
JSON_TYPES = ("application/json", "application/merge-patch+json")
ANYONE = Caller("anyone", Role.READ)


def describe(call: Call) -> Result:
    """This document."""
    return Result(openapi.document(ENDPOINTS, rest_server.release()))


DESCRIPTION = Endpoint("GET", "/openapi.json", None, "This document", describe, {200: mapping()}, tag="watch")
ENDPOINTS: tuple[Endpoint, ...] = (*rest_hosts.ENDPOINTS, *rest_server.ENDPOINTS, *old_admin.ENDPOINTS, DESCRIPTION)


def application(desk: Desk, served: Config) -> Flask:
    """The admin face of one worker."""
    app = base(desk)
    app.extensions[rest_server.SERVED] = served
    access = desk.settings.admin.access
    for endpoint in ENDPOINTS:
        register(app, endpoint, desk, served.renderer, access)
    app.register_error_handler(HTTPException, _http_error)
    return app


def base(desk: Desk) -> Flask:
    """What both faces have: JSON as it was written, and errors that reach the one guard."""
    app = Flask("mayu", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask's default provider has it.
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.extensions["mayu.desk"] = desk
    app.register_error_handler(MayuError, _error)
    app.register_error_handler(DocumentError, _error)
    return app


def register(app: Flask, endpoint: Endpoint, desk: Desk, renderer: Renderer, access: Access, most: Role = Role.ADMIN) -> None:
    """Serve an endpoint to those who may; nobody has more than the role `most` here."""

    def view(**path: str) -> Response:
        caller = ANYONE
        if endpoint.role is not None:
            caller = identify(request.environ.get(CREDENTIALS, Credentials()), access)
            caller = caller if most.includes(caller.role) else Caller(caller.name, most)
            caller.demand(endpoint.role)
        call = Call(desk, renderer, caller, _query(endpoint), _body(endpoint), request.headers.get("If-Match"))
        return _response(endpoint.handler(call, **path))

    # Without Flask's own OPTIONS: what is in the table is what there is.
    app.add_url_rule(endpoint.path, endpoint.name, view, methods=[endpoint.method], provide_automatic_options=False)


def _response(result: Result | Response) -> Response:
    if isinstance(result, Response):
        return result
    response = Response(status=result.status) if result.value is None else jsonify(result.value)
    response.status_code = result.status
    response.headers.update(result.headers)
    return response


def _query(endpoint: Endpoint) -> Mapping[str, Any]:
    known = {each.name: each for each in endpoint.query}
    found: dict[str, Any] = {}
    if not endpoint.strict:
        return found
    for name, values in request.args.lists():
        if name not in known:
            hint = f"there are: {', '.join(known) or 'none'}"
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"there is no parameter {name!r}", hint=hint)
        if len(values) > 1:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"`{name}` is given {len(values)} times")
        found[name] = _parameter(known[name], values[0])
    return found


def _parameter(query: Query, text: str) -> Any:
    value: Any = text
    if query.schema["type"] == "integer":
        if not (text.isascii() and text.isdecimal() and len(text) <= 18):
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"`{query.name}` is a whole number: {query.meaning}")
        value = int(text)
    if wrong := list(wrongs(query.schema, value, query.name)):
        raise HttpProblem(HTTPStatus.BAD_REQUEST, wrong[0])
    return value


def _body(endpoint: Endpoint) -> Any:
    if endpoint.body is None:
        return None
    if endpoint.takes != "application/json":
        return request.get_data().decode("utf-8", "replace")
    if endpoint.strict and request.mimetype not in JSON_TYPES:
        hint = "send JSON with `Content-Type: application/json`"
        raise HttpProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{request.mimetype or 'no type'} is not taken here", hint=hint)
    try:
        value = json.loads(request.get_data() or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error
    if wrong := list(wrongs(endpoint.body, value)):
        raise HttpProblem(HTTPStatus.BAD_REQUEST, wrong[0], errors=wrong)
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _error(error: MayuError | DocumentError) -> Response:
    status, found = problems.of(error)
    return _problem(status, found)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    hint = "/openapi.json lists what there is" if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) else ""
    response = _problem(status, problems.document(status, problems.told(error, request.path), hint))
    # What the RFC demands of a status, as Allow with 405.
    response.headers.update({name: value for name, value in error.get_headers() if name.lower() != "content-type"})
    return response


def _problem(status: int, found: Mapping[str, Any]) -> Response:
    desk = current_app.extensions["mayu.desk"]
    desk.count("http.refused", str(int(status)))
    return Response(json.dumps(found) + "\n", status, problems.headers(status), content_type=problems.MEDIA_TYPE)
