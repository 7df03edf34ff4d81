"""A running host of the cluster from within: files, containers, what it says of itself; and what its config would write."""

import gzip
import re
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes

from kubeception_sim.errors import HarnessError
from kubeception_sim.giantnetes.nodes import CONFIG
from kubeception_sim.giantnetes.rotation import KUBELET
from kubeception_sim.machines import Machine

_SECONDS = 30.0
_POLL_SECONDS = 0.2
GRACE_SECONDS = 2.0
"""An API server that was told to end takes nothing new and answers what was asked; then it waits for its watches, a minute long.
They do not end by themselves, and go on elsewhere when they do."""
_STAGED = "/run/giantnetes-turn"  # memory: keys of hosts touch no disk on their way
_UNIT = "kubelet.service"
_ID = re.compile(re.escape(f'"{CONFIG}": "') + "([0-9a-f]{16})")
_CTR = ("ctr", "--namespace", "k8s.io")
# Copies first, renames last: what reads a certificate and its key while they are of different pairs sees that, and reads again.
_PUT = f"""
set -eu
cd {_STAGED}
find . -type f | while read -r each; do mkdir -p "/$(dirname "$each")"; cp -p "$each" "/$each.new"; done
find . -type f | while read -r each; do mv -f "/$each.new" "/$each"; done
rm -rf {_STAGED}
"""


@dataclass(frozen=True)
class File:
    """A file of an Ignition config."""

    path: str
    mode: int
    data: bytes


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[File, ...]:
    """The files that the Ignition config `after` writes otherwise than `before`. Raises HarnessError for one by reference."""
    old = {file.path: file for file in _files(before)}
    return tuple(file for file in _files(after) if old.get(file.path) != file)


def config_id(config: Mapping[str, Any]) -> str:
    """mayu's id of a config, out of the file with which a node says that it runs it. Raises HarnessError when there is none."""
    for file in _files(config):
        if found := _ID.search(file.data.decode(errors="replace")):
            return found[1]
    raise HarnessError(f"no file of the config says {CONFIG}")


def _files(config: Mapping[str, Any]) -> list[File]:
    return [
        File(each["path"], each.get("mode", 0o644), _data(each["path"], each.get("contents", {})))
        for each in config["storage"]["files"]
    ]


def _data(path: str, contents: Mapping[str, Any]) -> bytes:
    head, comma, body = (contents.get("source") or "data:,").partition(",")
    if not comma or not head.startswith("data:"):
        raise HarnessError(f"the contents of {path} are not in the config itself")
    data = b64decode(unquote_to_bytes(body)) if head.endswith(";base64") else unquote_to_bytes(body)
    return gzip.decompress(data) if contents.get("compression") == "gzip" else data


@dataclass(frozen=True)
class Inside:
    """A machine that runs a role. All raise HarnessError when it cannot be asked."""

    machine: Machine

    def write(self, files: Sequence[File], scratch: Path) -> None:
        """Replace files, each as a whole, by way of the empty folder `scratch` on this side."""
        for file in files:
            path = scratch / PurePosixPath(file.path).relative_to("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(file.data)
            path.chmod(file.mode)
        self.machine.push(scratch, _STAGED)
        self._run("sh", "-c", _PUT)

    def text(self, path: str) -> str:
        """A file."""
        return self._run("cat", path)

    def texts(self, paths: Sequence[str]) -> dict[str, str]:
        """Files by their paths, as far as they are there."""
        script = 'for each; do [ ! -e "$each" ] || { echo "$each"; base64 -w0 < "$each"; echo; }; done'
        lines = self._run("sh", "-c", script, "texts", *paths).splitlines()
        return {path: b64decode(data).decode() for path, data in zip(lines[::2], lines[1::2], strict=True)}

    def seen(self, pod: str, path: str) -> str | None:
        """A file as the container of a static pod sees it; None when it does not run."""
        pids = list(self._running(pod).values())
        return self._run("cat", f"/proc/{pids[0]}/root{path}") if pids else None

    def running(self, name: str) -> frozenset[str]:
        """What runs of a static pod, by containers, or of the kubelet, by its pid: another one after each start."""
        if name == KUBELET:
            pid = self._run("systemctl", "show", "--property=MainPID", "--value", _UNIT).strip()
            return frozenset({pid} - {"0"})
        return frozenset(self._running(name))

    def stop(self, name: str, old: frozenset[str]) -> None:
        """Have those of `old` that still run end, and be started again by whoever does that."""
        if name == KUBELET:
            if self.running(name) & old:
                self._run("systemctl", "restart", _UNIT)
            return
        self._signal(old & self.running(name), "SIGTERM")
        deadline = time.monotonic() + GRACE_SECONDS
        while left := old & self.running(name):
            if time.monotonic() > deadline:
                self._signal(left, "SIGKILL")
                return
            time.sleep(_POLL_SECONDS)

    def answers(self, url: str) -> bool:
        """Whether it answers 200; whose certificate it shows does not matter here."""
        argv = ("curl", "--silent", "--fail", "--insecure", "--max-time", "5", "--output", "/dev/null", url)
        return self.machine.execute(argv, timeout=_SECONDS, check=False).code == 0

    def _signal(self, containers: frozenset[str], name: str) -> None:
        for container in containers:
            self._run(*_CTR, "tasks", "kill", "--signal", name, container)

    def _running(self, name: str) -> dict[str, str]:
        """The containers of a static pod that run, and the pids of their first processes."""
        found = self._run(
            *_CTR, "containers", "list", "--quiet",
            f'labels."io.kubernetes.container.name"=={name},labels."io.kubernetes.pod.namespace"==kube-system',
        ).split()  # fmt: skip
        rows = [line.split() for line in self._run(*_CTR, "tasks", "list").splitlines()[1:]]
        return {row[0]: row[1] for row in rows if row[0] in found and row[2] == "RUNNING"}

    def _run(self, *argv: str) -> str:
        return self.machine.execute(argv, timeout=_SECONDS).stdout
