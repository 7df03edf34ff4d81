"""etcd over TLS, as a user with a password, by the JSON gateway of its version 3 (api/v3rpc, "gRPC gateway").

Keys and values are base64 in the protocol and text here. A token is asked for when there is none or it is not taken any more.
Passwords and tokens are in no message.
"""

import http.client
import json
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 5.0
WATCH_SECONDS = 60.0
"""So long a watch may be silent before it is taken for lost, and begun again."""
_LONGEST_ANSWER = 16 << 20
_UNAUTHENTICATED = 401
# What the gateway says when etcd does not serve: 503 without a leader or while it starts, 504 when it was too slow.
_LATER = frozenset({500, 502, 503, 504})
# The token is of an etcd, or of users, that are no more (etcd: server/auth, api/v3rpc/rpctypes).
_STALE = ("invalid auth token", "revision of auth store is old", "user name is empty")


class Away(Exception):
    """etcd has not answered, or not as etcd does: the last that was seen of it."""


class Refused(Exception):
    """etcd has heard the request and does not do it; `status` is the one of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Account:
    """Where etcd is (https), the file with the authority that certifies it, and as whom it is asked."""

    url: str
    ca: Path
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Range:
    """Keys with their values. `cluster` is the id of the etcd that has them: one without its data is another."""

    values: Mapping[str, str]
    cluster: str
    revision: int


class Etcd:
    """An etcd. All methods raise Away and Refused; from several threads, each needs one of its own. Raises ValueError and OSError
    for an account that cannot be."""

    def __init__(self, account: Account) -> None:
        parts = urlsplit(account.url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"{account.url}: not https://NAME:PORT")
        self._host, self._port = parts.hostname, parts.port or 2379
        self._account = account
        self._tls = ssl.create_default_context(cafile=str(account.ca))
        self._token = ""

    def authenticate(self) -> None:
        """Ask for a new token. Raises Refused when user and password are not known."""
        content = {"name": self._account.user, "password": self._account.password}
        self._token = str(self._once("auth/authenticate", content, authenticated=False)["token"])

    def ask(self, path: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request, and its answer."""
        if not self._token:
            self.authenticate()
        try:
            return self._once(path, content)
        except Refused as error:
            if not _is_stale(error):
                raise
        self.authenticate()
        return self._once(path, content)

    def range(self, prefix: str) -> Range:
        """All that there is below a prefix."""
        found = self.ask("kv/range", span(prefix))
        values = {decoded(each["key"]): decoded(each.get("value", "")) for each in found.get("kvs", ())}
        return Range(values, str(found["header"]["cluster_id"]), int(found["header"]["revision"]))

    def get(self, key: str) -> str | None:
        """The value of a key; None when there is none."""
        found = self.ask("kv/range", {"key": encoded(key)}).get("kvs", ())
        return decoded(found[0].get("value", "")) if found else None

    def put(self, key: str, value: str, lease: int = 0) -> None:
        """Write a key, with a lease if one is given: it goes with it."""
        content = {"key": encoded(key), "value": encoded(value)}
        self.ask("kv/put", content | ({"lease": str(lease)} if lease else {}))

    def delete(self, prefix: str) -> None:
        """Delete all that there is below a prefix."""
        self.ask("kv/deleterange", span(prefix))

    def grant(self, seconds: int) -> int:
        """A new lease."""
        return int(self.ask("lease/grant", {"TTL": str(seconds)})["ID"])

    def keep_alive(self, lease: int) -> bool:
        """Renew a lease; whether it was there still. An answer says so: without one, it raises."""
        # Unlike other answers this is one of a stream, and wrapped like an event.
        found = self.ask("lease/keepalive", {"ID": str(lease)})
        return int(found.get("result", {}).get("TTL", 0)) > 0

    def revoke(self, lease: int) -> None:
        """End a lease; its keys are gone with it."""
        self.ask("lease/revoke", {"ID": str(lease)})

    def watch(self, prefix: str) -> Iterator[int]:
        """How many keys have changed, whenever some do, and 0 at first, once it would hear of them. Ends when etcd ends it."""
        if not self._token:
            self.authenticate()
        connection = self._connect(WATCH_SECONDS)
        try:
            request = json.dumps({"create_request": span(prefix)})
            connection.request("POST", "/v3/watch", request, self._headers(authenticated=True))
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                self._token = ""
                raise _verdict("watch", answer.status, answer.read(_LONGEST_ANSWER))
            while line := answer.readline(_LONGEST_ANSWER):
                yield _events(line)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        finally:
            connection.close()

    def _once(self, path: str, content: Mapping[str, Any], *, authenticated: bool = True) -> Mapping[str, Any]:
        connection = self._connect(ANSWER_SECONDS)
        try:
            connection.request("POST", f"/v3/{path}", json.dumps(content), self._headers(authenticated=authenticated))
            answer = connection.getresponse()
            body = answer.read(_LONGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise _verdict(path, answer.status, body)
        return _object(body)

    def _connect(self, seconds: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=self._tls)

    def _headers(self, *, authenticated: bool) -> dict[str, str]:
        return {"Content-Type": "application/json"} | ({"Authorization": self._token} if authenticated else {})

    def _away(self, error: Exception) -> Away:
        # A token names the place in the log where it was made. An etcd whose log is not that long waits for it in vain.
        self._token = ""
        return Away(f"etcd at {self._host}:{self._port}: {type(error).__name__}: {error}")


def span(prefix: str) -> dict[str, str]:
    """All keys below a prefix that ends in a slash, as the protocol has it."""
    assert prefix.endswith("/")
    return {"key": encoded(prefix), "range_end": encoded(f"{prefix[:-1]}0")}  # "0" comes after "/"


def encoded(text: str) -> str:
    """As the gateway has it."""
    return b64encode(text.encode()).decode()


def decoded(text: str) -> str:
    """What the gateway says. What is no UTF-8 is not ours, and is replaced."""
    return b64decode(text).decode(errors="replace")


def _events(line: bytes) -> int:
    found = _object(line)
    if "error" in found:
        raise Away(f"etcd has ended the watch: {found['error']}")
    result = found.get("result", {})
    if result.get("canceled"):
        raise Refused(_UNAUTHENTICATED, f"watch: {result.get('cancel_reason') or 'ended without a reason'}")
    return len(result.get("events", ()))


def _is_stale(error: Refused) -> bool:
    return error.status == _UNAUTHENTICATED or any(text in str(error) for text in _STALE)


def _verdict(path: str, status: int, body: bytes) -> Away | Refused:
    try:
        found = _object(body)
        said = str(found.get("error") or found.get("message") or "without a reason")
    except Away:
        said = "without a reason"
    message = f"{path}: {status} {said}"
    return Away(f"etcd: {message}") if status in _LATER else Refused(status, message)


def _object(body: bytes) -> Mapping[str, Any]:
    """Raises Away for what is no JSON object: somebody else has answered, or it was cut off."""
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Away("etcd: the answer is not JSON") from error
    if not isinstance(found, dict):
        raise Away("etcd: the answer is not an object")
    return found
