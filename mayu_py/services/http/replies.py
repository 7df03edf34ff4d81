"""What both HTTP faces share: headers, refusals, and whom a request comes from."""

import json
from http import HTTPStatus
from ipaddress import AddressValueError, IPv4Address

from mayu_py.core.exchange import Refuse, Reply
from mayu_py.services.http import problems
from mayu_py.services.http.proto import Headers

TEXT: Headers = [("content-type", "text/plain; charset=utf-8")]
JSON: Headers = [("content-type", "application/json")]
OCTETS: Headers = [("content-type", "application/octet-stream")]

Whole = tuple[int, Headers, bytes]
"""A status, headers and a body."""


def refusal(reply: Reply | None) -> tuple[int, Headers, bytes]:
    """Status, headers and body for a request that is not served. 503 asks to come back in two seconds."""
    status, why = (reply.refusal.value, reply.why) if isinstance(reply, Refuse) else (404, "there is nothing here")
    headers = [*TEXT, ("retry-after", "2")] if status == HTTPStatus.SERVICE_UNAVAILABLE else TEXT
    return status, headers, f"{why}\n".encode()


def problem(path: str, status: int, detail: str, hint: str = "") -> Whole:
    """An error that is nobody's decision, as the admin face tells it."""
    return status, [("content-type", problems.MEDIA_TYPE)], f"{json.dumps(problems.document(status, detail, hint))}\n".encode()


def trouble(path: str, status: int, detail: str, hint: str = "") -> Whole:
    """The same on the boot face: a line for a machine's console, but to who asks the API."""
    if path.startswith("/v1/"):
        return problem(path, status, detail, hint)
    return status, TEXT, f"{detail}{f'; {hint}' if hint else ''}\n".encode()


def client_address(client: str) -> IPv4Address | None:
    """The address in `address:port`; None for anything that is not IPv4."""
    try:
        return IPv4Address(client.rpartition(":")[0].removeprefix("[::ffff:").removesuffix("]"))
    except AddressValueError:
        return None
