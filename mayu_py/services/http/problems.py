"""Errors of the admin face as problem documents (RFC 9457), and which error of the server is which status."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from ignition.document import DocumentError
from mayu_py.errors import Forbidden, IllegalTransition, MayuError, Outdated, StoreError, Unidentified, VerbRefused

MEDIA_TYPE = "application/problem+json"

# The first that fits decides, so a special case stands before its base.
_STATUS: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (Unidentified, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (Outdated, HTTPStatus.PRECONDITION_FAILED),
    (VerbRefused, HTTPStatus.CONFLICT),
    (IllegalTransition, HTTPStatus.CONFLICT),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (MayuError, HTTPStatus.BAD_REQUEST),
    (DocumentError, HTTPStatus.UNPROCESSABLE_ENTITY),
)


class HttpProblem(MayuError):
    """A request that is answered with a problem document. `more` are further members of it."""

    def __init__(self, status: HTTPStatus, message: str, *, hint: str = "", **more: Any) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.more = more


def document(status: int, detail: str, hint: str = "", **more: Any) -> dict[str, Any]:
    """The members of a problem document; `hint` says what to do about it."""
    found = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": int(status), "detail": detail}
    return {**found, **({"hint": hint} if hint else {}), **more}


def told(error: HTTPException, path: str) -> str:
    """What Werkzeug's error is about. Where it has only words for the readers of web sites, it has others here."""
    match error:
        case NotFound(description=NotFound.description):
            return f"there is nothing at {path}"
        case MethodNotAllowed(description=MethodNotAllowed.description):
            return f"{path} has no such method; it has {', '.join(sorted(error.valid_methods or ()))}"
        case _:
            return error.description or ""


def headers(status: int) -> dict[str, str]:
    """What an answer with this status says besides: how to come in (RFC 6750), when to come back."""
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return {"WWW-Authenticate": 'Bearer realm="mayu"'}
        case HTTPStatus.FORBIDDEN:
            return {"WWW-Authenticate": 'Bearer realm="mayu", error="insufficient_scope"'}
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return {"Retry-After": "2"}
        case _:
            return {}


def of(error: MayuError | DocumentError) -> tuple[int, Mapping[str, Any]]:
    """Status and problem document of an error that a person can act on."""
    if isinstance(error, HttpProblem):
        return error.status, document(error.status, error.message, error.hint, **error.more)
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    if isinstance(error, DocumentError):
        found = [str(problem) for problem in error.problems]
        return status, document(status, "the host's config would not be valid", errors=found)
    return status, document(status, error.message, error.hint)
