"""A running HAProxy whose configuration changes: a new worker takes the listeners over, the old one ends with its connections.

A configuration that HAProxy does not take never replaces one that it has taken (HAProxy management guide, section 4, "Stopping
and restarting HAProxy").
"""

import logging
import math
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kubeception_sim.agents.edge.config import SOCKET
from kubeception_sim.agents.edge.ingress import CERTIFICATES, Wanted

_log = logging.getLogger(__name__)

PROGRAM = "haproxy"
RELOAD_SECONDS = 20.0
_CHECK_SECONDS = 20.0
_END_SECONDS = 5.0
_ASK_SECONDS = 2.0
_POLL_SECONDS = 0.02


class Refused(Exception):
    """HAProxy does not take a configuration, or does not run: what it says."""


class Proxy:
    """HAProxy with its files in `folder`, which only this process writes. Started by the first `apply`, ended by leaving."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._config, self._socket = folder / "haproxy.cfg", folder / SOCKET
        self._process: subprocess.Popen[bytes] | None = None
        self._applied: Wanted | None = None
        self.reloads = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """SIGUSR1 lets connections end by themselves, for some seconds; then it is killed."""
        if self._process is None:
            return
        for number in (signal.SIGUSR1, signal.SIGTERM):
            self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
                return
        self._process.kill()
        self._process.wait()

    @property
    def problem(self) -> str:
        """Why nobody is let in; empty while it runs."""
        if self._process is None:
            return "HAProxy was not started yet"
        return "" if self._process.poll() is None else f"HAProxy has ended with {self._process.returncode}"

    def apply(self, wanted: Wanted) -> tuple[str, ...]:
        """Have it so; what is wrong with certificates, which are left out. Raises Refused: then all stays as it was."""
        if wanted == self._applied and not self.problem:
            return ()
        problems = tuple(self._write(wanted))
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen([PROGRAM, "-W", "-f", str(self._config)], stdin=subprocess.DEVNULL)
            self._until_serves(0)
        else:
            self._until_serves(self._worker())
            self.reloads += 1
        self._applied = wanted
        return problems

    def _write(self, wanted: Wanted) -> list[str]:
        fresh = Path(tempfile.mkdtemp(dir=self.folder, prefix="certificates-"))
        problems = _write_certificates(fresh, wanted.certificates)
        text = wanted.text.replace(CERTIFICATES, str(fresh))
        candidate = self._config.with_suffix(".new")
        candidate.write_text(text)
        checked = subprocess.run(
            [PROGRAM, "-c", "-f", str(candidate)], capture_output=True, stdin=subprocess.DEVNULL, timeout=_CHECK_SECONDS
        )
        if checked.returncode:
            raise Refused(checked.stderr.decode(errors="replace").strip()[-2000:])
        candidate.replace(self._config)
        # The worker of before has read its certificates long ago.
        for each in self.folder.glob("certificates-*"):
            if each != fresh:
                for file in each.iterdir():
                    file.unlink()
                each.rmdir()
        return problems

    def _until_serves(self, before: int) -> None:
        """Until another worker than `before` answers. Raises Refused."""
        deadline, asked = time.monotonic() + RELOAD_SECONDS, -math.inf
        assert self._process is not None
        while self._worker() in (0, before):
            if before and time.monotonic() - asked > _ASK_SECONDS:
                # A master that is still busy with the last reload does not hear of the next.
                self._process.send_signal(signal.SIGUSR2)
                asked = time.monotonic()
            if (code := self._process.poll()) is not None:
                raise Refused(f"HAProxy has ended with {code}")
            if time.monotonic() > deadline:
                raise Refused(f"no worker of HAProxy has taken over in {RELOAD_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)

    def _worker(self) -> int:
        """The process that serves now; 0 when none answers."""
        with socket.socket(socket.AF_UNIX) as asked, suppress(OSError, StopIteration, ValueError):
            asked.settimeout(_CHECK_SECONDS)
            asked.connect(str(self._socket))
            asked.sendall(b"show info\n")
            said = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
            return int(next(line for line in said.splitlines() if line.startswith("Pid:")).split()[1])
        return 0


def _write_certificates(folder: Path, certificates: Mapping[str, bytes]) -> list[str]:
    """One that HAProxy could not load would keep all others out: each is tried first."""
    problems = []
    for name, pair in sorted(certificates.items()):
        path = folder / name
        path.touch(0o600)
        path.write_bytes(pair)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
        except (OSError, ValueError) as error:
            problems.append(f"{name}: {error}")
            os.unlink(path)
    return problems
