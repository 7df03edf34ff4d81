"""Built from Debian's source package, with Debian's Go: five minutes on two cores, and 3 GB while it lasts."""

import hashlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.store import Progress, remove_tree
from kubeception_sim.artifacts.testbed import recipe
from kubeception_sim.errors import BadInput, CommandFailed, DeadlineExceeded, MissingTool
from kubeception_sim.run import Process, require, spawn

VERSION = "v1.20.2"
TARGETS = {
    **{name: f"cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")},
    **{name: f"cmd/{name}" for name in ("kubeadm", "kubectl", "kubelet", "kubemark")},
    "e2e.test": "test/e2e/e2e.test",
    "ginkgo": "vendor/github.com/onsi/ginkgo/ginkgo",
}
"""What the source can be made into: program -> target of make."""

_SCRIPT = Path(__file__).parent / "build.sh"
_RECIPE = 2  # to be raised when this file changes what comes out
_SECONDS = 3600.0
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_TOOLS = (("go", "golang-go"), ("rsync", "rsync"), ("dpkg-source", "dpkg-dev"), ("make", "make"), ("gcc", "gcc"))
_REFLECT2 = Path("/usr/share/gocode/src/github.com/modern-go/reflect2")
_DEBIAN = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main"
_OUTPUT = "source/_output/local/bin/linux/amd64"
_STEPS = {"package lists": 0.0, "source": 0.02, "generated code": 0.06}
_COMPILING = 0.22
_PACKAGE = re.compile(r"[\w.~-]+(/[\w.~+-]+)*")


def key() -> str:
    """What determines the outcome, beside the list of programs and what Debian has."""
    return f"debian {_RECIPE} {recipe.EPOCH} {hashlib.sha256(_SCRIPT.read_bytes()).hexdigest()}"


def build(folder: Path, lock: int, programs: Sequence[str], progress: Progress) -> None:
    """Build the programs into `folder`, and leave nothing else there. Whoever inherits `lock` keeps other builders away.

    Raises BadInput for a program without a target, MissingTool, CommandFailed with the end of the log, DeadlineExceeded.
    """
    targets = [_target(name) for name in programs]
    for tool, package in _TOOLS:
        require(tool, package)
    if not _REFLECT2.is_dir():
        hint = "apt-get install -y --no-install-recommends golang-github-modern-go-reflect2-dev"
        raise MissingTool(f"{_REFLECT2}: not installed", hint=hint)
    work, log = folder / "work", folder / "build.log"
    (work / "apt").mkdir(parents=True)
    (work / "apt" / "sources.list").write_text(source_lists(recipe.host_sources()))
    environment = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    environment["SOURCE_DATE_EPOCH"] = str(recipe.EPOCH)
    # Whatever else a person does on this computer comes first.
    argv: tuple[str | Path, ...] = ("nice", "-n", "19", "bash", _SCRIPT, work, *targets)
    with spawn(argv, log=log, env=environment, pass_fds=[lock], grace=5.0) as process:
        _follow(process, progress)
        if process.wait(0) != 0:
            raise CommandFailed(f"Kubernetes was not built: exit {process.poll()}\n{process.tail()}")
    for name in programs:
        (work / _OUTPUT / name).rename(folder / name)
    remove_tree(work)
    log.unlink()


def source_lists(binary: Sequence[str]) -> str:
    """apt's list of sources: the mirrors of these one-line entries, asked for sources; Debian's own where there are none."""
    mirrors = [line.removeprefix("deb ") for line in binary] or [_DEBIAN]
    return "".join(f"deb-src {line}\n" for line in mirrors)


@dataclass
class Meter:
    """Reads the log of a build, and knows how far it is."""

    packages: int = 0
    compiled: int = 0

    def read(self, line: str) -> tuple[str, float] | None:
        """The step that this line begins or is part of, and how much of the whole is done, 0 to 1; None for other lines."""
        word, _, rest = line.strip().partition(": ")
        if word == "step":
            return rest, _STEPS[rest]
        if word == "packages":
            self.packages = int(rest)
            return "compiling", _COMPILING
        if self.packages and _PACKAGE.fullmatch(line.strip()):
            self.compiled = min(self.compiled + 1, self.packages)
            return "compiling", _COMPILING + (0.97 - _COMPILING) * self.compiled / self.packages
        return None


def _target(name: str) -> str:
    if name not in TARGETS:
        raise BadInput(f"{name}: not a program of Kubernetes' source", hint=f"one of {', '.join(sorted(TARGETS))}")
    return TARGETS[name]


def _follow(process: Process, progress: Progress) -> None:
    """Tell of each step as its line appears in the log, until the process ends."""
    deadline = time.monotonic() + _SECONDS
    meter = Meter()
    with process.log.open(encoding="utf-8", errors="replace") as log:
        while True:
            ended = process.poll() is not None
            for line in log:
                if step := meter.read(line):
                    progress(*step)
            if ended:
                return
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"Kubernetes is not built after {_SECONDS:g} s\n{process.tail()}")
            _wait(process, 0.5)


def _wait(process: Process, seconds: float) -> None:
    try:
        process.wait(seconds)
    except DeadlineExceeded:
        return
