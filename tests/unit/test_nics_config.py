"""What is wrong with the `nic` keys of networks is found when the config is read, with its place and a way out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mayu_py import config

Check = Callable[..., list[str]]

HEAD = """\
networks:
  - name: rack
    interface: br0
    address: 10.77.0.1
    subnet: 10.77.0.0/24
    nic: {rack}
  - name: storage
    extra: true
    subnet: 10.79.0.0/24
    nic: {storage}
tftp: {{root: tftp}}
images: {{testbed: {{directory: image}}}}
profiles:
  - {{name: node, image: testbed, ignition: node.bu, network_files: {files}}}
hosts:
  - {{name: node-1, macs: [52:54:00:00:00:01], address: 10.77.0.11, addresses: {{storage: 10.79.0.11}}, profile: node}}
"""
BOND = '{bond: {name: bond0, members: ["eth*"]}}'


@pytest.fixture
def check(tmp_path: Path) -> Check:
    (tmp_path / "node.bu").write_text("variant: fcos\nversion: 1.4.0\n")
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")

    def run(rack: str, storage: str = "{name: eth9}", files: str = "networkd") -> list[str]:
        path = tmp_path / "mayu.yaml"
        path.write_text(HEAD.format(rack=rack, storage=storage, files=files))
        _, problems = config.check(path)
        return [problem.located.replace(f"{tmp_path}/", "") for problem in problems]

    return run


@pytest.mark.parametrize("files", ["none", "networkd", "networkmanager"])
@pytest.mark.parametrize(
    ("rack", "storage"),
    [
        ("null", "{name: eth1}"),
        ("{name: eth0, vlan: 3}", "{name: eth0, vlan: 4}"),
        ("{name: eth0}", "{name: eth0, vlan: 4094, mtu: 9000}"),
        ('{bond: {members: ["en*"], mode: active-backup}, vlan: 3}', "{name: bond0, vlan: 4}"),
        ("null", "{vlan: 4}"),
        ("{addressing: dhcp}", "{bond: {name: lag1, members: [eth1, eth2], lacp_rate: fast}}"),
    ],
)
def test_good_ones(check: Check, rack: str, storage: str, files: str) -> None:
    assert check(rack, storage, files) == []


@pytest.mark.parametrize(
    ("nic", "problem"),
    [
        ("{vlan: 0}", "mayu.yaml:6: error: networks[0].nic.vlan: 0 is no VLAN (1 to 4094)"),
        ("{vlan: 4095}", "mayu.yaml:6: error: networks[0].nic.vlan: 4095 is no VLAN (1 to 4094)"),
        (
            "{name: a-rather-long, vlan: 300}",
            (
                "mayu.yaml:6: error: networks[0].nic.vlan: the VLAN would be called 'a-rather-long.300', which is too long"
                " (a name has 15 characters at most)"
            ),
        ),
        (
            "{bond: {name: bond0}}",
            (
                "mayu.yaml:6: error: networks[0].nic.bond.members: the bond bond0 has no members"
                ' (members: ["eth*"], or [eth0, eth1])'
            ),
        ),
        (
            '{bond: {members: ["bo*"]}}',
            "mayu.yaml:6: error: networks[0].nic.bond.members[0]: 'bo*' fits bond0 itself (name its members, as in \"eth*\")",
        ),
        (
            '{bond: {members: ["e h"]}}',
            "mayu.yaml:6: error: networks[0].nic.bond.members[0]: 'e h' cannot name a NIC (as in \"eth*\" or eth0)",
        ),
        (
            "{bond: {members: [eth0], mode: 802.3at}}",
            (
                "mayu.yaml:6: error: networks[0].nic.bond.mode: '802.3at' is none of: balance-rr, active-backup, balance-xor,"
                " broadcast, 802.3ad, balance-tlb, balance-alb (did you mean '802.3ad'?)"
            ),
        ),
        (
            "{bond: {members: [eth0], miimon: 0}}",
            "mayu.yaml:6: error: networks[0].nic.bond.miimon: 0 ms (1 to 10000; 100 is usual)",
        ),
        (
            '{name: "eth*"}',
            (
                "mayu.yaml:6: error: networks[0].nic.name: several NICs may be called 'eth*', and one address is for one of them"
                ' (bond: {members: ["eth*"]} makes one of several)'
            ),
        ),
        (
            "{name: eth0.3}",
            "mayu.yaml:6: error: networks[0].nic.name: 'eth0.3' is the name of a VLAN (name: eth0, vlan: 3)",
        ),
        (
            "{name: eth0, bond: {members: [eth1]}}",
            (
                "mayu.yaml:6: error: networks[0].nic.name: a NIC has a `name`, or is a `bond` with a name of its own"
                " (leave out `name`)"
            ),
        ),
        (
            "{name: bond1, vlan: 3}",
            "mayu.yaml:6: error: networks[0].nic.name: there is no bond bond1 (bonds of its hosts: none)",
        ),
        ("{mtu: 12}", "mayu.yaml:6: error: networks[0].nic.mtu: 12 is no MTU (68 to 65535 bytes; 9000 for jumbo frames)"),
    ],
)
def test_what_one_network_says(check: Check, nic: str, problem: str) -> None:
    assert check(nic) == [problem]


@pytest.mark.parametrize(
    ("rack", "storage", "problem"),
    [
        (
            "{name: eth0}",
            "{name: eth0}",
            (
                "mayu.yaml:10: error: networks[1].nic: storage and rack are both untagged on eth0"
                " (rack has it at mayu.yaml:6; give one of them another NIC, or a `vlan`)"
            ),
        ),
        (
            "{name: eth0, vlan: 3}",
            "{name: eth0, vlan: 3}",
            (
                "mayu.yaml:10: error: networks[1].nic.vlan: storage and rack are both VLAN 3 on eth0"
                " (rack has it at mayu.yaml:6; give one of them another NIC, or a `vlan`)"
            ),
        ),
        (
            BOND,
            "{name: eth1}",
            (
                "mayu.yaml:10: error: networks[1].nic.name: eth1 is a member of bond0, which is the NIC of rack"
                " (the bond is at mayu.yaml:6)"
            ),
        ),
        (
            BOND,
            "{bond: {name: bond1, members: [eth3]}}",
            "mayu.yaml:10: error: networks[1].nic.bond.members: 'eth3' is a member of bond0, too (bond0 is at mayu.yaml:6)",
        ),
        (
            '{vlan: 3, bond: {name: bond0, members: ["eth*"]}}',
            '{vlan: 4, bond: {name: bond0, members: ["en*"]}}',
            (
                "mayu.yaml:10: error: networks[1].nic.bond: bond0 is another bond in rack"
                " (it is described at mayu.yaml:6; refer to it with `name: bond0`)"
            ),
        ),
        (
            "{name: eth0, mtu: 1500}",
            "{name: eth0, vlan: 3, mtu: 9000}",
            (
                "mayu.yaml:10: error: networks[1].nic.mtu: frames of 9000 bytes do not fit on eth0, which has an MTU of 1500"
                " (see mayu.yaml:6)"
            ),
        ),
        (
            "{name: eth0}",
            "{addressing: dhcp}",
            (
                "mayu.yaml:10: error: networks[1].nic: nothing says which NIC hosts have in storage"
                " (nic: {name: eth1}; only the network a host boots from knows its NIC by the MAC)"
            ),
        ),
        (
            "{name: eth0}",
            "null",
            (
                "mayu.yaml:7: error: networks[1]: nothing says which NIC hosts have in storage"
                " (nic: {name: eth1}; profile node wants `network_files` (mayu.yaml:14))"
            ),
        ),
    ],
)
def test_what_networks_say_of_each_other(check: Check, rack: str, storage: str, problem: str) -> None:
    assert check(rack, storage) == [problem]
