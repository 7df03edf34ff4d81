"""The node image: the testbed OS with Kubernetes in it, for machines of every driver.

    image = ensure(default_cache(), progress)                   of a cluster, and of machines in it
    image = ensure(default_cache(), progress, clusters=True)    of a cluster whose nodes run machines of inner ones

It is a variant of the testbed's recipe: `packages.txt`, `units.txt` and `root/` beside this file are what it has more.
The images of the control plane are not imported when a node boots: the containerd of the new root has unpacked them when it
was built, and a node starts with its databases. What a node's root promises its driver is in docs/node-image.md.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts import images, kubernetes, testbed
from kubeception_sim.artifacts.store import Progress, Store
from kubeception_sim.artifacts.testbed import Image, recipe
from kubeception_sim.run import require, run

__all__ = ["CLUSTERS_KIND", "KIND", "PROGRAMS", "Image", "Payload", "build", "ensure", "expected_key", "key", "verify"]

KIND = "node"
CLUSTERS_KIND = "node-clusters"
HERE = Path(__file__).parent
PROGRAMS = ("kubelet", "kubectl")
_RECIPE = 1  # to be raised when this file changes what comes out
_UNPACK_SECONDS = 600.0


@dataclass(frozen=True)
class Payload:
    """What is put into the image beside Debian's packages.

    `programs` are files by their names in /usr/bin, `archives` are image archives that `ctr images import` reads, and `key`
    changes with the content of any of them.
    """

    programs: Mapping[str, Path]
    archives: tuple[Path, ...]
    key: str

    @classmethod
    def of_files(cls, programs: Mapping[str, Path], archives: tuple[Path, ...]) -> "Payload":
        """With the checksum of all bytes for a key, for files that no cache vouches for."""
        digest = hashlib.sha256()
        for name, path in (*sorted(programs.items()), *((path.name, path) for path in archives)):
            with path.open("rb") as file:
                digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return cls(programs, archives, digest.hexdigest())


def ensure(cache: Path, progress: Progress, version: str | None = None, *, clusters: bool = False) -> Image:
    """The image with Kubernetes and its images from the cache, each built there first if need be; `version` as for the programs.

    With `clusters`, those of machines and of their controller are among them.
    `progress` hears of builds only, and starts again from 0 with each. Needs root to build. Raises HarnessError and its kin
    when something cannot be built.
    """
    programs = kubernetes.ensure(cache, progress, version)
    made = images.ensure(cache, programs, progress)
    archives = (made.archive, *([images.ensure_clusters(cache, programs, progress)] if clusters else []))
    chosen = {name: programs.directory / name for name in PROGRAMS}
    payload = Payload(chosen, archives, _payload_key(programs, clusters=clusters))
    return build(cache, payload, progress, CLUSTERS_KIND if clusters else KIND)


def expected_key(cache: Path, *, clusters: bool = False) -> str:
    """The key of what `ensure` would return, whether it is there or not."""
    return key(Payload({}, (), _payload_key(kubernetes.expected(cache), clusters=clusters)))


def key(payload: Payload, folder: Path = HERE) -> str:
    """32 hex digits over the testbed's own key, what is added to it, and the payload's key."""
    digest = hashlib.sha256(f"{testbed.key()} {_RECIPE} {payload.key}\n".encode())
    for path in recipe.files(folder):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:32]


def build(cache: Path, payload: Payload, progress: Progress, kind: str = KIND) -> Image:
    """The image with this payload from the cache, built there first if need be (two minutes); `progress` hears of a build only.

    Needs root to build. Raises MissingTool or CommandFailed when it cannot be built.
    """
    packages = cache / "packages" / recipe.SUITE
    variant = recipe.Variant(HERE, lambda root: _fill(root, payload))

    def fresh(folder: Path, lock: int) -> None:
        recipe.build(folder, lock, packages, progress, variant)

    return testbed.image(Store(cache, kind).obtain(key(payload), fresh, progress))


def verify(cache: Path, payload: Payload) -> None:
    """Read the whole image and compare it with its manifest. Raises HarnessError naming what is damaged."""
    Store(cache, KIND).verify(key(payload))


def _payload_key(programs: kubernetes.Programs, *, clusters: bool) -> str:
    return f"{programs.key} {images.clusters_key(programs) if clusters else images.key(programs)}"


def _fill(root: Path, payload: Payload) -> None:
    for name, program in payload.programs.items():
        shutil.copyfile(program, root / "usr/bin" / name)
        (root / "usr/bin" / name).chmod(0o755)
    require("unshare", "util-linux")
    # In namespaces of its own, whose end is the end of all that it mounted and started.
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", HERE / "hooks" / "unpack.sh")
    run([*alone, root, *(archive.absolute() for archive in payload.archives)], timeout=_UNPACK_SECONDS)
