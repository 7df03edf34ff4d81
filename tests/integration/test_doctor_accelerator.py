"""The choice of an accelerator, with a program in QEMU's place that behaves as a host's QEMU might."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubeception_sim.doctor import accelerator, find_accelerator
from kubeception_sim.doctor.accelerator import Attempt, Verdict, guest_options
from kubeception_sim.errors import HarnessError, MissingTool
from kubeception_sim.model.boot import Accelerator

BOOTS = (
    'echo "Configuring (net0 52:54:00:12:34:56)..." > console.log; echo ">>Start PXE over IPv4." >> console.log; exec sleep 60'
)
ABORTS = 'echo "failed to set MSR 0x10a" >&2; echo "Assertion failed" >&2; exit 134'
STOPS = 'echo "iPXE starting execution" > console.log; echo "KVM internal error. Suberror: 1" >&2; exec sleep 60'
HANGS = 'echo "SeaBIOS" > console.log; exec sleep 60'


@dataclass(frozen=True)
class Host:
    """A host whose QEMU runs the given shell code with KVM, with TCG, and with KVM and OVMF."""

    folder: Path

    def behaves(self, kvm: str = BOOTS, tcg: str = BOOTS, kvm_uefi: str = BOOTS) -> None:
        program = self.folder / "bin" / "qemu-system-x86_64"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f"#!/bin/sh\necho >> {self.folder}/starts\n"
            f'case "$*" in\n*kvm*pflash*) {kvm_uefi};;\n*kvm*) {kvm};;\n*) {tcg};;\nesac\n'
        )
        program.chmod(0o755)

    @property
    def starts(self) -> int:
        return len((self.folder / "starts").read_text().splitlines())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    for name in ("kvm", "ovmf"):
        (tmp_path / name).touch()
    monkeypatch.setattr(accelerator, "KVM", tmp_path / "kvm")
    monkeypatch.setattr(accelerator, "OVMF_CODE", tmp_path / "ovmf")
    monkeypatch.setattr(accelerator, "DEADLINE_SECONDS", {Accelerator.KVM: 0.5, Accelerator.TCG: 0.5})
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return Host(tmp_path)


def judged(verdict: Verdict) -> list[tuple[str, bool]]:
    return [(attempt.what, attempt.ok) for attempt in verdict.attempts]


KVM_BIOS, KVM_UEFI, TCG_BIOS = (f"{what} to its network boot" for what in ("kvm, bios", "kvm, uefi", "tcg, bios"))


def test_kvm_is_taken_when_both_firmwares_run(host: Host) -> None:
    host.behaves()
    verdict = find_accelerator()
    assert (verdict.accelerator, judged(verdict)) == (Accelerator.KVM, [(KVM_BIOS, True), (KVM_UEFI, True)])


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (ABORTS, "QEMU ended with 134: failed to set MSR 0x10a; Assertion failed"),
        (STOPS, "KVM internal error. Suberror: 1; the console's last line: 'iPXE starting execution'"),
        (HANGS, "no sign of life in time; the console's last line: 'SeaBIOS'"),
        ("exec sleep 60", "no sign of life in time; the console stayed empty"),
        ("exit 0", "QEMU ended with 0: no output"),
    ],
)
def test_kvm_that_does_not_boot_is_not_taken_and_the_reason_is_told(host: Host, behaviour: str, why: str) -> None:
    host.behaves(kvm=behaviour)
    verdict = find_accelerator()
    assert (verdict.accelerator, judged(verdict)) == (Accelerator.TCG, [(KVM_BIOS, False), (TCG_BIOS, True)])
    assert verdict.attempts[0].why == why


def test_kvm_must_run_ovmf_too(host: Host) -> None:
    host.behaves(kvm_uefi=STOPS)
    verdict = find_accelerator()
    assert verdict.accelerator is Accelerator.TCG
    assert judged(verdict) == [(KVM_BIOS, True), (KVM_UEFI, False), (TCG_BIOS, True)]


def test_a_host_without_the_device_is_not_asked_to_use_it(host: Host) -> None:
    host.behaves()
    (host.folder / "kvm").unlink()
    verdict = find_accelerator()
    assert verdict.attempts[0] == Attempt("kvm", False, 0.0, f"{host.folder}/kvm does not exist")
    assert host.starts == 1


def test_a_verdict_is_remembered(host: Host) -> None:
    host.behaves(kvm=ABORTS)
    first = find_accelerator(host.folder / "cache")
    starts = host.starts
    assert find_accelerator(host.folder / "cache") == first
    assert host.starts == starts


@pytest.mark.parametrize(
    "change",
    [
        lambda host: host.behaves(kvm=HANGS),
        lambda host: (host.folder / "ovmf").write_text("newer"),
        lambda host: (host.folder / "kvm").unlink(),
    ],
    ids=["another QEMU", "another firmware", "no device any more"],
)
def test_it_is_forgotten_when_what_it_depends_on_changes(host: Host, change: Callable[[Host], object]) -> None:
    host.behaves()
    assert find_accelerator(host.folder / "cache").accelerator is Accelerator.KVM
    change(host)
    starts = host.starts
    find_accelerator(host.folder / "cache")
    assert host.starts > starts


def test_a_memory_that_cannot_be_read_is_no_memory(host: Host) -> None:
    host.behaves()
    find_accelerator(host.folder / "cache")
    for file in (host.folder / "cache").iterdir():
        file.write_text("{}")
    assert find_accelerator(host.folder / "cache").accelerator is Accelerator.KVM


def test_that_nothing_works_is_not_remembered(host: Host) -> None:
    host.behaves(kvm=ABORTS, tcg=ABORTS)
    assert find_accelerator(host.folder / "cache").accelerator is Accelerator.NONE
    host.behaves()
    assert find_accelerator(host.folder / "cache").accelerator is Accelerator.KVM


def test_without_qemu_there_is_nothing_to_try(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "QEMU", "qemu-of-another-world")
    with pytest.raises(MissingTool) as caught:
        find_accelerator()
    assert caught.value.hint == "apt-get install -y --no-install-recommends qemu-system-x86"


def test_no_accelerator_has_no_options() -> None:
    with pytest.raises(HarnessError, match="no accelerator runs a guest"):
        guest_options(Accelerator.NONE)
