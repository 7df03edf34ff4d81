"""The only door to subprocess.

Four ways through it: `run` waits for a program and returns what it printed, `spawn` keeps one running for the length
of a `with` block, `detach` starts one that outlives us, `require` says how to install one that is missing. All take argv
lists (never a shell), start from a clean environment, give the child /dev/null for stdin and a session of its own, and log
the exact command line at DEBUG so that a person can paste it into a terminal.

**Who ends a child.** Each child leads its own process group, so Ctrl-C in the terminal reaches the harness alone, and
the harness decides. `run` kills the group when the time is up or when anything is raised. Leaving `spawn` stops the
leader with SIGTERM and then kills whatever is left of the group (systemd calls this KillMode=mixed). Should the harness
itself be killed, the kernel sends SIGTERM to every spawned leader (PR_SET_PDEATHSIG). That signal is tied to the
*thread* that forked, not to the process, so children are forked by one thread that lives as long as the interpreter:
what a short-lived worker thread spawned outlives that worker. The death signal reaches leaders only; `kubeception gc`
finds what else may be left.
"""

import functools
import logging
import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.errors import CommandFailed, DeadlineExceeded, MissingTool

_log = logging.getLogger(__name__)

TAIL_LINES = 20
TAIL_BYTES = 16 * 1024
_SYSTEM_DIRS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")

# A program of an Essential package (util-linux): setting the death signal by exec spares us preexec_fn, which may
# deadlock in a process with threads.
_DIE_WITH_HARNESS = ("setpriv", "--pdeathsig", "TERM", "--")


@dataclass(frozen=True)
class Completed:
    """A program that has ended. `code` is negative when a signal ended it; `seconds` is wall-clock time."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    timeout: float,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    namespace: str | None = None,
) -> Completed:
    """Run a program to its end. `timeout` is in seconds; output is decoded as UTF-8, bad bytes replaced.

    `namespace` runs it inside that network namespace; `env` adds to the clean environment, it does not inherit ours.
    Raises CommandFailed when the program cannot start, or ends with a code other than 0 and `check` is set;
    DeadlineExceeded when the time is up, whatever `check` says.
    """
    line = _line(argv, env, cwd, namespace)
    _log.debug("run: %s", line)
    started = time.monotonic()
    with _popen(line, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE) as child:
        try:
            out, err = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            _kill_group(child.pid)
            raise DeadlineExceeded(
                f"no end after {timeout:g} s: {line}\n{_tail(expired.stderr or expired.output or b'')}".rstrip(),
                hint="run it by hand to see what it waits for",
            ) from expired
        except BaseException:
            _kill_group(child.pid)
            raise
    done = Completed(line.argv, child.returncode, _text(out), _text(err), time.monotonic() - started)
    _log.debug("ended with %d after %.2f s: %s", done.code, done.seconds, line)
    if check and done.code != 0:
        raise CommandFailed(_verdict(line, done.code, _tail(err or out)))
    return done


class Process:
    """A running program, led by `pid`, its output appended to `log`. Made by `spawn`, never directly."""

    def __init__(self, child: subprocess.Popen[bytes], line: "_Line", output: Path) -> None:
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
            _kill_group(self.pid)

    def tail(self) -> str:
        """The last lines it wrote, for reports."""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return _tail(file.read())

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
            _kill_group(self.pid)
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
    line = _line(argv, env, cwd, namespace)
    _find(os.fspath(argv[0]), line)
    _log.debug("spawn: %s > %s", line, log)
    with log.open("ab") as output:
        child = _fork_in_lasting_thread(line, output.fileno(), tuple(pass_fds))
    process = Process(child, line, log)
    try:
        yield process
    finally:
        process._stop(grace)


@dataclass(frozen=True)
class Detached:
    """A program that lives on when we end. Made by `detach`."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs. Once it has told the code, it must not be asked again."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def terminate(self) -> None:
        """Send it SIGTERM. It is ours until `poll` has told the code, so nobody else can have its pid."""
        os.kill(self.pid, signal.SIGTERM)


def detach(
    argv: Sequence[str | os.PathLike[str]], *, log: Path, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
) -> Detached:
    """Start a program that outlives us, in a session of its own; stdout and stderr are appended to the file `log`.

    Nobody stops it, and no signal meant for us reaches it. It inherits our working directory and the descriptors `pass_fds`,
    and nothing else; signals that we ignore, as `nohup` and background jobs do, it hears. Raises CommandFailed.
    """
    line = _line(argv, env, None, None)
    _find(line.argv[0], line)
    _log.debug("detach: %s > %s", line, log)
    output = (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), output, (os.POSIX_SPAWN_DUP2, 1, 2)]
    for descriptor in pass_fds:
        os.set_inheritable(descriptor, True)
    try:
        pid = os.posix_spawnp(
            line.argv[0],
            line.argv,
            _clean_environment(line.env),
            file_actions=actions,
            setsid=True,
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
        )
    except OSError as error:
        raise CommandFailed(f"cannot start: {error.strerror}: {error.filename}\n  {line}") from error
    finally:
        for descriptor in pass_fds:
            os.set_inheritable(descriptor, False)
    return Detached(pid)


def require(tool: str, package: str) -> Path:
    """Where `tool` is, system directories included. Raises MissingTool whose hint installs the Debian `package`."""
    found = shutil.which(tool, path=_search_path())
    if found is None:
        raise MissingTool(f"{tool}: not installed", hint=f"apt-get install -y --no-install-recommends {package}")
    return Path(found)


@dataclass(frozen=True)
class _Line:
    """A command as a person would paste it: directory, added variables, arguments."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path | None

    def __str__(self) -> str:
        variables = [f"{name}={value}" for name, value in self.env.items()]
        command = shlex.join([*(["env", *variables] if variables else []), *self.argv])
        return f"cd {shlex.quote(os.fspath(self.cwd))} && {command}" if self.cwd else command


def _line(
    argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None, cwd: Path | None, namespace: str | None
) -> _Line:
    prefix = ("ip", "netns", "exec", namespace) if namespace else ()
    return _Line((*prefix, *(os.fspath(word) for word in argv)), dict(env or {}), cwd)


def _search_path() -> str:
    own = os.environ.get("PATH", "").split(":")
    return ":".join(dict.fromkeys(part for part in (*own, *_SYSTEM_DIRS) if part))


def _clean_environment(added: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": _search_path(),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        **added,
    }


def _find(program: str, line: _Line) -> None:
    if shutil.which(program, path=_clean_environment(line.env)["PATH"]) is None and not (line.cwd and "/" in program):
        raise CommandFailed(f"no such program: {program}\n  {line}")


def _popen(
    line: _Line,
    *,
    prefix: tuple[str, ...] = (),
    stdin: int,
    output: int = subprocess.PIPE,
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            (*prefix, *line.argv),
            stdin=stdin,
            stdout=output,
            stderr=subprocess.PIPE if output == subprocess.PIPE else subprocess.STDOUT,
            env=_clean_environment(line.env),
            cwd=line.cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"cannot start: {error.strerror}: {error.filename}\n  {line}") from error


@functools.lru_cache(maxsize=1)
def _forker(pid: int) -> ThreadPoolExecutor:
    """The thread that forks every spawned child. Keyed by our own pid: a fork of the harness has no threads yet."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"spawn-{pid}")


def _fork_in_lasting_thread(line: _Line, output: int, pass_fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    future = _forker(os.getpid()).submit(
        _popen, line, prefix=_DIE_WITH_HARNESS, stdin=subprocess.DEVNULL, output=output, pass_fds=pass_fds
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
        _kill_group(child.pid)
        child.wait()


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _verdict(line: _Line, code: int, tail: str) -> str:
    if code == 127:
        what = "program not found (exit 127)"
    elif code < 0:
        what = f"ended by {signal.Signals(-code).name}"
    else:
        what = f"exit {code}"
    return f"{what}: {line}\n{tail}".rstrip()


def _text(output: bytes) -> str:
    return output.decode("utf-8", errors="replace")


def _tail(output: bytes) -> str:
    return "\n".join(_text(output[-TAIL_BYTES:]).splitlines()[-TAIL_LINES:])
