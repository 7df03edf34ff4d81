"""Programs that run for the length of a block."""

import functools
import logging
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kubeception_sim.errors import DeadlineExceeded
from kubeception_sim.run.line import TAIL_BYTES, Line, find, kill_group, line_of, popen, tail

_log = logging.getLogger(__name__)

# A program of an Essential package (util-linux): setting the death signal by exec spares us preexec_fn, which may
# deadlock in a process with threads.
_DIE_WITH_HARNESS = ("setpriv", "--pdeathsig", "TERM", "--")


class Process:
    """A running program, led by `pid`, its output appended to `log`. Made by `spawn`, never directly."""

    def __init__(self, child: subprocess.Popen[bytes], line: Line, output: Path) -> None:
        self._child = child
        self._line = line
        self._code: int | None = None
        self._pidfd = os.pidfd_open(child.pid)
        self.pid = child.pid
        self.argv = line.argv
        self.log = output

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._code is None:
            # WNOWAIT leaves the zombie in place: its pid, and so its process group, cannot be taken by a stranger
            # before the context has killed what is left of the group.
            ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                self._code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return self._code

    def wait(self, timeout: float) -> int:
        """Wait at most `timeout` seconds for its end and return the exit code. Raises DeadlineExceeded."""
        if not self._ended_within(timeout):
            raise DeadlineExceeded(f"still running after {timeout:g} s: {self._line}\n{self.tail()}".rstrip())
        code = self.poll()
        assert code is not None
        return code

    def terminate(self) -> None:
        """Send SIGTERM to the leader. Nothing happens when it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the whole group: what pulling the plug does."""
        if self.poll() is None:
            kill_group(self.pid)

    def tail(self) -> str:
        """The last lines it wrote, for reports."""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return tail(file.read())

    def _ended_within(self, timeout: float) -> bool:
        if self.poll() is not None:
            return True
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(max(0.0, timeout) * 1000))

    def _stop(self, grace: float) -> None:
        try:
            self.terminate()
            if not self._ended_within(grace):
                _log.warning("no end within %g s of SIGTERM, killing: %s", grace, self._line)
        finally:
            kill_group(self.pid)
            self._ended_within(60.0)
            self.poll()
            self._child.wait()
            os.close(self._pidfd)
            _log.debug("ended with %s: %s", self._code, self._line)


@contextmanager
def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    namespace: str | None = None,
    pass_fds: Sequence[int] = (),
    grace: float = 5.0,
) -> Iterator[Process]:
    """Keep a program running for the length of the block; stdout and stderr are appended to the file `log`.

    On the way out, for whatever reason: SIGTERM to the leader, up to `grace` seconds, SIGKILL to what is left of its
    process group. A program that ends early is not an error here: the caller's own readiness wait sees it by `poll`.
    Raises CommandFailed when the program cannot be found.
    """
    line = line_of(argv, env, cwd, namespace)
    find(os.fspath(argv[0]), line)
    _log.debug("spawn: %s > %s", line, log)
    with log.open("ab") as output:
        child = _fork_in_lasting_thread(line, output.fileno(), tuple(pass_fds))
    process = Process(child, line, log)
    try:
        yield process
    finally:
        process._stop(grace)


@functools.lru_cache(maxsize=1)
def _forker(pid: int) -> ThreadPoolExecutor:
    """The thread that forks every spawned child. Keyed by our own pid: a fork of the harness has no threads yet."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"spawn-{pid}")


def _fork_in_lasting_thread(line: Line, output: int, pass_fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    future = _forker(os.getpid()).submit(
        popen, line, prefix=_DIE_WITH_HARNESS, stdin=subprocess.DEVNULL, output=output, pass_fds=pass_fds
    )
    try:
        return future.result()
    except BaseException:
        # Ctrl-C may arrive while the other thread forks; nobody else will ever learn of that child.
        future.add_done_callback(_kill_orphan)
        raise


def _kill_orphan(future: Future[subprocess.Popen[bytes]]) -> None:
    if not future.cancelled() and future.exception() is None:
        child = future.result()
        kill_group(child.pid)
        child.wait()
