"""The testbed OS: a network-booted image in the manner of CoreOS, made of Debian packages and the real Ignition.

    image = ensure(default_cache(), progress)

builds it when the cache has none (about a minute) and returns at once when it has. What the guest does is in the
files beside this one: `dracut/` is the initrd, `root/` what is laid over the packages of `packages.txt`, `units.txt`
what the real root starts and what it leaves out, `hooks/` how it is put together. Every byte of these files is in the
key of the cache: changing one makes another image.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.store import Entry, Progress, Store, default_cache
from kubeception_sim.artifacts.testbed import recipe

__all__ = ["Image", "default_cache", "ensure", "image", "key", "verify"]

KIND = "testbed"


@dataclass(frozen=True)
class Image:
    """What a machine boots. `rootfs` is a squashfs, `rootfs_sha256` its checksum in hex, `sizes` in bytes by file."""

    key: str
    directory: Path
    kernel: Path
    initrd: Path
    rootfs: Path
    rootfs_sha256: str
    sizes: Mapping[str, int]


def key(folder: Path = recipe.HERE) -> str:
    """32 hex digits over everything that determines the image, save the versions of Debian's packages."""
    digest = hashlib.sha256(f"{recipe.RECIPE} {recipe.SUITE} {recipe.EPOCH}\n".encode())
    for path in recipe.files(folder):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:32]


def ensure(cache: Path, progress: Progress) -> Image:
    """The image from the cache, built there first if need be; `progress` hears of a build only.

    Needs root to build. Raises MissingTool or CommandFailed when it cannot be built.
    """
    packages = cache / "packages" / recipe.SUITE

    def build(folder: Path, lock: int) -> None:
        recipe.build(folder, lock, packages, progress)

    return image(Store(cache, KIND).obtain(key(), build, progress))


def verify(cache: Path) -> None:
    """Read the whole image and compare it with its manifest. Raises HarnessError naming what is damaged."""
    Store(cache, KIND).verify(key())


def image(entry: Entry) -> Image:
    """What an entry of this kind, or of a variant, holds."""
    return Image(
        key=entry.key,
        directory=entry.directory,
        kernel=entry.path(recipe.KERNEL),
        initrd=entry.path(recipe.INITRD),
        rootfs=entry.path(recipe.ROOTFS),
        rootfs_sha256=entry.files[recipe.ROOTFS].sha256,
        sizes={name: record.size for name, record in entry.files.items()},
    )
