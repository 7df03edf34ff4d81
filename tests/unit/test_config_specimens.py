"""Profiles that no host of the config has are tried on a specimen, before the first machine enrols."""

from pathlib import Path

import pytest

from mayu_py import config

CONFIG = """\
networks:
  - {name: rack, interface: br0, address: 10.77.0.1, subnet: 10.77.0.0/24, range: {start: 10.77.0.100, end: 10.77.0.199}}
  - {name: storage, subnet: 10.78.0.0/24, extra: true, nic: {name: eth1}, range: {start: 10.78.0.9, end: 10.78.0.99}}
tftp: {root: tftp}
images:
  testbed: {directory: image, args: ["unit={{ values.unit }}"]}
  plain: {directory: image}
profiles:
  - {name: master, image: plain, ignition: node.bu, values: {motd: hello}}
  - {name: worker, image: IMAGE, ignition: node.bu, values: VALUES}
hosts:
  - {name: node-1, macs: ["52:54:00:00:00:01"], address: 10.77.0.11, addresses: {storage: 10.78.0.5}, profile: master}
unknown_hosts: enrol
default_profile: worker
"""
BUTANE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: /etc/motd
      contents: {inline: "{{ host.serial }} {{ host.addresses.storage }}: {{ values.motd }}"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node.bu").write_text(BUTANE)
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    return tmp_path


def warnings(folder: Path, image: str, values: str) -> list[str]:
    file = folder / "mayu.yaml"
    file.write_text(CONFIG.replace("IMAGE", image).replace("VALUES", values))
    found, problems = config.check(file)
    assert found is not None
    assert [problem.located for problem in problems if problem.is_error] == []
    return [f"{Path(problem.mark.file).name}: {problem.message}" for problem in problems]


def test_a_profile_that_enrolled_hosts_can_have_says_nothing(folder: Path) -> None:
    assert warnings(folder, "plain", "{motd: hello}") == []


def test_values_that_nobody_would_have_are_warned_of(folder: Path) -> None:
    (warning,) = warnings(folder, "plain", "{}")
    assert warning.startswith("node.bu: for a host that enrols with profile worker: ")
    assert "motd" in warning


def test_the_kernels_arguments_are_tried_too(folder: Path) -> None:
    (warning,) = warnings(folder, "testbed", "{motd: hello}")
    assert warning.startswith("mayu.yaml: for a host that enrols with profile worker: ")
    assert "unit" in warning
