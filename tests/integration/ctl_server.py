"""A real admin face for mayuctl: `serve_admin` in a process of its own, with Granian, a store, TLS if wanted, and no root."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mayu_py import config
from mayu_py.config import Config
from mayu_py.core.enrolment import Newcomer
from mayu_py.core.hosts import Host, Identity, Mac
from mayu_py.services.desk import Desk
from mayu_py.services.http import server
from mayu_py.store.sqlite import SqliteStore
from tests.integration.http_face import folder

START_SECONDS = 20.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A running admin face."""

    url: str
    config: Config
    path: Path

    def enrol(self, number: int) -> Host:
        """Have a machine enrol that the config does not name."""
        with Desk("dhcp", self.config.settings, lambda: SqliteStore(self.config.settings.state)) as desk:
            mac = Mac(f"52:54:00:00:01:{number:02x}")
            newcomer = Newcomer(Identity(mac=mac, serial=f"KC-E{number}"), self.config.settings.networks[0])
            (host,) = desk.enrol([newcomer])
        assert isinstance(host, Host)
        return host


@contextmanager
def admin_face(path: Path, more: str = "", port: int = 0, *, fresh: bool = True) -> Iterator[Served]:
    """Serve a config that is made in a folder, or, not `fresh`, the one that lies there."""
    file = folder(path, more) if fresh else path / "mayu.yaml"
    read = config.read(file)
    listener = server.listen("127.0.0.1", port)
    taken = listener.getsockname()[1]
    inside, outside = os.pipe()
    argv = [sys.executable, "-m", "tests.integration.ctl_server", str(file), str(listener.fileno()), str(outside)]
    process = subprocess.Popen(argv, cwd=ROOT, pass_fds=(listener.fileno(), outside), start_new_session=True)
    listener.close()
    os.close(outside)
    try:
        readable, _, _ = select.select([inside], [], [], START_SECONDS)
        assert readable, f"not ready after {START_SECONDS} s"
        assert os.read(inside, 1) == b"r"
        scheme = "https" if read.settings.admin.tls else "http"
        yield Served(f"{scheme}://127.0.0.1:{taken}", read, file)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        # Granian's own process has the other end too: when nobody has it any more, the port is free.
        while select.select([inside], [], [], START_SECONDS)[0] and os.read(inside, 16):
            pass
        os.close(inside)


def main(file: str, listener: str, outside: str) -> None:
    """The server's process."""
    import socket

    read = config.read(Path(file))
    settings = read.settings
    stop, _keep = os.pipe()
    server.serve_admin(
        lambda: Desk("admin-1", settings, lambda: SqliteStore(settings.state)),
        socket.socket(fileno=int(listener)),
        settings.admin.tls,
        read,
        stop,
        lambda: (os.write(int(outside), b"r"), None)[1],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
