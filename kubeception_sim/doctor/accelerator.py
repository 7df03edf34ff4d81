"""Which accelerator runs guests here: KVM, or else QEMU's own emulation, or none.

A device node proves nothing, and neither does a tiny guest. On a machine whose KVM is itself virtualised in software
(kvm-pvm), a boot sector ran under KVM and printed its letter (after 2.9 s; emulation took 0.1 s), while SeaBIOS with
iPXE and OVMF both died of "KVM internal error: emulation failure", and `-cpu host` aborted before the first
instruction. So the probes are the firmware that machines will boot, up to the sign of life that all the rest depends
on: iPXE has opened its network card, OVMF tries to boot from it. iPXE is there after about 2.3 s, half of which is its
own banner; OVMF after about 4 s when emulated.

The verdict is kept per boot of the host, QEMU binary and firmware file, since nothing else decides it.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kubeception_sim.errors import CommandFailed, HarnessError
from kubeception_sim.model.boot import Accelerator, Firmware
from kubeception_sim.run import Process, require, spawn

QEMU = "qemu-system-x86_64"
QEMU_PACKAGE = "qemu-system-x86"
KVM = Path("/dev/kvm")
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

DEADLINE_SECONDS = {Accelerator.KVM: 10.0, Accelerator.TCG: 60.0}
_SIGNS_OF_LIFE = {Firmware.BIOS: "Configuring (net0", Firmware.UEFI: "Start PXE over IPv4"}
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Attempt:
    """One guest that was tried. `why` says what came instead of the sign of life; it is empty when that came."""

    what: str
    ok: bool
    seconds: float
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """The accelerator to use, and what it is founded on."""

    accelerator: Accelerator
    attempts: tuple[Attempt, ...]


def guest_options(accelerator: Accelerator) -> tuple[str, ...]:
    """QEMU's options for an accelerator: the ones that were tried are the ones that machines get.

    TCG: a machine that only boots fills no translation buffer of 256 MiB. A control plane fills it ten times while it starts
    (`info jit` of QEMU's monitor), and all is translated again each time: with 1024 a master runs after 143 s, not 179. Only
    what is filled takes memory. qemu64 beats `max`, which makes guests use instructions that are slow to emulate. Raises
    HarnessError for `none`.
    """
    match accelerator:
        case Accelerator.KVM:
            return ("-accel", "kvm", "-cpu", "host")
        case Accelerator.TCG:
            return ("-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "qemu64")
        case Accelerator.NONE:
            raise HarnessError("no accelerator runs a guest on this host", hint="kubeception doctor")


def find_accelerator(cache: Path | None = None) -> Verdict:
    """Try KVM, then TCG. A verdict is remembered in the directory `cache`, unless it is that none works.

    Raises MissingTool when QEMU is not installed. Takes up to 70 s when everything hangs, about 2.5 s when all is well.
    """
    key = _fingerprint(require(QEMU, QEMU_PACKAGE))
    remembered = _remembered(cache, key)
    if remembered:
        return remembered
    attempts: list[Attempt] = []
    for accelerator in (Accelerator.KVM, Accelerator.TCG):
        tried = _try(accelerator)
        attempts += tried
        if all(attempt.ok for attempt in tried):
            verdict = Verdict(accelerator, tuple(attempts))
            _remember(cache, key, verdict)
            return verdict
    return Verdict(Accelerator.NONE, tuple(attempts))


def _try(accelerator: Accelerator) -> list[Attempt]:
    """BIOS, and OVMF under KVM: emulation has no hardware to disagree with, so one firmware is enough for it."""
    if accelerator is Accelerator.KVM and not os.access(KVM, os.R_OK | os.W_OK):
        reason = "cannot be opened" if KVM.exists() else "does not exist"
        return [Attempt("kvm", False, 0.0, f"{KVM} {reason}")]
    attempts = [_boot(accelerator, Firmware.BIOS)]
    if accelerator is Accelerator.KVM and attempts[0].ok and OVMF_CODE.exists():
        attempts.append(_boot(accelerator, Firmware.UEFI))
    return attempts


def _boot(accelerator: Accelerator, firmware: Firmware) -> Attempt:
    what = f"{accelerator}, {firmware} to its network boot"
    began = time.monotonic()
    with TemporaryDirectory(prefix="kubeception-doctor-") as name:
        directory = Path(name)
        try:
            with spawn(_command(accelerator, firmware), log=directory / "qemu.log", cwd=directory, grace=1.0) as guest:
                why = _watch(guest, directory / "console.log", firmware, began + DEADLINE_SECONDS[accelerator])
        except CommandFailed as error:
            why = error.message
    return Attempt(what, not why, round(time.monotonic() - began, 2), why)


def _command(accelerator: Accelerator, firmware: Firmware) -> Sequence[str]:
    """A guest without disk, whose card hangs on QEMU's user-mode network and reaches nothing beyond it."""
    card = "virtio-net-pci,netdev=net,bootindex=0"
    uefi = firmware is Firmware.UEFI
    return (
        *(QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,graphics=off"),
        *(*guest_options(accelerator), "-m", "256"),
        *(("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}") if uefi else ()),
        *(("-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={OVMF_VARS}") if uefi else ()),
        *("-boot", "order=n,menu=off", "-netdev", "user,id=net,restrict=on,ipv6=off"),
        *("-device", f"{card},romfile=" if uefi else card, "-serial", "file:console.log"),
    )


def _watch(guest: Process, console: Path, firmware: Firmware, until: float) -> str:
    """Empty when the sign of life came, else what came instead."""
    while True:
        written = console.read_text(errors="replace") if console.exists() else ""
        if _SIGNS_OF_LIFE[firmware] in written:
            return ""
        said = guest.tail()
        if "internal error" in said:  # QEMU stops the guest and stays; nothing more will come
            return next(line for line in said.splitlines() if "internal error" in line) + _last(written)
        code = guest.poll()
        if code is not None:
            return f"QEMU ended with {code}: {'; '.join(said.splitlines()[-2:]) or 'no output'}"
        if time.monotonic() > until:
            return f"no sign of life in time{_last(written)}"
        time.sleep(_POLL_SECONDS)


def _last(written: str) -> str:
    lines = [line.strip() for line in written.splitlines() if line.strip().isprintable() and line.strip()]
    return f"; the console's last line: {lines[-1]!r}" if lines else "; the console stayed empty"


def _fingerprint(qemu: Path) -> str:
    """What the verdict depends on. Size and time stand for a file's version, and cost no start of QEMU."""
    files = [path.resolve() for path in (qemu, OVMF_CODE) if path.exists()]
    parts = [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), str(os.access(KVM, os.R_OK | os.W_OK))]
    parts += [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _remembered(cache: Path | None, key: str) -> Verdict | None:
    try:
        fields = json.loads((cache / f"accelerator-{key}.json").read_text()) if cache else None
        return fields and Verdict(Accelerator(fields["accelerator"]), tuple(Attempt(**attempt) for attempt in fields["attempts"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # an unreadable memory is no memory


def _remember(cache: Path | None, key: str, verdict: Verdict) -> None:
    if not cache:
        return
    with suppress(OSError):  # A verdict that cannot be kept costs the next run two seconds, and is no reason to fail this one.
        cache.mkdir(parents=True, exist_ok=True)
        draft = cache / f".accelerator-{key}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(verdict), indent=2))
        draft.rename(cache / f"accelerator-{key}.json")
