"""How an OpenBao is asked, and as whom."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import hvac
from requests import RequestException, Session

from kubeception_sim.errors import HarnessError

_ANSWER_SECONDS = 10.0
T = TypeVar("T")


@dataclass(frozen=True)
class Access:
    """An OpenBao at `url`, certified by the authority in the file `ca`, as the holder of `token`.

    `namespace` is one of OpenBao's: paths are below it, and nothing outside of it can be named. Empty is the root of all.
    """

    url: str
    ca: Path
    token: str = field(repr=False)
    namespace: str = ""

    def ask(self, question: Callable[[hvac.Client], T], token: str | None = None) -> T:
        """What `question` returns for a client. hvac's own errors go through; HarnessError when OpenBao does not answer."""
        try:
            return question(client(self.url, self.ca, self.token if token is None else token, self.namespace))
        except RequestException as error:
            raise HarnessError(f"OpenBao at {self.url} does not answer: {error}") from error


def client(url: str, ca: Path, token: str | None = None, namespace: str = "") -> hvac.Client:
    """A client that takes neither proxies nor authorities from the environment: those are for other networks."""
    session = Session()
    session.trust_env = False
    session.verify = str(ca)
    return hvac.Client(url=url, token=token, session=session, timeout=_ANSWER_SECONDS, namespace=namespace or None)
