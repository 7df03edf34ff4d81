"""Programs that are waited for."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.errors import CommandFailed, DeadlineExceeded
from kubeception_sim.run.line import Line, kill_group, line_of, popen, tail, text

_log = logging.getLogger(__name__)


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
    line = line_of(argv, env, cwd, namespace)
    _log.debug("run: %s", line)
    started = time.monotonic()
    with popen(line, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE) as child:
        try:
            out, err = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            kill_group(child.pid)
            raise DeadlineExceeded(
                f"no end after {timeout:g} s: {line}\n{tail(expired.stderr or expired.output or b'')}".rstrip(),
                hint="run it by hand to see what it waits for",
            ) from expired
        except BaseException:
            kill_group(child.pid)
            raise
    done = Completed(line.argv, child.returncode, text(out), text(err), time.monotonic() - started)
    _log.debug("ended with %d after %.2f s: %s", done.code, done.seconds, line)
    if check and done.code != 0:
        raise CommandFailed(_verdict(line, done.code, tail(err or out)))
    return done


def _verdict(line: Line, code: int, tail: str) -> str:
    if code == 127:
        what = "program not found (exit 127)"
    elif code < 0:
        what = f"ended by {signal.Signals(-code).name}"
    else:
        what = f"exit {code}"
    return f"{what}: {line}\n{tail}".rstrip()
