"""QEMU's command line for a machine of an inner cluster, and where the machine is in its network.

The golden files have an argument a line. `KUBECEPTION_GOLDEN=write pytest tests/unit/test_vm_agent_command.py` writes them again.
"""

import os
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.agents.vm import addresses
from kubeception_sim.agents.vm.command import Lines, command_line, kernel_line
from kubeception_sim.agents.vm.machine import Acceleration, Unfit, read
from kubeception_sim.doctor.accelerator import guest_options
from kubeception_sim.model.boot import Accelerator

GOLDEN = Path(__file__).parents[1] / "golden" / "vm_agent"
SUBNET = IPv4Network("172.23.0.0/24")
IMAGES = "/var/lib/kubeception/images"
WORKER = {
    "KUBECEPTION_CLUSTER": "blue",
    "KUBECEPTION_VM": "worker-0",
    "KUBECEPTION_VNI": "100",
    "KUBECEPTION_INDEX": "2",
    "KUBECEPTION_SUBNET": "172.23.0.0/24",
    "KUBECEPTION_CPUS": "2",
    "KUBECEPTION_MEMORY": "2048",
    "KUBECEPTION_ACCEL": "kvm",
    "KUBECEPTION_KERNEL": f"{IMAGES}/{'a' * 64}/kernel",
    "KUBECEPTION_INITRD": f"{IMAGES}/{'b' * 64}/initrd.zst",
    "KUBECEPTION_ROOTFS": f"{IMAGES}/{'c' * 64}/rootfs.squashfs",
}
MASTER = WORKER | {
    "KUBECEPTION_VM": "master-0",
    "KUBECEPTION_INDEX": "1",
    "KUBECEPTION_ACCEL": "tcg",
    "KUBECEPTION_ETCD_DISK": "/var/lib/kubeception/clusters/blue/master-0/etcd.img",
    "KUBECEPTION_ETCD_DISK_SIZE": "2048",
}
LINES = Lines(monitor=10, console=11, stages=12, power=13, files=14)


@pytest.mark.parametrize(("name", "environment"), [("master", MASTER), ("worker", WORKER)])
def test_the_command_line_is_the_golden_one(name: str, environment: dict[str, str]) -> None:
    text = "".join(f"{word}\n" for word in command_line(read(environment), LINES, mtu=1400))
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("KUBECEPTION_GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def test_an_accelerator_means_the_same_as_for_machines_of_a_lab() -> None:
    for ours in Acceleration:
        words = command_line(read(WORKER | {"KUBECEPTION_ACCEL": str(ours)}), LINES)
        assert " ".join(guest_options(Accelerator(str(ours)))) in " ".join(words)


def test_a_comma_in_a_path_ends_no_option() -> None:
    words = command_line(read(WORKER | {"KUBECEPTION_ROOTFS": "/images/a,readonly=off/rootfs"}), LINES)
    (drive,) = [word for word in words if word.startswith("if=none,id=rootfs")]
    assert drive.endswith("file=/images/a,,readonly=off/rootfs")


def test_without_a_cable_there_is_no_card() -> None:
    machine = read(WORKER | {"KUBECEPTION_TAP": ""})
    assert machine.place is None
    assert not [word for word in command_line(machine, LINES) if "virtio-net" in word or "netdev" in word]
    assert ":lo:none" in kernel_line(None)


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {
        "KUBECEPTION_CPUS": "0",
        "KUBECEPTION_MEMORY": "2G",
        "KUBECEPTION_ACCEL": "xen",
        "KUBECEPTION_KERNEL": "kernel",
        "KUBECEPTION_INDEX": "64",
        "KUBECEPTION_ETCD_DISK_SIZE": "1",
    }
    environment = MASTER | wrong
    del environment["KUBECEPTION_INITRD"]
    with pytest.raises(Unfit) as caught:
        read(environment)
    problems = str(caught.value).splitlines()
    for word in ("CPUS", "MEMORY", "ACCEL", "KERNEL", "no machine 64", "ETCD_DISK_SIZE", "INITRD is missing"):
        assert len([line for line in problems if word in line]) == 1, (word, problems)
    assert len(problems) == 7


def test_the_first_machine_has_the_second_address_of_the_second_thirty() -> None:
    assert addresses.address(SUBNET, 1) == IPv4Interface("172.23.0.6/24")
    assert addresses.gateway(SUBNET, 1) == IPv4Address("172.23.0.5")
    assert addresses.mac(100, 1) == "06:00:00:64:00:01"


@given(st.integers(20, 28), st.data())
def test_no_two_machines_share_an_address(prefix: int, data: st.DataObject) -> None:
    subnet = IPv4Network(f"172.16.0.0/{prefix}")
    numbers = st.integers(1, addresses.count(subnet))
    one, other = data.draw(numbers), data.draw(numbers)
    ours = {addresses.address(subnet, one).ip, addresses.gateway(subnet, one)}
    assert len(ours) == 2
    assert all(address in subnet for address in ours)
    assert not ours & {subnet.network_address, subnet.broadcast_address}
    if one != other:
        assert not ours & {addresses.address(subnet, other).ip, addresses.gateway(subnet, other)}


@given(*[st.tuples(st.integers(1, addresses.VNI_LIMIT - 1), st.integers(1, (1 << 16) - 1))] * 2)
def test_a_mac_is_one_machine_alone_and_no_multicast(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (addresses.mac(*one) == addresses.mac(*other)) == (one == other)
    assert int(addresses.mac(*one)[:2], 16) & 0b11 == 0b10  # local, and of one station (IEEE 802)


@pytest.mark.parametrize(("vni", "index"), [(0, 1), (1 << 24, 1), (100, 0), (100, 1 << 16)])
def test_what_fits_into_no_mac_is_refused(vni: int, index: int) -> None:
    with pytest.raises(ValueError, match="no machine"):
        addresses.mac(vni, index)
