"""Machines as domain XML."""

from ipaddress import IPv4Interface
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kubeception_sim.errors import HarnessError
from kubeception_sim.machines import Firmware, MachineSpec
from kubeception_sim.machines.libvirt_domain import DirectKernel, Domain
from kubeception_sim.model.boot import Accelerator

GOLDEN = Path(__file__).parents[1] / "golden" / "machines"
DIRECT = DirectKernel(Path("/image/kernel"), Path("/image/initrd"), "ignition.firstboot a=<&>")


def domain(
    *,
    firmware: Firmware = Firmware.BIOS,
    accelerator: Accelerator = Accelerator.TCG,
    plugged_in: bool = True,
    direct: DirectKernel | None = None,
) -> Domain:
    directory = Path("/run/kubeception/0123abcd/machines/n1")
    return Domain(
        name="kc-0123abcd-n1",
        spec=MachineSpec.derive("n1", "SN-1", firmware=firmware, cpus=2, address=IPv4Interface("10.77.0.51/24")),
        accelerator=accelerator,
        emulator=Path("/usr/bin/qemu-system-x86_64"),
        tap="tap0",
        plugged_in=plugged_in,
        console=directory / "console.log",
        variables=directory / "vars.fd",
        lab="0123abcd",
        direct=direct,
    )


@pytest.mark.parametrize(
    ("file", "made"),
    [
        ("domain-bios-tcg.xml", domain()),
        ("domain-uefi-kvm.xml", domain(firmware=Firmware.UEFI, accelerator=Accelerator.KVM)),
        ("domain-direct.xml", domain(direct=DIRECT)),
    ],
)
def test_the_description_is_as_recorded(file: str, made: Domain) -> None:
    assert made.xml() == (GOLDEN / file).read_text()


def test_a_command_line_is_escaped() -> None:
    assert ElementTree.fromstring(domain(direct=DIRECT).xml()).findtext("os/cmdline") == DIRECT.command_line


def test_a_cable_that_is_out_changes_the_card_alone() -> None:
    plugged, pulled = (ElementTree.fromstring(domain(plugged_in=up).card()) for up in (True, False))
    assert [link.get("state") for card in (plugged, pulled) for link in card.iter("link")] == ["up", "down"]
    for card in (plugged, pulled):
        for link in card.findall("link"):
            card.remove(link)
    assert ElementTree.tostring(plugged) == ElementTree.tostring(pulled)


def test_only_firmware_boots_from_the_network() -> None:
    assert ElementTree.fromstring(domain().xml()).find("devices/interface/boot") is not None
    assert ElementTree.fromstring(domain(direct=DIRECT).xml()).find("devices/interface/boot") is None


def test_without_an_accelerator_there_is_no_domain() -> None:
    with pytest.raises(HarnessError, match="no accelerator"):
        domain(accelerator=Accelerator.NONE).xml()
