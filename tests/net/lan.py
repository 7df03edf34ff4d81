"""A LAN of network namespaces with a real `mayu serve` on it, and clients beside it."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SERVER = "10.78.0.1"
PORT = 4081


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def namespace(name: str) -> Iterator[str]:
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "del", name)


@dataclass
class Lan:
    """A bridge at 10.78.0.1/24 in a namespace of the server's own; each client hangs on it from another namespace."""

    server: str
    stack: ExitStack
    clients: int = 0

    def client(self, mac: str | None = None, address: str | None = None) -> str:
        """A namespace with an `eth0` on the LAN; returns its name."""
        self.clients += 1
        name = f"{self.server}c{self.clients}"
        self.stack.enter_context(namespace(name))
        port = f"port{self.clients}"
        ip("-n", self.server, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", self.server, "link", "set", port, "master", "br0", "up")
        if mac:
            ip("-n", name, "link", "set", "eth0", "address", mac)
        ip("-n", name, "link", "set", "eth0", "up")
        if address:
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        return name

    def run(
        self, where: str, *argv: str, timeout: float = 30, check: bool = True, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a namespace."""
        ran = subprocess.run(
            ["ip", "netns", "exec", where, *argv], capture_output=True, text=True, timeout=timeout, check=False, **more
        )
        assert not check or ran.returncode == 0, f"{argv} ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}"
        return ran

    def get(self, path: str) -> Any:
        """Ask mayu's admin face from its own machine. A worker that is killed takes the connections it had with it."""
        patience = ("--retry", "5", "--retry-all-errors", "--retry-delay", "1")
        return json.loads(self.run(self.server, "curl", "-sSf", *patience, f"http://{SERVER}:{PORT}{path}").stdout)

    def counters(self) -> dict[tuple[str, str], int]:
        """(name, reason) -> count over all workers."""
        return {(row["name"], row["reason"]): row["count"] for row in self.get("/v1/counters")}


@dataclass
class Mayu:
    """A running `mayu serve`."""

    lan: Lan
    process: subprocess.Popen[bytes]
    config: Path
    log: Path
    seconds_to_ready: float = 0.0

    def workers(self) -> dict[str, int]:
        """Worker -> pid."""
        return {row["worker"]: row["pid"] for row in self.lan.get("/v1/workers")}

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


@dataclass
class Config:
    """The least mayu needs, in a folder; tests change `data` before they start it."""

    folder: Path
    data: dict[str, Any] = field(default_factory=dict)

    def host(self, number: int, **more: Any) -> dict[str, Any]:
        """Add a known host; its MAC, serial and address end in its number."""
        host = {
            "name": f"node-{number}",
            "serial": f"KC-{number:04d}",
            "macs": [f"52:54:00:00:{number // 256:02x}:{number % 256:02x}"],
            "address": f"10.78.{number // 250}.{number % 250 + 2}",
            "profile": "node",
            **more,
        }
        self.data["hosts"].append(host)
        return host

    def write(self) -> Path:
        path = self.folder / "mayu.yaml"
        path.write_text(yaml.safe_dump(self.data, sort_keys=False))
        return path


StartMayu = Callable[[], Mayu]
