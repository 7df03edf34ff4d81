"""The layer of QEMU: of its package and all that it needs, the files without which a machine of an inner cluster does not run.

The packages are downloaded, for the base that is there, and unpacked; none of their scripts runs. What is kept: programs,
the firmware that starts a kernel which is given, and the libraries that the dynamic linker says they load.
"""

import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubeception_sim.artifacts.oci import Layer, write_layer
from kubeception_sim.errors import CommandFailed
from kubeception_sim.run import require, run

VM = "vm.tar"
PACKAGES = Path(__file__).with_name("packages-vm.txt")

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_PROGRAMS = ("usr/bin/qemu-system-x86_64", f"{_LIBRARIES}/qemu/accel-tcg-x86_64.so", "usr/sbin/mke2fs")
_FIRMWARE = ("usr/share/seabios/bios-256k.bin", "usr/share/qemu/linuxboot_dma.bin", "usr/share/qemu/kvmvapic.bin")
_DOWNLOADED = "vm-packages"
_MERGED = ("bin", "lib", "lib64", "sbin")


def download_hook(root: Path, packages: Sequence[str]) -> str:
    """What mmdebstrap is to run while `root` has its package lists: download what is missing there, and install nothing."""
    options = ("--yes", "--download-only", "-o", f"Dir::Cache::archives={_downloads(root)}", "-o", "APT::Sandbox::User=root")
    folder = shlex.quote(f"{_downloads(root)}/partial")
    return f'mkdir -p {folder} && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get {shlex.join((*options, "install", *packages))}'


def write(path: Path, root: Path) -> Layer:
    """The layer. `root` is that of the base, with the packages downloaded by the hook; all of them are unpacked into it.

    Raises MissingTool, or CommandFailed when a library is missing.
    """
    unpacked = root.with_name("vm-unpacked")
    for package in sorted(_downloads(root).glob("*.deb")):
        require("dpkg-deb", "dpkg")
        run(["dpkg-deb", "--extract", package, unpacked], timeout=60)
    _merge(unpacked)
    run(["cp", "--archive", "--no-target-directory", unpacked / "usr", root / "usr"], timeout=60)
    wanted = [*_PROGRAMS, *_FIRMWARE, *_libraries(root)]
    # What the base has already is not in what was unpacked.
    files = {name: unpacked / name for name in wanted if (unpacked / name).exists()}
    if missing := [name for name in wanted if not (root / name).exists()]:
        raise CommandFailed(f"the packages of {PACKAGES.name} do not have {', '.join(missing)}")
    layer = write_layer(path, files)
    for folder in (unpacked, _downloads(root)):
        shutil.rmtree(folder, ignore_errors=True)
    return layer


def _downloads(root: Path) -> Path:
    return root.with_name(_DOWNLOADED)


def _merge(unpacked: Path) -> None:
    """As usr-is-merged does: a folder /lib in a layer would take the place of the base's link to /usr/lib."""
    for name in _MERGED:
        if (unpacked / name).is_dir():
            shutil.copytree(unpacked / name, unpacked / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(unpacked / name)


def _libraries(root: Path) -> Iterator[str]:
    """The names below `root` that the linker resolves, each with the file that it is a link to."""
    said = run(["chroot", root, "ldd", *(f"/{name}" for name in _PROGRAMS)], timeout=60).stdout
    if lost := re.findall(r"(\S+) => not found", said):
        raise CommandFailed(f"libraries that are not found: {', '.join(sorted(set(lost)))}")
    for found in sorted(set(re.findall(r"=> /(\S+)", said))):
        name = Path("usr") / found.removeprefix("usr/")
        yield str(name)
        if (root / name).is_symlink():
            yield str(name.parent / (root / name).readlink())
