"""Kubernetes' programs: from a folder, from a server with the official layout, or built from Debian's source package.

    programs = ensure(default_cache(), progress)          # built once, if nothing else is named
    programs.directory / "kubelet"

`$KUBECEPTION_KUBERNETES` names another source: a folder that holds the programs, or the URL of a release server
(https://dl.k8s.io). docs/artifacts.md says what each costs.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.kubernetes import debian
from kubeception_sim.artifacts.kubernetes.release import fetch
from kubeception_sim.artifacts.store import Progress, Store
from kubeception_sim.errors import BadInput
from kubeception_sim.run import run

KIND = "kubernetes"
VARIABLE = "KUBECEPTION_KUBERNETES"
DEBIAN_VERSION = debian.VERSION
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")


@dataclass(frozen=True)
class LocalDirectory:
    """A folder that holds the programs; it is used where it is. The version is the one that they tell."""

    path: Path


@dataclass(frozen=True)
class Release:
    """A server with the layout of dl.k8s.io below `base`, an http or https URL."""

    base: str


@dataclass(frozen=True)
class DebianSource:
    """The source package of Debian bookworm, which has one version: DEBIAN_VERSION."""


Source = LocalDirectory | Release | DebianSource


@dataclass(frozen=True)
class Programs:
    """The programs of one version, `v1.20.2`, in a folder. `key` changes with any of them."""

    version: str
    directory: Path
    key: str


def ensure(
    cache: Path,
    progress: Progress,
    version: str | None = None,
    programs: Sequence[str] = PROGRAMS,
    *,
    source: Source | None = None,
) -> Programs:
    """The programs from the cache, fetched or built there first if need be; `progress` hears of that only.

    Without a `source` it is the one of the environment; without a `version`, the one that a folder has, else DEBIAN_VERSION.
    Raises BadInput for a version or a program that the source does not have, HarnessError and its kin when it cannot be had.
    """
    source = source or chosen()
    wanted = tuple(sorted(programs))
    promised = expected(cache, version, wanted, source=source)

    def make(folder: Path, lock: int) -> None:
        if isinstance(source, Release):
            fetch(source.base, promised.version, wanted, folder, cache / "packages" / f"kubernetes-{promised.version}", progress)
        else:
            debian.build(folder, lock, wanted, progress)

    if not isinstance(source, LocalDirectory):
        Store(cache, KIND).obtain(promised.key, make, progress)
    return promised


def expected(
    cache: Path, version: str | None = None, programs: Sequence[str] = PROGRAMS, *, source: Source | None = None
) -> Programs:
    """What `ensure` would return. Nothing is fetched or built for it: but for a folder of one's own, it may not be there."""
    wanted = tuple(sorted(programs))
    match source or chosen():
        case LocalDirectory(path):
            return _in_place(path, wanted, version)
        case Release() | DebianSource() as elsewhere:
            found = key(elsewhere, version or DEBIAN_VERSION, wanted)
            return Programs(version or DEBIAN_VERSION, cache / KIND / found, found)


def chosen() -> Source:
    """The source that the environment names; Debian's where it names none."""
    named = os.environ.get(VARIABLE, "")
    if named.startswith(("http://", "https://")):
        return Release(named)
    return LocalDirectory(Path(named)) if named else DebianSource()


def key(source: Release | DebianSource, version: str = DEBIAN_VERSION, programs: Sequence[str] = PROGRAMS) -> str:
    """The key of the cache's entry, 32 hex digits. Every source of the same release has the same one.

    Raises BadInput for a version that Debian does not have.
    """
    match source:
        case Release():
            origin = "release"
        case DebianSource():
            if version != DEBIAN_VERSION:
                hint = f"{VARIABLE}=https://dl.k8s.io, or a folder that holds its programs"
                raise BadInput(f"Debian has the source of Kubernetes {DEBIAN_VERSION}, not of {version}", hint=hint)
            origin = debian.key()
    return hashlib.sha256(f"{origin} {version} {' '.join(sorted(programs))}".encode()).hexdigest()[:32]


def _in_place(folder: Path, programs: Sequence[str], version: str | None) -> Programs:
    """What a person has put there."""
    missing = [name for name in programs if not os.access(folder / name, os.X_OK)]
    if missing:
        raise BadInput(f"{folder} does not hold {', '.join(missing)}", hint=f"the folder is the one that {VARIABLE} names")
    told = _version(folder)
    if version not in (None, told):
        raise BadInput(f"{folder} holds Kubernetes {told}, not {version}", hint=f"the folder is the one that {VARIABLE} names")
    digest = hashlib.sha256()
    for name in programs:
        stat = (folder / name).stat()
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return Programs(told, folder.absolute(), digest.hexdigest()[:32])


def _version(folder: Path) -> str:
    """What the first of its programs says, v1.20.2. kubectl is not asked: its answer depends on its own version."""
    for name in ("kubelet", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"):
        if os.access(folder / name, os.X_OK):
            return run([folder / name, "--version"], timeout=30).stdout.split()[-1]
    raise BadInput(f"{folder} holds no program that tells its version", hint="put kubelet there")
