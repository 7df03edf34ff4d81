"""The OpenAPI 3.1 document of the admin face, made of the routes themselves."""

import re
from collections.abc import Iterable
from typing import Any

from mayu_py.services.http import problems
from mayu_py.services.http.routes import Endpoint
from mayu_py.services.http.schemas import INTEGER, STRING, array, obj

_PART = re.compile(r"<(?:path:)?(\w+)>")
PROBLEM = obj(
    {"type": STRING, "title": STRING, "status": INTEGER, "detail": STRING, "hint": STRING, "errors": array(STRING)},
    required=("type", "title", "status", "detail"),
    more=True,
)
_MEANINGS = {
    200: "Yes",
    202: "Accepted",
    204: "Done",
    307: "Elsewhere",
    400: "The request makes no sense",
    401: "Nobody knows who asks",
    403: "Who asks may not do this",
    404: "There is none",
    409: "It cannot be done to this host, or not in its state",
    410: "Gone; the text says what to use instead",
    412: "It has changed since it was read",
    413: "The body is too long",
    415: "The body is not JSON",
    422: "The host's config would not be valid",
    501: "Not in this server",
    503: "Not ready yet; come back",
}


def document(endpoints: Iterable[Endpoint], release: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(_PART.sub(r"{\1}", endpoint.path), {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mayu", "version": release, "description": "The admin face of the provisioning server."},
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS"},
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": (endpoint.handler.__doc__ or "").strip(),
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint),
        "responses": {str(status): _answer(status, said, endpoint) for status, said in endpoint.answers.items()},
    }
    for status in _problems(endpoint):
        content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        found["responses"][str(status)] = {"description": _MEANINGS[status], "content": content}
    if endpoint.role is not None:
        found["security"] = [{"token": []}, {"certificate": []}]
        found["x-role"] = endpoint.role.value
    if endpoint.body is not None:
        found["requestBody"] = {"required": True, "content": {endpoint.takes: {"schema": endpoint.body}}}
    return found


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    path = [{"name": name, "in": "path", "required": True, "schema": STRING} for name in _PART.findall(endpoint.path)]
    query = [{"name": each.name, "in": "query", "schema": each.schema, "description": each.meaning} for each in endpoint.query]
    return [*path, *query]


def _answer(status: int, said: Any, endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if isinstance(said, str):
        content[said] = {}
    elif said is not None:
        content["application/json"] = {"schema": said}
    if endpoint.streams:
        content["text/event-stream"] = {}
    return {"description": _MEANINGS[status], **({"content": content} if content else {})}


def _problems(endpoint: Endpoint) -> list[int]:
    found = set(endpoint.problems)
    found |= {400} if endpoint.query or endpoint.body is not None else set()
    found |= {413} if endpoint.body is not None else set()
    # Some texts fit no path, such as those with a line break.
    found |= {404} if _PART.search(endpoint.path) else set()
    found |= {415} if endpoint.body is not None and endpoint.strict else set()
    found |= {401, 403} if endpoint.role is not None else set()
    return sorted(found - set(endpoint.answers))
