"""What the cache holds, what of it would be used now, and how the rest goes.

An entry is *current* when a build with the recipes, sources and settings of now would have its key.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts import images, kubernetes, node, openbao, testbed
from kubeception_sim.artifacts.store import BUILDING, MANIFEST, Progress, Store
from kubeception_sim.errors import HarnessError
from kubeception_sim.lab import announced

FETCH: Mapping[str, Callable[[Path, Progress], Path]] = {
    testbed.KIND: lambda cache, progress: testbed.ensure(cache, progress).directory,
    kubernetes.KIND: lambda cache, progress: kubernetes.ensure(cache, progress).directory,
    images.KIND: lambda cache, progress: images.ensure(cache, kubernetes.ensure(cache, progress), progress).archive.parent,
    node.KIND: lambda cache, progress: node.ensure(cache, progress).directory,
    images.CLUSTERS_KIND: lambda cache, progress: (
        images.ensure_clusters(cache, kubernetes.ensure(cache, progress), progress).parent
    ),
    node.CLUSTERS_KIND: lambda cache, progress: node.ensure(cache, progress, clusters=True).directory,
    openbao.KIND: lambda cache, progress: openbao.ensure(cache, progress).parent,
}
"""How each kind is had, with what it needs before it; the folder that it is in."""

_DOWNLOADS = "packages"  # apt's, and programs half fetched: not made of anything, and of use to every later build


@dataclass(frozen=True)
class Kept:
    """One folder of the cache. `size` in bytes, `made` in seconds since the epoch. One not `whole` is being built, or was."""

    kind: str
    key: str
    directory: Path
    size: int
    made: float
    current: bool
    whole: bool


@dataclass(frozen=True)
class Removal:
    """What became of the attempt to remove one; `problem` is empty when it is gone."""

    kept: Kept
    problem: str = ""


def current(cache: Path) -> dict[str, str]:
    """The key of each kind that a scenario would use now. Raises BadInput when the environment names a source that is none."""
    programs = kubernetes.expected(cache)
    return {
        testbed.KIND: testbed.key(),
        kubernetes.KIND: programs.key,
        images.BASE_KIND: images.base_key(),
        images.KIND: images.key(programs),
        node.KIND: node.expected_key(cache),
        images.CLUSTERS_KIND: images.clusters_key(programs),
        node.CLUSTERS_KIND: node.expected_key(cache, clusters=True),
        openbao.KIND: openbao.VERSION,
    }


def kept(cache: Path) -> list[Kept]:
    """All that is in the cache, by kind and then by age, the newest first."""
    wanted = current(cache)
    folders = [path for path in cache.glob("*/*") if path.is_dir() and path.parent.name != _DOWNLOADS]
    found = [_kept(path, wanted.get(path.parent.name) == path.name) for path in folders]
    return sorted(found, key=lambda each: (each.kind, -each.made, each.key))


def verify(cache: Path, entry: Kept) -> str:
    """Read every byte of it. What is wrong; empty when nothing is."""
    try:
        Store(cache, entry.kind).verify(entry.key)
    except HarnessError as error:
        return error.message
    return ""


def collect(cache: Path, entries: list[Kept]) -> Iterator[Removal]:
    """Remove these, one after the other. Raises HarnessError while a lab lives: its machines may boot from any of them."""
    labs = sorted(announced())
    if labs:
        raise HarnessError(f"nothing is removed while a lab lives: {', '.join(labs)}", hint="again when it is down; or --dry-run")
    for entry in entries:
        try:
            Store(cache, entry.kind).remove(entry.key)
        except (HarnessError, OSError) as error:
            yield Removal(entry, str(error))
        else:
            yield Removal(entry)


def _kept(path: Path, current: bool) -> Kept:
    manifest = path / MANIFEST
    whole = manifest.is_file() and not path.name.startswith(BUILDING)
    size = sum(found.lstat().st_size for found in path.rglob("*") if not found.is_dir())
    made = (manifest if whole else path).stat().st_mtime
    return Kept(path.parent.name, path.name, path, size, made, current and whole, whole)
