"""What a scenario needs from this host, each thing tried for real, with the command that provides it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kubeception_sim.doctor.accelerator import OVMF_CODE, OVMF_VARS, QEMU, QEMU_PACKAGE, find_accelerator
from kubeception_sim.errors import KubeceptionError
from kubeception_sim.lab import Lab, default_root
from kubeception_sim.model.boot import Accelerator
from kubeception_sim.run import require, run

IPXE_FILES = (Path("/usr/lib/ipxe/undionly.kpxe"), Path("/usr/lib/ipxe/snponly.efi"))
CACHE_BYTES = 2 << 30  # an image is about 100 MB; while it is built there are its tree and the packages beside it
LAB_BYTES = 64 << 20  # consoles, logs, a private NVRAM per UEFI machine
MEMORY_BYTES = 1 << 30  # one emulated machine of 512 MiB and its translation buffer

_SECONDS = 15.0


@dataclass(frozen=True)
class Tool:
    """A program, the Debian package it comes in, and the arguments with which it does nothing but say who it is."""

    name: str
    package: str
    arguments: tuple[str, ...] = ("--version",)


TOOLS = (
    Tool(QEMU, QEMU_PACKAGE),
    Tool("ip", "iproute2", ("-Version",)),
    Tool("ssh", "openssh-client", ("-V",)),
    Tool("ssh-keygen", "openssh-client", ("-?",)),
    Tool("mmdebstrap", "mmdebstrap"),
    Tool("mksquashfs", "squashfs-tools", ("-version",)),
    Tool("zstd", "zstd"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was tried. `fix` is a command, or else what to do; `required`: no scenario runs without it."""

    what: str
    ok: bool
    detail: str
    fix: str = ""
    required: bool = True


def examine(cache: Path) -> list[Finding]:
    """Try everything. `cache` is the directory for images. Takes 2 to 4 s, longer when something hangs."""
    return [
        *_network(),
        *(_tool(tool) for tool in TOOLS),
        _files("OVMF firmware", (OVMF_CODE, OVMF_VARS), "ovmf"),
        _files("iPXE boot files", IPXE_FILES, "ipxe"),
        _space("disk for images", cache, CACHE_BYTES),
        _space("disk for labs", default_root(), LAB_BYTES),
        _memory(),
        *_accelerators(cache),
    ]


def can_run(findings: list[Finding]) -> bool:
    """Whether scenarios can run here."""
    return all(finding.ok for finding in findings if finding.required)


def _network() -> Iterator[Finding]:
    """A namespace, then a bridge and a tap in it: what every fabric does first."""
    root = "run as root: sudo kubeception doctor"
    try:
        with Lab.create() as lab:
            name = lab.namespace("doctor")
            namespace = _tried("network namespace", root, lambda: run(["ip", "netns", "add", name], timeout=_SECONDS))
            yield namespace
            if not namespace.ok:
                return
            try:
                inside = ["ip", "-netns", name]
                bridge = [*inside, "link", "add", "br0", "type", "bridge"]
                tap = [*inside, "tuntap", "add", "dev", "tap0", "mode", "tap"]
                yield _tried("bridge in it", "modprobe bridge", lambda: run(bridge, timeout=_SECONDS))
                yield _tried("tap device in it", "modprobe tun", lambda: run(tap, timeout=_SECONDS))
            finally:
                run(["ip", "netns", "delete", name], timeout=_SECONDS)
    except KubeceptionError as error:
        yield Finding("lab directory", False, error.message, error.hint)


def _tool(tool: Tool) -> Finding:
    """It must start. What it exits with does not matter: some have no harmless argument."""

    def start() -> str:
        path = require(tool.name, tool.package)
        done = run([path, *tool.arguments], timeout=_SECONDS, check=False)
        first = next(iter((done.stdout or done.stderr).splitlines()), "")
        return first if any(map(str.isdigit, first)) else str(path)

    return _tried(tool.name, f"apt-get install -y --no-install-recommends {tool.package}", start)


def _files(what: str, files: tuple[Path, ...], package: str) -> Finding:
    def read() -> str:
        for file in files:
            with file.open("rb") as opened:
                if not opened.read(1):
                    raise OSError(0, "empty", str(file))
        return ", ".join(map(str, files))

    return _tried(what, f"apt-get install -y --no-install-recommends {package}", read)


def _space(what: str, directory: Path, size: int) -> Finding:
    """Reserve the space in a file without a name, which is gone when it is closed."""

    def reserve() -> str:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            os.posix_fallocate(file.fileno(), 0, size)
        return f"{size >> 20} MiB in {directory}"

    return _tried(what, f"free {size >> 20} MiB in {directory}, or choose another directory", reserve)


def _memory() -> Finding:
    """The kernel's own estimate. The one thing not tried: to touch it all could end the wrong process."""

    def ask() -> str:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        available = int(fields["MemAvailable"].split()[0]) << 10
        if available < MEMORY_BYTES:
            raise OSError(0, f"{available >> 20} MiB available, {MEMORY_BYTES >> 20} MiB needed")
        return f"{available >> 20} MiB available"

    return _tried("memory", "end other programs, or use a bigger host", ask)


def _accelerators(cache: Path) -> Iterator[Finding]:
    try:
        verdict = find_accelerator(cache)
    except KubeceptionError as error:
        yield Finding("guest boots", False, error.message, error.hint)
        return
    tried = "; ".join(f"{a.what}: {a.why or f'{a.seconds:.1f} s'}" for a in verdict.attempts)
    found = verdict.accelerator
    yield Finding("guest boots", found is not Accelerator.NONE, f"with {found}" if found is not Accelerator.NONE else tried)
    if found is Accelerator.TCG:
        why = next(a.why for a in verdict.attempts if not a.ok)
        fix = "enable (nested) virtualisation; without it guests are emulated, several times slower"
        yield Finding("KVM", False, why, fix, required=False)


def _tried(what: str, fix: str, attempt: Callable[[], object]) -> Finding:
    try:
        result = attempt()
    except KubeceptionError as error:
        return Finding(what, False, error.message, error.hint or fix)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return Finding(what, False, f"{where}{error.strerror}", fix)
    return Finding(what, True, result if isinstance(result, str) else "")
