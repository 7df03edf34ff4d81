"""How the testbed image is built: packages, initrd, squashfs. The steps of a shell kind are in `hooks/`.

A variant is the same image with more in it. Its folder holds what is added: packages.txt, units.txt and
squashfs-exclude.txt continue those beside this file, root/ is laid over what is there. Its kernel and initrd are the same.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.artifacts.store import Progress, remove_tree
from kubeception_sim.errors import CommandFailed, DeadlineExceeded
from kubeception_sim.run import Process, require, run, spawn

HERE = Path(__file__).parent
RECIPE = 4  # to be raised when this file changes what comes out
SUITE = "bookworm"
EPOCH = 1_735_689_600  # 2025-01-01: timestamps of generated files, so that equal packages give equal images
KERNEL, INITRD, ROOTFS = "kernel", "initrd.zst", "rootfs.squashfs"

BUILD_SECONDS = 1800.0
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_TOOLS = (
    ("mmdebstrap", "mmdebstrap"),
    ("mksquashfs", "squashfs-tools"),
    ("zstd", "zstd"),
    ("unshare", "util-linux"),
    ("dpkg-deb", "dpkg"),
)


@dataclass(frozen=True)
class Milestone:
    """A line of the build's log that tells how far it is: the step's name and the part of the whole done before it."""

    line: str
    step: str
    done: float


MILESTONES = (
    Milestone("I: running apt-get update", "package lists", 0.02),
    Milestone("I: downloading packages", "downloading packages", 0.10),
    Milestone("I: extracting archives", "unpacking", 0.25),
    Milestone("I: installing essential packages", "installing the base", 0.30),
    Milestone("I: installing remaining packages", "installing packages", 0.45),
    Milestone("step: kernel", "kernel", 0.75),
    Milestone("step: configuration", "configuration", 0.82),
    Milestone("step: initrd", "initrd", 0.86),
    Milestone("I: cleaning package lists", "cleaning up", 0.90),
)


@dataclass(frozen=True)
class Variant:
    """What an image has beyond the testbed's own: a folder of additions, and a step that fills the root before it is packed."""

    folder: Path
    fill: Callable[[Path], None]


def files(folder: Path = HERE) -> Iterator[Path]:
    """Every file that goes into the image or says how it is made; the Python around them counts by RECIPE."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in {".py", ".pyc"}:
            yield path


def build(folder: Path, lock: int, packages: Path, progress: Progress, variant: Variant | None = None) -> None:
    """Build kernel, initrd and root file system into the empty `folder`; `packages` keeps what apt downloads, for all variants.

    `lock` is passed on to mmdebstrap, which outlives a killed harness until the package in hand is configured.
    """
    for tool, package in _TOOLS:
        require(tool, package)
    packages.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    progress("starting", 0.0)
    bootstrap(folder, root, lock, packages, progress, variant)
    if variant:
        progress("filling the root file system", 0.91)
        variant.fill(root)
    progress("compressing the initrd", 0.93)
    # lz4 unpacks half a second faster under emulation, but its file is a quarter larger, and a BIOS machine
    # downloads at 1 to 3 MB/s through undionly.kpxe. The output does not depend on the number of threads.
    run(["zstd", "-q", "-9", "-T0", folder / "initrd.cpio", "-o", folder / INITRD], timeout=300)
    progress("compressing the root file system", 0.95)
    squash(root, folder / ROOTFS, lines("squashfs-exclude.txt", variant))
    progress("checksums", 0.98)
    for leftover in (folder / "initrd.cpio", folder / "build.log"):
        leftover.unlink()
    remove_tree(root)


def bootstrap(folder: Path, root: Path, lock: int, packages: Path, progress: Progress, variant: Variant | None = None) -> None:
    """Install the packages into `root` and run the hooks, which leave kernel and raw initrd in `folder`."""
    log = folder / "build.log"
    environment = {
        **{name: os.environ[name] for name in _PROXIES if name in os.environ},
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "INITRD": "No",
        "TMPDIR": str(folder),
        "KUBECEPTION_RECIPE": str(HERE),
        "KUBECEPTION_PACKAGES": str(packages),
        "KUBECEPTION_OUTPUT": str(folder),
        "KUBECEPTION_VARIANT": str(variant.folder) if variant else "",
    }
    command = bootstrap_command(root, included=lines("packages.txt", variant), sources=host_sources(), apt=host_apt_options())
    with spawn(command, log=log, env=environment, pass_fds=[lock], grace=30.0) as process:
        _follow(process, progress)
        if process.wait(0) != 0:
            raise CommandFailed(f"the image was not built: exit {process.poll()}\n{process.tail()}")


def bootstrap_command(root: Path, *, included: list[str], sources: list[str], apt: list[str]) -> list[str]:
    """The mmdebstrap call, in a mount namespace of its own: whatever ends it, no mount stays in `root`."""
    options = [
        "--mode=root",
        "--variant=apt",
        "--format=directory",
        "--skip=download/empty,essential/unlink",
        *(f"--aptopt={line}" for line in apt),
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/share/{tree}/*" for tree in ("doc", "man", "info", "locale", "i18n/locales")),
        "--dpkgopt=force-unsafe-io",
        f"--include={','.join(included)}",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        f'--setup-hook=sh {HERE}/hooks/setup.sh "$1"',
        f'--customize-hook=sh {HERE}/hooks/customize.sh "$1"',
    ]
    return ["unshare", "--mount", "mmdebstrap", *options, SUITE, str(root), *sources]


def lines(name: str, variant: Variant | None = None) -> list[str]:
    """What is listed in the file `name`, one a line, without comments: the testbed's, then what the variant adds."""
    folders = [HERE, *([variant.folder] if variant else [])]
    found = (line.partition("#")[0].strip() for folder in folders for line in (folder / name).read_text().splitlines())
    return [line for line in found if line]


def apt_sources(listed: str) -> list[str]:
    """One-line apt sources of the suite: the mirror this host uses; none where it has none, and mmdebstrap takes Debian's own.

    `listed` is one index a line: URI, suite, component.
    """
    wanted = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
    rows = [line.split() for line in listed.splitlines()]
    own = [f"deb {row[0]} {row[1]} main" for row in rows if len(row) == 3 and row[1] in wanted and row[2] == "main"]
    if any(line.split()[2] == SUITE for line in own):
        return sorted(set(own))
    return []


def carried_apt_options(dump: str) -> list[str]:
    """What of `apt-config dump` says how this host reaches its mirror: proxies, date checks, retries."""
    carried = re.compile(r"Acquire::(http|https|Check-Valid-Until|Check-Date|Retries)(::\S*[^:\s])? \"[^\"]+\";")
    return [line.rstrip(";") for line in dump.splitlines() if carried.fullmatch(line)]


def squash(root: Path, rootfs: Path, excluded: list[str]) -> None:
    """Pack `root` without what is `excluded`.

    zstd's low levels lose 5 % of size to the default and take a second instead of forty.
    """
    environment = {"SOURCE_DATE_EPOCH": str(EPOCH)}
    listed = rootfs.with_suffix(".exclude")
    listed.write_text("".join(f"{line}\n" for line in excluded))
    options = ["-comp", "zstd", "-Xcompression-level", "3", "-no-progress", "-quiet", "-noappend", "-no-xattrs"]
    run(["mksquashfs", root, rootfs, *options, "-wildcards", "-ef", listed], timeout=600, env=environment)
    listed.unlink()


def host_sources() -> list[str]:
    """The apt sources that this host uses."""
    columns = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    found = run(["apt-get", "indextargets", "--format", columns, "Created-By: Packages"], timeout=60, check=False)
    return apt_sources(found.stdout)


def host_apt_options() -> list[str]:
    """How this host reaches its mirror, as options for apt."""
    return carried_apt_options(run(["apt-config", "dump", "Acquire"], timeout=60, check=False).stdout)


def _follow(process: Process, progress: Progress) -> None:
    """Tell of each milestone as its line appears in the log, until the process ends."""
    deadline = time.monotonic() + BUILD_SECONDS
    with process.log.open(encoding="utf-8", errors="replace") as log:
        while True:
            ended = process.poll() is not None
            for line in log:
                for milestone in MILESTONES:
                    if line.startswith(milestone.line):
                        progress(milestone.step, milestone.done)
            if ended:
                return
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"no image after {BUILD_SECONDS:g} s\n{process.tail()}")
            _wait(process, 0.2)


def _wait(process: Process, seconds: float) -> None:
    try:
        process.wait(seconds)
    except DeadlineExceeded:
        return
