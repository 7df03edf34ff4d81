"""Programs in a machine over SSH, from inside its network: for machines that share no kernel with the harness."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from kubeception_sim.errors import CommandFailed, HarnessError
from kubeception_sim.run import Completed, run

CONNECT_SECONDS = 30
_LOST = 255  # ssh(1), "EXIT STATUS": an error of its own


@dataclass(frozen=True)
class Access:
    """How to log in: `key` is the path of a private key, `user` one who may become root by sudo without a password, or root."""

    key: Path
    user: str = "core"


def execute(
    access: Access,
    address: IPv4Address,
    argv: Sequence[str],
    *,
    namespace: str,
    env: Mapping[str, str],
    timeout: float,
    stdin: bytes | None,
    check: bool,
) -> Completed:
    """Run a program as root. Raises HarnessError when the machine does not answer, and as `Machine.execute` says."""
    # sshd hands one string to a shell, and the program's own 255 must not look like ssh's.
    become = [] if access.user == "root" else ["sudo", "--non-interactive", "--"]
    inside = f"{shlex.join([*become, *argv])} || {{ code=$?; [ $code -ne {_LOST} ] || code=254; exit $code; }}"
    line = (*_client(access), f"{access.user}@{address}", inside)
    done = run(line, timeout=timeout, stdin=stdin, check=False, env=env, namespace=namespace)
    if done.code == _LOST:
        raise HarnessError(f"{address} does not answer over SSH: {done.stderr.strip()}", hint="see its console")
    if check and done.code != 0:
        raise CommandFailed(f"exit {done.code}: {shlex.join(argv)} on {address}\n{(done.stderr or done.stdout).strip()}")
    return done


def shell(access: Access, address: IPv4Address) -> tuple[str, ...]:
    """The command that opens a root shell, to be run at a terminal inside the machine's network."""
    become = () if access.user == "root" else ("sudo", "--login")
    return (*_client(access), "-t", f"{access.user}@{address}", *become)


def _client(access: Access) -> tuple[str, ...]:
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
        # Every boot makes another host key.
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
    }
    return ("ssh", "-F", "/dev/null", "-i", os.fspath(access.key), *(f"-o{name}={value}" for name, value in options.items()))
