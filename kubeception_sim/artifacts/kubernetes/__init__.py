"""Kubernetes' programs: from a folder, from a server with the official layout, or built from Debian's source package.

    programs = ensure(default_cache(), progress)          # builds once, if nothing else is named
    programs.directory / "kubelet"

`$KUBECEPTION_KUBERNETES` names another source: a folder that holds the programs, or the URL of a release server
(https://dl.k8s.io). A build takes five minutes on two cores, and 3 GB while it lasts; what is kept is stripped, 370 MB.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.kubernetes.release import fetch
from kubeception_sim.artifacts.store import Progress, Store, remove_tree
from kubeception_sim.errors import BadInput, CommandFailed, DeadlineExceeded, HarnessError
from kubeception_sim.run import Process, require, run, spawn

KIND = "kubernetes"
VARIABLE = "KUBECEPTION_KUBERNETES"
DEBIAN_VERSION = "v1.20.2"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")

_HERE = Path(__file__).parent
_RECIPE = 1  # to be raised when a build comes out differently
_BUILD_SECONDS = 3600.0
_PACKAGES = (("go", "golang-go"), ("rsync", "rsync"), ("dpkg-source", "dpkg-dev"), ("make", "make"))
_REFLECT2 = Path("/usr/share/gocode/src/github.com/modern-go/reflect2")
_STEPS = {
    "step: package lists": ("package lists", 0.0),
    "step: source": ("downloading the source", 0.03),
    "step: build": ("building", 0.1),
}


@dataclass(frozen=True)
class Programs:
    """The programs of one version, `v1.20.2`, in a folder. `key` changes with any of them."""

    version: str
    directory: Path
    key: str


def ensure(cache: Path, progress: Progress, version: str = DEBIAN_VERSION, programs: Sequence[str] = PROGRAMS) -> Programs:
    """The programs from the cache, fetched or built there first if need be; `progress` hears of that only.

    Raises BadInput for a version that the source does not have, HarnessError and its kin when it cannot be had.
    """
    wanted = tuple(sorted(programs))
    source = os.environ.get(VARIABLE, "")
    if source.startswith(("http://", "https://")):
        kept = Store(cache, KIND).obtain(
            _key("release", version, wanted), lambda folder, _: fetch(source, version, wanted, folder, progress), progress
        )
        return Programs(version, kept.directory, kept.key)
    if source:
        return _from_folder(Path(source), wanted)
    if version != DEBIAN_VERSION:
        hint = f"{VARIABLE}=https://dl.k8s.io, or a folder that holds its programs"
        raise BadInput(f"Debian has the source of Kubernetes {DEBIAN_VERSION}, not of {version}", hint=hint)
    kept = Store(cache, KIND).obtain(debian_key(wanted), lambda folder, lock: _build(folder, lock, wanted, progress), progress)
    return Programs(version, kept.directory, kept.key)


def debian_key(programs: Sequence[str] = PROGRAMS) -> str:
    """The key of what is built from Debian's source package."""
    script = hashlib.sha256((_HERE / "build.sh").read_bytes()).hexdigest()
    return _key(f"debian {_RECIPE} {script}", DEBIAN_VERSION, tuple(sorted(programs)))


def _key(source: str, version: str, programs: tuple[str, ...]) -> str:
    return hashlib.sha256(f"{source} {version} {' '.join(programs)}".encode()).hexdigest()[:32]


def _from_folder(folder: Path, programs: tuple[str, ...]) -> Programs:
    """What a person has put there. The version is what kubectl says."""
    missing = [name for name in programs if not os.access(folder / name, os.X_OK)]
    if missing:
        raise BadInput(f"{folder} ({VARIABLE}) does not hold {', '.join(missing)}")
    said = run([folder / "kubelet", "--version"], timeout=30).stdout.split()
    digest = hashlib.sha256()
    for name in programs:
        stat = (folder / name).stat()
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return Programs(said[-1], folder.absolute(), digest.hexdigest()[:32])


def _build(folder: Path, lock: int, programs: tuple[str, ...], progress: Progress) -> None:
    for tool, package in _PACKAGES:
        require(tool, package)
    if not _REFLECT2.is_dir():
        hint = "apt-get install -y --no-install-recommends golang-github-modern-go-reflect2-dev"
        raise HarnessError(f"{_REFLECT2} is missing", hint=hint)
    work = folder / "work"
    work.mkdir()
    proxies = {name: os.environ[name] for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ}
    # Whatever else a person does on this computer comes first.
    argv: tuple[str | Path, ...] = ("nice", "-n", "10", "bash", _HERE / "build.sh", work, *(f"cmd/{name}" for name in programs))
    with spawn(argv, log=folder / "build.log", env=proxies, pass_fds=[lock], grace=5.0) as process:
        _follow(process, work, programs, progress)
        if process.wait(0) != 0:
            raise CommandFailed(f"Kubernetes was not built: exit {process.poll()}\n{process.tail()}")
    for name in programs:
        shutil.move(work / "source/_output/local/bin/linux/amd64" / name, folder / name)
    remove_tree(work)
    (folder / "build.log").unlink()


def _follow(process: Process, work: Path, programs: tuple[str, ...], progress: Progress) -> None:
    """Tell of each step as its line appears, and of each program that is there, until the process ends."""
    deadline = time.monotonic() + _BUILD_SECONDS
    built = work / "source/_output/local/bin/linux/amd64"
    told: set[str] = set()

    def tell(what: str, done: float) -> None:
        if what not in told:
            told.add(what)
            progress(what, done)

    with process.log.open(encoding="utf-8", errors="replace") as log:
        while process.poll() is None:
            for line in log:
                if line.strip() in _STEPS:
                    tell(*_STEPS[line.strip()])
            there = [name for name in programs if (built / name).exists()]
            for number, name in enumerate(there, 1):
                tell(name, 0.3 + 0.7 * number / len(programs))
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"Kubernetes is not built after {_BUILD_SECONDS:g} s\n{process.tail()}")
            _wait(process, 0.5)


def _wait(process: Process, seconds: float) -> None:
    try:
        process.wait(seconds)
    except DeadlineExceeded:
        return
