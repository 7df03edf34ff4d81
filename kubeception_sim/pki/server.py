"""The OpenBao server of a lab: one node with raft storage in the lab's folder, listening in a network namespace, behind TLS.

It is initialised with one key share, kept beside its data: whoever may read the folder of a lab may be its authority. A server
that was killed and is started again on the same folder has lost nothing.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

import hvac
from hvac.exceptions import VaultError
from requests import RequestException

from kubeception_sim.artifacts import openbao
from kubeception_sim.artifacts.store import Progress, default_cache
from kubeception_sim.errors import DeadlineExceeded, HarnessError
from kubeception_sim.lab import Lab
from kubeception_sim.network import inside
from kubeception_sim.pki.access import Access, client
from kubeception_sim.pki.authority import Request
from kubeception_sim.pki.embedded import EmbeddedAuthority
from kubeception_sim.run import Process, spawn

PORT = 8200
READY_SECONDS = 30.0
_POLL_SECONDS = 0.05
_TLS = "openbao"
T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """A running, unsealed OpenBao. `root_token` opens everything; `namespace` is the network's, empty for the one we are in."""

    address: IPv4Address
    namespace: str
    ca: Path
    process: Process
    root_token: str = field(repr=False)

    @property
    def url(self) -> str:
        """Where clients in the namespace find it."""
        return f"https://{self.address}:{PORT}"

    @property
    def access(self) -> Access:
        """Everything, for who is in the server's network."""
        return Access(self.url, self.ca, self.root_token)

    def ask(self, question: Callable[[hvac.Client], T], token: str | None = None) -> T:
        """What `question` returns for a client in the server's namespace. Raises HarnessError when OpenBao does not answer."""
        return _inside(self.namespace, lambda: self.access.ask(question, token))

    @classmethod
    @contextmanager
    def start(cls, lab: Lab, namespace: str, address: IPv4Address, progress: Progress) -> Iterator["Server"]:
        """Start it, initialise it if it is new, and unseal it. Raises HarnessError with the end of its log if that fails."""
        program = openbao.ensure(default_cache(), progress)
        folder = lab.subdirectory("openbao")
        folder.chmod(0o700)
        config = _configure(folder, address)
        argv = (program, "server", f"-config={config}")
        with spawn(argv, log=folder / "server.log", env=lab.env, namespace=namespace or None) as process:
            ca = folder / "tls-ca.crt"
            url = f"https://{address}:{PORT}"
            keys = _inside(namespace, lambda: _unsealed(url, ca, folder / "keys.json", process))
            yield cls(address, namespace, ca, process, keys["root_token"])


def _inside(namespace: str, act: Callable[[], T]) -> T:
    return inside(namespace, act) if namespace else act()


def _configure(folder: Path, address: IPv4Address) -> Path:
    """Its config, and a certificate of its own by an authority that certifies nothing else."""
    authority = EmbeddedAuthority(folder / "tls")
    (folder / "tls-ca.crt").write_text(authority.mount(_TLS))
    # Not the authority's own name: a certificate whose subject is its issuer's is taken for self-signed.
    issued = authority.issue(Request(_TLS, "server", "openbao-server", addresses=(address,), server=True, ttl_hours=24 * 365))
    for name, text in (("tls.crt", issued.cert), ("tls.key", issued.key)):
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
    (folder / "data").mkdir(exist_ok=True)
    # Timing of elections: with one node there is nobody to wait for (OpenBao, "raft storage", performance_multiplier).
    raft = {"path": str(folder / "data"), "node_id": "one", "performance_multiplier": 1}
    listener = {"address": f"{address}:{PORT}", "tls_cert_file": str(folder / "tls.crt"), "tls_key_file": str(folder / "tls.key")}
    document = {
        "storage": {"raft": raft},
        "listener": {"tcp": listener},
        "api_addr": f"https://{address}:{PORT}",
        "cluster_addr": f"https://{address}:{PORT + 1}",
        "ui": False,
    }
    config = folder / "config.json"
    config.write_text(json.dumps(document, indent=2))
    return config


def _unsealed(url: str, ca: Path, path: Path, process: Process) -> dict[str, str]:
    """Initialise and unseal, and wait until it is the active node. `path` keeps the key and the token."""
    asking = client(url, ca)
    deadline = monotonic() + READY_SECONDS
    last = "it does not listen"
    while monotonic() < deadline:
        if process.poll() is not None:
            raise HarnessError(f"OpenBao ended with {process.poll()}\n{process.tail()}")
        try:
            if not asking.sys.is_initialized():
                made = asking.sys.initialize(secret_shares=1, secret_threshold=1)
                _keep(path, {"key": made["keys"][0], "root_token": made["root_token"]})
            keys = _kept(path)
            if asking.sys.is_sealed():
                asking.sys.submit_unseal_key(keys["key"])
            if asking.sys.read_health_status().status_code == 200:
                return keys
            last = "it is not active"
        except (RequestException, VaultError) as error:
            last = str(error)
        sleep(_POLL_SECONDS)
    raise DeadlineExceeded(f"OpenBao is not ready after {READY_SECONDS:g} s: {last}\n{process.tail()}")


def _keep(path: Path, keys: dict[str, str]) -> None:
    """Whole or not at all: without them nobody opens the data again."""
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(keys, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _kept(path: Path) -> dict[str, str]:
    try:
        keys: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError as error:
        hint = f"nobody can open it again; remove {path.parent} to begin anew"
        raise HarnessError(f"OpenBao has data, but its keys are not in {path}", hint=hint) from error
    return keys
