"""New connections to the API of an inner cluster, one after the other: is each certified as it should be, and answered."""

import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from cryptography import x509

from kubeception_sim.checks.probes import ApiProbe
from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.door import Door

# An emulated processor that starts something else lets a handshake wait for seconds. Slow is not failed.
ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Entrance:
    """A way to the API inside. `door.address` is what is connected to, `name` what its certificate must be for."""

    door: Door
    name: str

    def ask(self, method: str, path: str, body: object = None, *, within: float = ANSWER_SECONDS) -> tuple[int, bytes, int]:
        """One request by a new connection: status, answer, and the serial number of the certificate that was shown.

        Raises OSError (ssl.SSLError is one) and HTTPException.
        """
        door = self.door
        with door.connect() as raw:
            raw.settimeout(within)
            raw.connect((door.address, door.port))
            connection = HTTPConnection(self.name, door.port)
            connection.sock = shaken = door.context().wrap_socket(raw, server_hostname=self.name)
            try:
                serial = _serial(shaken)
                text = None if body is None else json.dumps(body)
                connection.request(method, path, text, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.status, answer.read(), serial
            finally:
                connection.close()

    def serial(self) -> int:
        """The serial number that the API server shows now. Raises HarnessError."""
        try:
            return self.ask("GET", "/version")[2]
        except (OSError, HTTPException) as error:
            raise HarnessError(f"no handshake with {self.name} at {self.door.address}:{self.door.port}: {error}") from error


class HandshakeProbe(ApiProbe):
    """GET /readyz by a new connection each time, verified by the cluster's own authority. `serials` are those that were shown."""

    def __init__(self, name: str, entrance: Entrance, every: float, now: Callable[[], float]) -> None:
        super().__init__(name, entrance.door, every, now)
        self._entrance = entrance
        self.serials: set[int] = set()

    def attempt(self) -> None:
        """One attempt. Raises OSError or HTTPException when it fails."""
        status, _, serial = self._entrance.ask("GET", "/readyz")
        self.serials.add(serial)
        if status != 200:
            raise HTTPException(f"GET /readyz: {status}")


def _serial(shaken: ssl.SSLSocket | socket.socket) -> int:
    assert isinstance(shaken, ssl.SSLSocket)
    shown = shaken.getpeercert(binary_form=True)
    assert shown is not None, "verification is on"
    return x509.load_der_x509_certificate(shown).serial_number
