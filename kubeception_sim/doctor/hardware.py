"""What guests get of the machine: accelerators, huge pages, memory, processors, disk."""

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kubeception_sim.doctor.accelerator import find_accelerator
from kubeception_sim.doctor.finding import Finding, Group, Part, Status, Thing
from kubeception_sim.errors import HarnessError, KubeceptionError
from kubeception_sim.lab import default_root
from kubeception_sim.model.boot import Accelerator

VHOST = Path("/dev/vhost-net")
CACHE_BYTES = 2 << 30  # an image is about 100 MB; while it is built there are its tree and the packages beside it
LAB_BYTES = 64 << 20  # consoles, logs, a private NVRAM per UEFI machine
MEMORY_BYTES = 1 << 30  # one emulated machine of 512 MiB and its translation buffer

_VHOST_GET_FEATURES, _VHOST_SET_OWNER = 0x8008AF00, 0xAF01  # <linux/vhost.h>
_MAP_HUGETLB = 0x40000  # <asm-generic/mman-common.h>
_ENABLE = "enable (nested) virtualisation; without it guests are emulated, several times slower"
_JOIN = "run as root, or join its group: usermod -aG kvm $USER"
_RUNS = Thing("guest boots", Group.GUESTS, "virtual machines", "see the attempts", frozenset((Part.GUEST,)))
_KVM = Thing("KVM", Group.GUESTS, "guests at the processor's own speed", _ENABLE)
_NESTED = Thing(
    "nested KVM", Group.GUESTS, "KVM inside of guests", "modprobe -r kvm_intel; modprobe kvm_intel nested=1 (or kvm_amd)"
)
_ALL = frozenset((Part.FABRIC,))


def try_guests(cache: Path) -> Iterator[Finding]:
    """Boot a guest, unless a verdict is in `cache`."""
    try:
        verdict = find_accelerator(cache)
    except KubeceptionError as error:
        yield _RUNS.found(Status.MISSING, error.message, error.hint)
        yield _KVM.untried("no QEMU", error.hint)
        yield _NESTED.untried("no QEMU", error.hint)
        return
    told = "; ".join(f"{each.what}: {each.why or f'{each.seconds:.1f} s'}" for each in verdict.attempts)
    found = verdict.accelerator
    yield _RUNS.found(Status.OK, f"with {found}") if found is not Accelerator.NONE else _RUNS.found(Status.MISSING, told)
    if found is Accelerator.KVM:
        yield _KVM.found(Status.OK, "a guest boots")
        yield _nested()
    else:
        why = next(each.why for each in verdict.attempts if not each.ok)
        yield _KVM.found(Status.MISSING, why, _JOIN if why.endswith("cannot be opened") else "")
        yield _NESTED.untried("no guest runs with KVM here that could have one inside", _ENABLE)


def try_devices() -> list[Finding]:
    """vhost-net and huge pages: no driver needs them."""
    vhost = Thing("vhost-net", Group.GUESTS, "faster cards of guests", "modprobe vhost_net")
    pages = Thing("huge pages", Group.GUESTS, "fewer faults in big guests", "sysctl vm.nr_hugepages=512")
    return [vhost.tried(_vhost), pages.tried(_huge_page)]


def try_room(cache: Path) -> list[Finding]:
    """Disk is reserved and given back; memory is the kernel's estimate, for to touch it all could end the wrong process."""
    return [
        _space("disk for images", "cache of artifacts", cache, CACHE_BYTES),
        _space("disk for labs", "consoles and logs", default_root(), LAB_BYTES),
        Thing("memory", Group.ROOM, "one emulated machine", "end other programs, or use a bigger host", _ALL).tried(_memory),
        Thing("processors", Group.ROOM, "more machines at once", "use a bigger host").tried(
            lambda: f"{len(os.sched_getaffinity(0))} to run on"
        ),
    ]


def available_memory() -> int:
    """Bytes, as the kernel estimates (proc(5), MemAvailable)."""
    return _meminfo("MemAvailable") << 10


def _nested() -> Finding:
    """Its parameter is asked; a guest in a guest would need an image with QEMU inside."""
    for name in ("kvm_intel", "kvm_amd"):
        parameter = Path(f"/sys/module/{name}/parameters/nested")
        if parameter.exists():
            value = parameter.read_text().strip()
            if value not in ("1", "Y"):
                return _NESTED.found(Status.MISSING, f"{parameter} is {value}")
            return _NESTED.untried(f"{parameter} is {value}; no guest was started in a guest", "nothing to do")
    return _NESTED.untried("neither kvm_intel nor kvm_amd has a parameter `nested` here")


def _vhost() -> str:
    handle = os.open(VHOST, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, _VHOST_SET_OWNER)
        features = fcntl.ioctl(handle, _VHOST_GET_FEATURES, bytes(8))
    finally:
        os.close(handle)
    return f"features {int.from_bytes(features, 'little'):#x}"


def _huge_page() -> str:
    size, free = _meminfo("Hugepagesize"), _meminfo("HugePages_Free")
    try:
        mmap.mmap(-1, size << 10, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_HUGETLB).close()
    except OSError as error:
        raise HarnessError(f"{error.strerror}; {free} free of {size} KiB") from error
    return f"{free} free of {size} KiB"


def _meminfo(field: str) -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    if field not in fields:
        raise HarnessError(f"/proc/meminfo has no {field}: the kernel is built without")
    return int(fields[field].split()[0])


def _memory() -> str:
    available = available_memory()
    if available < MEMORY_BYTES:
        raise HarnessError(f"{available >> 20} MiB available, {MEMORY_BYTES >> 20} MiB needed")
    return f"{available >> 20} MiB available"


def _space(what: str, means: str, directory: Path, size: int) -> Finding:
    def reserve() -> str:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            os.posix_fallocate(file.fileno(), 0, size)
        status = os.statvfs(directory)
        return f"{status.f_bavail * status.f_frsize >> 20} MiB free in {directory}"

    fix = f"free {size >> 20} MiB in {directory}, or choose another directory"
    return Thing(what, Group.ROOM, means, fix, _ALL).tried(reserve)
