"""What is said to a machine before it boots: hardware, kernel command line, orders."""

import json
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from kubeception_sim.errors import BadInput
from kubeception_sim.lab import ENV_LAB
from kubeception_sim.machines import BootImage, DirectBoot, MachineSpec
from kubeception_sim.machines.direct import kernel_command_line
from kubeception_sim.machines.namespace_boot import Orders, environment
from kubeception_sim.machines.namespace_initrd import Kernel

IMAGE = BootImage(Path("/i/kernel"), Path("/i/initrd"), Path("/i/rootfs"), "ab" * 32)
ADDRESS = IPv4Interface("10.77.1.11/24")
GATEWAY = IPv4Address("10.77.1.1")
BASE = "http://10.77.1.1:8000"


def spec(boot: DirectBoot, gateway: IPv4Address | None = GATEWAY) -> MachineSpec:
    return MachineSpec.derive("n1", "SN-1", address=ADDRESS, gateway=gateway, boot=boot)


def test_a_direct_boot_needs_an_address() -> None:
    with pytest.raises(BadInput, match="needs an address"):
        MachineSpec.derive("n1", "SN-1", boot=DirectBoot(IMAGE, "http://10.77.0.1/ignition"))


@pytest.mark.parametrize("address", [None, IPv4Interface("10.77.2.11/24")])
def test_a_gateway_is_on_the_machines_own_network(address: IPv4Interface | None) -> None:
    with pytest.raises(BadInput, match="no way to the gateway"):
        MachineSpec.derive("n1", "SN-1", address=address, gateway=GATEWAY)


def test_a_config_with_a_url_is_fetched_from_there() -> None:
    boot = DirectBoot(IMAGE, "http://10.77.0.1:4081/ignition?serial=SN-1", ("testbed.report=http://10.77.0.1:4081/host/SN-1",))
    assert kernel_command_line(boot, spec(boot), BASE) == (
        "ignition.firstboot ignition.platform.id=metal ignition.config.url=http://10.77.0.1:4081/ignition?serial=SN-1 "
        f"testbed.rootfs={BASE}/rootfs testbed.sha256={'ab' * 32} ip=10.77.1.11::10.77.1.1:255.255.255.0::eth0:none "
        "console=ttyS0 net.ifnames=0 rd.systemd.gpt_auto=0 systemd.gpt_auto=0 cryptomgr.notests "
        "testbed.report=http://10.77.0.1:4081/host/SN-1"
    )


@pytest.mark.parametrize("config", [Path("/c/config.ign"), "/c/config.ign"])
def test_a_config_that_is_a_file_comes_from_the_shelf(config: Path | str) -> None:
    boot = DirectBoot(IMAGE, config)
    words = kernel_command_line(boot, spec(boot, gateway=None), BASE).split()
    assert f"ignition.config.url={BASE}/config.ign" in words
    assert "ip=10.77.1.11:::255.255.255.0::eth0:none" in words


def orders(lab: str) -> Orders:
    return Orders(
        name="n1",
        lab=lab,
        serial="SN-1",
        uuid="50e060fd-e6aa-5fc3-8328-06373cc5c5bc",
        mac="52:54:00:50:e0:60",
        architecture=0,
        memory=1 << 29,
        group="kc-0123abcd-n1",
        trees=("/sys/fs/cgroup",),
        network="kc-0123abcd-n1",
        address=str(ADDRESS),
        gateway="",
        rootfs="/i/rootfs",
        rootfs_sha256="ab" * 32,
        ignition="",
        arguments=("quiet",),
    )


def test_orders_arrive_as_they_were_given(tmp_path: Path) -> None:
    given = orders("0123abcd")
    given.write(tmp_path / "orders.json")
    assert Orders.read(tmp_path / "orders.json") == given
    assert json.loads((tmp_path / "orders.json").read_text())["memory"] == 1 << 29


def test_the_first_process_carries_the_labs_label_and_its_machine_id() -> None:
    told = environment(orders("0123abcd"))
    assert told[ENV_LAB] == "0123abcd"
    assert told["container_uuid"] == "50e060fd-e6aa-5fc3-8328-06373cc5c5bc"
    assert told["container"]


def test_the_last_word_on_the_command_line_counts() -> None:
    kernel = Kernel(("a=1", "testbed.report=x", "a=2=3", "ab=4"), "", "")
    assert (kernel.argument("a"), kernel.argument("b"), kernel.argument("testbed.report")) == ("2=3", "", "x")
