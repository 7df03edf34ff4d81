"""What the engine is asked for when a machine is made."""

import json
from pathlib import Path

import pytest

from kubeception_sim.machines.cable import Cable
from kubeception_sim.machines.docker_boot import Orders
from kubeception_sim.machines.docker_container import ENTRY, Container

GOLDEN = Path(__file__).parents[1] / "golden" / "machines"
CONTAINER = Container(
    hostname="n1",
    image="kubeception.local/machine:0123",
    lab="0123abcd",
    uuid="50e060fd-e6aa-5fc3-8328-06373cc5c5bc",
    memory=512 << 20,
    cpus=2,
    folder=Path("/run/kubeception/0123abcd/machines/n1"),
    devices=("/dev/fuse", "/dev/kmsg"),
)


def test_the_request_is_as_recorded() -> None:
    assert CONTAINER.request() == json.loads((GOLDEN / "container.json").read_text())


def test_a_container_is_not_privileged() -> None:
    host = CONTAINER.request()["HostConfig"]
    assert "Privileged" not in host
    assert host["CapDrop"] == ["ALL"]
    # Who has these has the host: its modules, its memory, its clock; and runc cannot give what this root may not have.
    assert not {"SYS_MODULE", "SYS_RAWIO", "SYS_TIME", "SYS_RESOURCE", "MAC_ADMIN"} & set(host["CapAdd"])
    assert [mount["Source"] for mount in host["Mounts"]] == ["/run/kubeception/0123abcd/machines/n1/own"]


def test_nothing_of_the_entry_is_left_when_systemd_runs() -> None:
    assert ENTRY.splitlines()[-1] == "exec /usr/lib/systemd/systemd $words"


def test_orders_come_back_as_they_were_written(tmp_path: Path) -> None:
    orders = Orders(
        name="n1",
        lab="0123abcd",
        serial="SN-1",
        uuid=CONTAINER.uuid,
        mac="52:54:00:50:e0:60",
        architecture=0,
        memory=1,
        cpus=1,
        container="kc-0123abcd-n1",
        host="",
        image=CONTAINER.image,
        image_sha256="0123",
        rootfs="/images/root.squashfs",
        fabric="kc-0123abcd-fabric",
        bridge="br0",
        address="",
        gateway="",
        ignition="",
        arguments=("a=1", "b"),
    )
    orders.write(tmp_path / "orders.json")
    assert Orders.read(tmp_path / "orders.json") == orders
    assert orders.cable == Cable("n1", orders.mac, "kc-0123abcd-n1", "kc-0123abcd-fabric", "br0")


def test_the_container_of_a_machine_carries_its_lab() -> None:
    assert CONTAINER.request()["Labels"] == {"kubeception.lab": "0123abcd"}
    assert "KUBECEPTION_LAB=0123abcd" in CONTAINER.request()["Env"]


@pytest.mark.parametrize(("mac", "link"), [("52:54:00:50:e0:60", "m52540050e060"), ("02:00:00:00:00:0a", "m02000000000a")])
def test_the_fabrics_end_of_a_cable_fits_a_link_name(mac: str, link: str) -> None:
    cable = Cable("n1", mac, "kc-0123abcd-n1", "kc-0123abcd-fabric", "br0")
    assert cable.link == link
    assert len(link) <= 15
