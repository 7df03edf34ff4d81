"""OpenBao over TLS, asked until it answers. Neither tokens nor what is answered are in any message."""

import http.client
import json
import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
_LONGEST_ANSWER = 1 << 20
# What OpenBao answers while it is sealed, not initialised, or has no leader, and when it is asked too much (API, "HTTP status
# codes"; sys/health). Whatever else it says of a request it will say again.
_LATER = frozenset({429, 472, 473, 500, 501, 502, 503, 504})


class Refused(Exception):
    """OpenBao has heard the request and does not do it; `status` is the answer's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Away(Exception):
    """OpenBao has not answered in time: the last state seen."""


class OpenBao:
    """An OpenBao at `url` (https), certified by the authority in the file `ca`. Paths are below `namespace`.

    It is asked for `patience` seconds before it is Away. `pause` waits for so many seconds.
    """

    def __init__(
        self, url: str, ca: Path, namespace: str, *, patience: float, pause: Callable[[float], None] = time.sleep
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"{url}: not https://ADDRESS:PORT")
        self._host, self._port = parts.hostname, parts.port or 443
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._namespace = namespace
        self._patience = patience
        self._pause = pause

    def ask(self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The answer, which may be empty. Raises Refused, or Away after `patience` seconds without an answer.

        A request whose answer was lost is asked again: it may be done twice.
        """
        deadline, wait = time.monotonic() + self._patience, FIRST_PAUSE
        while True:
            try:
                return self._once(method, path, token, body)
            except ssl.SSLCertVerificationError as error:
                message = f"{self._host}:{self._port} is not the OpenBao that our authority certifies: {error.verify_message}"
                raise Away(message) from error
            except _Later as error:
                said = str(error)
            except (OSError, http.client.HTTPException) as error:
                said = f"{type(error).__name__}: {error}"
            if time.monotonic() + wait > deadline:
                raise Away(f"{self._host}:{self._port} has not answered for {self._patience:g} s: {said}")
            _log.warning("OpenBao at %s:%d, asked for %s: %s; again in %.1f s", self._host, self._port, path, said, wait)
            # All machines of a node are here at once when it starts: not in step.
            self._pause(wait * random.uniform(0.5, 1.0))
            wait = min(LONGEST_PAUSE, 2 * wait)

    def _once(self, method: str, path: str, token: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """One connection, one answer. Redirections are answers like others: the token goes to nobody else."""
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=ANSWER_SECONDS, context=self._tls)
        headers = {"X-Vault-Request": "true", "X-Vault-Token": token, "X-Vault-Namespace": self._namespace}
        try:
            connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read(_LONGEST_ANSWER)
        finally:
            connection.close()
        if answer.status in _LATER:
            raise _Later(f"{answer.status} {_errors(content)}")
        if not 200 <= answer.status < 300:
            raise Refused(answer.status, f"{path}: {answer.status} {_errors(content)}")
        return _object(content)


class _Later(Exception):
    """An answer that may be another one later."""


def _errors(content: bytes) -> str:
    """What OpenBao says is wrong, in a line. It does not repeat what it was sent."""
    try:
        found = _object(content).get("errors", [])
    except http.client.HTTPException:
        return "without a reason"
    return "; ".join(" ".join(str(each).split()) for each in found) or "without a reason"


def _object(content: bytes) -> Mapping[str, Any]:
    """Raises HTTPException for what is no JSON object: somebody between us and OpenBao has answered, or it was cut off."""
    try:
        found = json.loads(content or b"{}")
    except ValueError as error:
        raise http.client.HTTPException("the answer is not JSON") from error
    if not isinstance(found, dict):
        raise http.client.HTTPException("the answer is not an object")
    return found
