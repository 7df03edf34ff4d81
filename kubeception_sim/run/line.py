"""A command line: where its program is, what it starts from, and how a person would paste it."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.errors import CommandFailed, MissingTool

TAIL_LINES = 20
TAIL_BYTES = 16 * 1024
_SYSTEM_DIRS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


def require(tool: str, package: str) -> Path:
    """Where `tool` is, system directories included. Raises MissingTool whose hint installs the Debian `package`."""
    found = shutil.which(tool, path=_search_path())
    if found is None:
        raise MissingTool(f"{tool}: not installed", hint=f"apt-get install -y --no-install-recommends {package}")
    return Path(found)


@dataclass(frozen=True)
class Line:
    """A command as a person would paste it: directory, added variables, arguments."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path | None

    def __str__(self) -> str:
        variables = [f"{name}={value}" for name, value in self.env.items()]
        command = shlex.join([*(["env", *variables] if variables else []), *self.argv])
        return f"cd {shlex.quote(os.fspath(self.cwd))} && {command}" if self.cwd else command


def line_of(
    argv: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None, cwd: Path | None, namespace: str | None
) -> Line:
    prefix = ("ip", "netns", "exec", namespace) if namespace else ()
    return Line((*prefix, *(os.fspath(word) for word in argv)), dict(env or {}), cwd)


def _search_path() -> str:
    own = os.environ.get("PATH", "").split(":")
    return ":".join(dict.fromkeys(part for part in (*own, *_SYSTEM_DIRS) if part))


def clean_environment(added: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": _search_path(),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
        **added,
    }


def find(program: str, line: Line) -> None:
    if shutil.which(program, path=clean_environment(line.env)["PATH"]) is None and not (line.cwd and "/" in program):
        raise CommandFailed(f"no such program: {program}\n  {line}")


def popen(
    line: Line,
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
            env=clean_environment(line.env),
            cwd=line.cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"cannot start: {error.strerror}: {error.filename}\n  {line}") from error


def kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def text(output: bytes) -> str:
    return output.decode("utf-8", errors="replace")


def tail(output: bytes) -> str:
    return "\n".join(text(output[-TAIL_BYTES:]).splitlines()[-TAIL_LINES:])
