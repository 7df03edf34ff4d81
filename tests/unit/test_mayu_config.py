"""The config file: everything that is wrong with it is reported at once, where it is and how to mend it."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from mayu_py import config
from mayu_py.core.inventory import configured
from mayu_py.errors import ConfigError

GOOD = """\
networks:
  - name: rack
    interface: br0
    address: 10.77.0.1
    subnet: 10.77.0.0/24
    range: {start: 10.77.0.100, end: 10.77.0.199}
tftp: {root: tftp}
images:
  testbed:
    directory: image
    args: ["ignition.config.url={{ ignition_url }}", "report={{ report_url }}"]
profiles:
  - {name: node, image: testbed, ignition: node.bu, values: {motd: hello}}
hosts:
  - name: node-1
    serial: KC 1
    macs: [52:54:00:00:00:01]
    address: 10.77.0.11
    profile: node
  - name: node-2
    macs: [52:54:00:00:00:02]
    address: 10.77.0.12
    profile: node
    values: {motd: good bye}
"""
BUTANE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: /etc/motd
      contents: {inline: "{{ host.name }}: {{ values.motd }}"}
"""

Check = Callable[[str], list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node.bu").write_text(BUTANE)
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    return tmp_path


@pytest.fixture
def check(folder: Path) -> Check:
    def run(text: str) -> list[str]:
        path = folder / "mayu.yaml"
        path.write_text(dedent(text))
        _, problems = config.check(path)
        return [problem.located.replace(f"{folder}/", "") for problem in problems]

    return run


def test_a_good_config_has_no_problem(check: Check) -> None:
    assert check(GOOD) == []


def test_a_typo_a_reversed_range_and_a_duplicate_mac_are_reported_together(check: Check) -> None:
    broken = (
        GOOD.replace("interface:", "interfce:")
        .replace("start: 10.77.0.100, end: 10.77.0.199", "start: 10.77.0.199, end: 10.77.0.100")
        .replace("52:54:00:00:00:02", "52-54-00-00-00-01")
    )
    reversed_range = "the range is reversed: it starts at 10.77.0.199 and ends at 10.77.0.100"
    assert check(broken) == [
        "mayu.yaml:3: error: networks[0].interfce: unknown key (did you mean 'interface'?)",
        f"mayu.yaml:6: error: networks[0].range.start: {reversed_range} (start: 10.77.0.100, end: 10.77.0.199)",
        "mayu.yaml:21: error: hosts[1].macs[0]: the MAC 52:54:00:00:00:01 is used twice (it was first used at mayu.yaml:17)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "address: 10.77.0.1\n",
            "address: 10.78.0.1\n",
            "mayu.yaml:4: error: networks[0].address: 10.78.0.1 is not in the subnet",
        ),
        ("end: 10.77.0.199", "end: 10.99.0.1", "mayu.yaml:6: error: networks[0].range.end: 10.99.0.1 is not in the subnet"),
        ("tftp: {root: tftp}", "tftp: {root: nowhere}", "mayu.yaml:7: error: tftp.root: there is no folder nowhere"),
        (
            "tftp: {root: tftp}",
            "tftp: {root: tftp}\nboot: {bios: pxelinux.0}",
            "mayu.yaml:8: error: boot.bios: there is no file pxelinux.0 in tftp (there are: snponly.efi, undionly.kpxe)",
        ),
        ("tftp: {root: tftp}", "http: {port: 70000}\ntftp: {root: tftp}", "mayu.yaml:7: error: http.port: 70000 is no TCP port"),
        ("directory: image", "directory: gone", "mayu.yaml:10: error: images.testbed.initrd: there is no file gone/initrd.img"),
        ("image: testbed,", "image: testbad,", "mayu.yaml:13: error: profiles[0].image: there is no image 'testbad'"),
        ("ignition: node.bu", "ignition: gone.bu", "mayu.yaml:13: error: profiles[0].ignition: gone.bu cannot be read"),
        ("name: node-2", "name: node-1", "mayu.yaml:20: error: hosts[1].name: the host name node-1 is used twice"),
        ("name: node-2", "name: Node_2", "mayu.yaml:20: error: hosts[1].name: 'Node_2' is no host name"),
        ("10.77.0.12", "10.77.0.11", "mayu.yaml:22: error: hosts[1].address: the address 10.77.0.11 is used twice"),
        ("10.77.0.12", "10.99.0.12", "mayu.yaml:22: error: hosts[1].address: 10.99.0.12 is not in the subnet"),
        ("10.77.0.12", "10.77.0.1", "mayu.yaml:22: error: hosts[1].address: 10.77.0.1 is the server's"),
        ("    macs: [52:54:00:00:00:02]\n", "", "mayu.yaml:20: error: hosts[1]: nothing tells this host from others"),
        ("52:54:00:00:00:02", "52:54:00:00:00", "mayu.yaml:21: error: hosts[1].macs[0]: '52:54:00:00:00' is no MAC address"),
        (
            "    profile: node\n  - name",
            "    profile: nod\n  - name",
            "mayu.yaml:19: error: hosts[0].profile: there is no profile",
        ),
    ],
)
def test_every_mistake_is_named_with_its_place(check: Check, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    found = check(GOOD.replace(old, new, 1))
    assert any(line.startswith(problem) for line in found), found


def test_a_boot_file_that_tftp_would_not_serve_is_a_problem(check: Check, folder: Path) -> None:
    (folder / "boot.efi").write_bytes(b"x")
    (folder / "tftp" / "linked.efi").symlink_to(folder / "boot.efi")
    found = check(GOOD.replace("tftp: {root: tftp}", "tftp: {root: tftp}\nboot: {uefi_x64: linked.efi}"))
    problem = "boot.uefi_x64: tftp/linked.efi is a link to boot.efi, outside of tftp.root (copy the file into the folder)"
    assert found == [f"mayu.yaml:8: error: {problem}"]


@pytest.mark.parametrize(
    ("butane", "problem"),
    [
        (BUTANE.replace("host.name", "host.nmae"), "node.bu:6: error: storage.files[0].contents.inline: "),
        (BUTANE.replace("/etc/motd", "etc/motd"), "node.bu:5: error: "),
        (BUTANE.replace("contents", "content"), "node.bu:6: error: $.storage.files.0.content: "),
        ("nonsense: [", "node.bu:2: error: not YAML"),
    ],
)
def test_a_template_that_does_not_render_to_a_valid_config_is_a_problem(
    check: Check, folder: Path, butane: str, problem: str
) -> None:
    (folder / "node.bu").write_text(butane)
    found = check(GOOD)
    assert found
    assert all(line.startswith(problem) for line in found), found


def test_a_template_error_names_the_host_it_happened_for(check: Check, folder: Path) -> None:
    (folder / "node.bu").write_text(BUTANE.replace("values.motd", "values.greeting"))
    found = check(GOOD)
    assert "for host node-1 (" in found[0]
    assert "for host node-2 (" in found[1]
    assert "greeting" in found[0]


def test_reading_a_bad_config_raises_with_every_problem(folder: Path) -> None:
    path = folder / "mayu.yaml"
    path.write_text(GOOD.replace("interface", "interfce").replace("10.77.0.12", "10.77.0.11"))
    with pytest.raises(ConfigError) as caught:
        config.read(path)
    assert caught.value.message.count("error:") == 2
    assert caught.value.message.endswith("2 problems")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[", b"a: b: c", b"- 1", b"networks: 5"])
def test_whatever_the_file_holds_it_is_a_problem_and_no_crash(folder: Path, content: bytes) -> None:
    path = folder / "mayu.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        config.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml cannot be read: No such file"):
        config.read(tmp_path / "gone.yaml")


def test_each_host_gets_its_own_config_and_arguments(folder: Path) -> None:
    path = folder / "mayu.yaml"
    path.write_text(GOOD)
    read = config.read(path)
    one, two = configured(read.settings)
    assert b"node-1" in read.renderer.config(one).config
    assert b"good" not in read.renderer.config(one).config
    assert b"node-2" in read.renderer.config(two).config
    assert b"good%20bye" in read.renderer.config(two).config
    assert read.renderer.arguments(one) == (
        "ignition.config.url=http://10.77.0.1:4081/ignition?serial=KC%201&mac=52:54:00:00:00:01",
        "report=http://10.77.0.1:4081/host/KC%201",
    )


def test_paths_mean_the_config_files_own_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mayu.yaml").write_text(GOOD)
    monkeypatch.chdir(folder.parent)
    settings = config.read(Path(folder.name) / "mayu.yaml").settings
    assert settings.state == folder / "mayu.db"
    assert settings.tftp.root.is_dir()


def test_a_value_cannot_change_a_configs_structure(folder: Path) -> None:
    path = folder / "mayu.yaml"
    data = yaml.safe_load(GOOD)
    data["hosts"][0]["macs"], data["hosts"][1]["macs"] = ["52:54:00:00:00:01"], ["52:54:00:00:00:02"]
    data["hosts"][0]["values"] = {"motd": 'x"}\n    - path: /etc/shadow\n      contents: {inline: "'}
    path.write_text(yaml.safe_dump(data))
    read = config.read(path)
    assert b"/etc/shadow" not in read.renderer.config(configured(read.settings)[0]).config.replace(b"%2Fetc%2Fshadow", b"")


NETWORKS = GOOD.replace(
    "tftp: {root: tftp}",
    """\
  - {name: far, subnet: 10.78.0.0/24, relays: [192.0.2.9], range: {start: 10.78.0.10, end: 10.78.0.19}}
  - {name: storage, extra: true, subnet: 10.79.0.0/24, range: {start: 10.79.0.10, end: 10.79.0.19}}
tftp: {root: tftp}""",
)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: far, ", "name: rack, ", "mayu.yaml:7: error: networks[1].name: the network name rack is used twice"),
        ("name: far, ", "name: Far, ", "mayu.yaml:7: error: networks[1].name: 'Far' cannot name a network"),
        ("name: far, ", "name: far, interface: br1, ", "mayu.yaml:7: error: networks[1].interface: there is no `address`"),
        ("10.78.0.", "10.77.0.", "mayu.yaml:7: error: networks[1].subnet: the subnet 10.77.0.0/24 overlaps"),
        ("end: 10.78.0.19", "end: 10.78.0.255", "mayu.yaml:7: error: networks[1].range.end: 10.78.0.255 is the subnet's own"),
        ("[192.0.2.9]", "[192.0.2.9, 192.0.2.9]", "mayu.yaml:7: error: networks[1].relays[1]: the relay 192.0.2.9 is used twice"),
        (
            "relays: [192.0.2.9]",
            "routes: [{to: 10.0.0.0/8, via: 10.79.0.1}]",
            "mayu.yaml:7: error: networks[1].routes[0].via: 10.79.0.1 is not in the subnet",
        ),
        ("relays: [192.0.2.9]", "domain: a..b", "mayu.yaml:7: error: networks[1].domain: 'a..b' is no domain name"),
        ("relays: [192.0.2.9]", "lease_time: 5s", "mayu.yaml:7: error: networks[1].lease_time: 5s is too short for a lease"),
        (
            "address: 10.77.0.12",
            "address: 10.79.0.12",
            "mayu.yaml:24: error: hosts[1].address: 10.79.0.12 is in the extra network storage",
        ),
        (
            "address: 10.77.0.12",
            "address: 10.77.0.12\n    addresses: {storge: 10.79.0.12}",
            "mayu.yaml:25: error: hosts[1].addresses.storge: there is no extra network 'storge' (extra networks: storage)",
        ),
        (
            "address: 10.77.0.12",
            "address: 10.77.0.12\n    addresses: {storage: 10.78.0.12}",
            "mayu.yaml:25: error: hosts[1].addresses.storage: 10.78.0.12 is not in the subnet 10.79.0.0/24",
        ),
        (
            "image: testbed, ",
            "image: testbed, quantity: 150, ",
            "mayu.yaml:15: error: profiles[0].quantity: the profiles want 148 hosts, but the ranges have 110 free addresses",
        ),
        (
            "tftp: {root: tftp}",
            "tftp: {root: tftp}\nignored_hosts: [52:54:00:00:00:02]",
            "mayu.yaml:24: error: hosts[1].macs[0]: 52:54:00:00:00:02 is ignored, so node-2 can never boot (see mayu.yaml:10)",
        ),
    ],
)
def test_mistakes_in_networks_are_named_with_their_place(check: Check, old: str, new: str, problem: str) -> None:
    assert old in NETWORKS
    found = check(NETWORKS.replace(old, new))
    assert [line for line in found if line.startswith(problem)] == found


def test_several_networks_are_fine(check: Check) -> None:
    assert check(NETWORKS) == []


def test_mayu_must_be_on_a_network(check: Check) -> None:
    without = GOOD.replace("    interface: br0\n    address: 10.77.0.1\n", "")
    hint = "give one of them the `interface` that mayu has there, and mayu's `address`"
    assert check(without) == [f"mayu.yaml:2: error: networks: mayu itself is on none of the networks ({hint})"]
