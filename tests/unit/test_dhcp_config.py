"""What the config says of DHCP in a network: what goes together, and what may be left out."""

from pathlib import Path

import pytest

from mayu_py import config

GOOD = """\
networks:
  - {name: rack, interface: br0, address: 10.1.0.1, subnet: 10.1.0.0/24, range: {start: 10.1.0.100, end: 10.1.0.199}}
  - {name: beside, interface: br1, address: 10.2.0.1, subnet: 10.2.0.0/24, dhcp: proxy, owner: 10.2.0.2}
  - {name: far, subnet: 10.3.0.0/24}
  - {name: storage, interface: br4, address: 10.4.0.1, subnet: 10.4.0.0/24, extra: true}
tftp: {root: tftp}
boot: {uefi_arm64: arm64.efi}
images: {os: {directory: image}}
profiles: [{name: node, image: os, ignition: node.bu}]
hosts:
  - {name: node-1, macs: ["52:54:00:00:00:01"], profile: node, address: 10.1.0.11}
  - {name: node-2, macs: ["52:54:00:00:00:02"], profile: node}
"""


def problems(folder: Path, text: str) -> list[str]:
    (folder / "node.bu").write_text("variant: fcos\nversion: 1.4.0\n")
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "tftp/arm64.efi", "image/vmlinuz", "image/initrd.img"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(b"x")
    path = folder / "mayu.yaml"
    path.write_text(text)
    return [f"{problem.mark.line}: {problem.message}" for problem in config.check(path)[1]]


def test_networks_of_every_kind_stand_beside_each_other(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        (
            "dhcp: proxy",
            "dhcp: proxy, range: {start: 10.2.0.9, end: 10.2.0.19}",
            "3: another server hands out the addresses of network beside",
        ),
        ("dhcp: proxy, owner: 10.2.0.2", "dhcp: proxy, owner: 10.2.0.1", "3: 10.2.0.1 is mayu's own address"),
        (
            "extra: true",
            "extra: true, dhcp: proxy",
            "5: network storage is extra: nobody boots from it, and boot files are all that a proxy hands out",
        ),
        ("{name: rack,", "{name: rack, owner: 10.1.0.2,", "2: `owner` goes with `dhcp: proxy`; here it is `authoritative`"),
        ("dhcp: proxy", "dhcp: proxy, conflict_check: true", "3: mayu hands out no addresses that could be checked"),
        ("{name: far,", "{name: far, conflict_check: true,", "4: ARP does not pass a relay"),
        (
            "extra: true",
            "extra: true, conflict_check: true",
            "5: addresses in an extra network are given out together with those of the network that hosts boot from",
        ),
        ("dhcp: proxy, owner: 10.2.0.2", "dhcp: off", "12: node-2 has no `address`"),
        ("arm64.efi", "arm.efi", "7: there is no file arm.efi in {folder}/tftp"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_named_with_its_line(tmp_path: Path, good: str, bad: str, problem: str) -> None:
    assert GOOD.count(good) == 1
    assert problems(tmp_path, GOOD.replace(good, bad)) == [problem.format(folder=tmp_path)]


def test_conflicts_can_be_checked_where_mayu_is(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD.replace("{name: rack,", "{name: rack, conflict_check: true,")) == []
