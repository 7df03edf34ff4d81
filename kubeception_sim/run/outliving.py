"""Programs that outlive us."""

import logging
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.errors import CommandFailed
from kubeception_sim.run.line import clean_environment, find, line_of

_log = logging.getLogger(__name__)


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
    line = line_of(argv, env, None, None)
    find(line.argv[0], line)
    _log.debug("detach: %s > %s", line, log)
    output = (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), output, (os.POSIX_SPAWN_DUP2, 1, 2)]
    for descriptor in pass_fds:
        os.set_inheritable(descriptor, True)
    try:
        pid = os.posix_spawnp(
            line.argv[0],
            line.argv,
            clean_environment(line.env),
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
