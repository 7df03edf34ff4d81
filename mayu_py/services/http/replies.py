"""What both HTTP faces share: headers, refusals, and whom a request comes from."""

from http import HTTPStatus
from ipaddress import AddressValueError, IPv4Address

from mayu_py.core.exchange import Refuse, Reply
from mayu_py.services.http.proto import Headers

TEXT: Headers = [("content-type", "text/plain; charset=utf-8")]
JSON: Headers = [("content-type", "application/json")]
OCTETS: Headers = [("content-type", "application/octet-stream")]


def refusal(reply: Reply | None) -> tuple[int, Headers, bytes]:
    """Status, headers and body for a request that is not served. 503 asks to come back in two seconds."""
    status, why = (reply.refusal.value, reply.why) if isinstance(reply, Refuse) else (404, "there is nothing here")
    headers = [*TEXT, ("retry-after", "2")] if status == HTTPStatus.SERVICE_UNAVAILABLE else TEXT
    return status, headers, f"{why}\n".encode()


def client_address(client: str) -> IPv4Address | None:
    """The address in `address:port`; None for anything that is not IPv4."""
    try:
        return IPv4Address(client.rpartition(":")[0].removeprefix("[::ffff:").removesuffix("]"))
    except AddressValueError:
        return None
