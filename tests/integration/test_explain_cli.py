"""`mayu explain` as its users meet it, and every example of docs/explain.md."""

import json
import os
import re
import struct
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from mayu_py.wire import dhcp4, udp4
from mayu_py.wire.dhcp4 import Message, Op, Option

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
BUTANE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: /etc/hostname
      contents: {inline: "{{ host.name }}"}
    - path: /etc/ntp.conf
      contents: {inline: "server {{ values.ntp }}"}
"""
CLIENT = bytes.fromhex("525400000001")


def example() -> str:
    """The config that the page shows."""
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def lay_out(folder: Path, rack: str) -> None:
    """The files that the page's examples are about."""
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(bytes(70_000))
    (folder / "worker.bu").write_text(BUTANE)
    (folder / "rack.yaml").write_text(rack)
    (folder / "new.yaml").write_text(rack.replace("pool.ntp.org", "time.example").replace("10.77.0.12", "10.77.0.13"))
    (folder / "boot.pcap").write_bytes(capture())


def capture() -> bytes:
    """A DISCOVER, and the OFFER of another server."""
    vendor = {int(Option.VENDOR_CLASS): b"PXEClient:Arch:00007:UNDI:003000", int(Option.CLIENT_ARCHITECTURE): b"\0\7"}
    server, offered = IPv4Address("10.77.0.5"), IPv4Address("10.77.0.50")
    discover = Message(Op.BOOTREQUEST, 7, CLIENT, {Option.MESSAGE_TYPE: b"\1", **vendor}, flags=dhcp4.BROADCAST_FLAG)
    options = {int(Option.MESSAGE_TYPE): b"\2", int(Option.SERVER_IDENTIFIER): server.packed}
    offer = Message(Op.BOOTREPLY, 7, CLIENT, options, yiaddr=offered, siaddr=server, file=b"ipxe.efi")
    sent = [
        udp4.Datagram(dhcp4.ZERO, 68, dhcp4.BROADCAST, 67, dhcp4.build(discover)),
        udp4.Datagram(server, 67, dhcp4.BROADCAST, 68, dhcp4.build(offer)),
    ]
    packets = [bytes(12) + b"\x08\x00" + udp4.build(datagram) for datagram in sent]
    frames = [struct.pack("<IIII", 1_800_000_000, 5000 * n, len(raw), len(raw)) + raw for n, raw in enumerate(packets)]
    return struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(frames)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out(tmp_path, example())
    return tmp_path


def mayu(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = Path(sys.executable).with_name("mayu")
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **environment}
    return subprocess.run([path, *words], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=50)


EXAMPLES = re.findall(r"```console\n\$ (mayu [^\n]*)\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize(("line", "output"), EXAMPLES, ids=[line for line, _ in EXAMPLES])
def test_the_examples_of_the_page_print_what_it_says(folder: Path, line: str, output: str) -> None:
    ran = mayu(folder, *line.split()[1:])
    assert (ran.stdout, ran.stderr, ran.returncode) == (output, "", 0)
    assert not list(folder.glob("mayu.db*"))


def test_the_page_has_an_example_of_each() -> None:
    assert {line.split()[1] for line, _ in EXAMPLES} == {"explain", "plan", "replay"}


@pytest.mark.parametrize(
    ("arch", "first", "ending"),
    [
        ("bios", "undionly.kpxe", "it runs"),
        ("uefi-x64", "snponly.efi", "it runs"),
        ("http-x64", "http://10.77.0.1:4081/boot/snponly.efi", "it runs"),
        ("uefi-arm64", None, "the boot stops here"),
    ],
)
def test_every_firmware_is_walked_to_its_end(folder: Path, arch: str, first: str | None, ending: str) -> None:
    told = json.loads(mayu(folder, "explain", "-c", "rack.yaml", "--mac", "52:54:00:00:00:01", "--arch", arch, "--json").stdout)
    offer = {detail["name"]: detail["value"].rpartition(" (")[0] for detail in told["steps"][0]["details"]}
    assert (offer.get("boot file"), told["ending"]) == (first, ending)


def test_a_rom_that_is_ipxe_is_replaced_first(folder: Path) -> None:
    words = ("explain", "-c", "rack.yaml", "--mac", "52:54:00:00:00:01", "--arch", "bios", "--ipxe", "--json")
    steps = json.loads(mayu(folder, *words).stdout)["steps"]
    scripts = [step["details"][2]["value"] for step in steps if step["request"].startswith("HTTP GET /script")]
    assert scripts[0] == "chain --autofree tftp://10.77.0.1/undionly.kpxe || goto failed"
    assert len(scripts) == 2


def test_nothing_is_too_wide_but_what_cannot_be_cut(folder: Path) -> None:
    out = mayu(folder, "explain", "-c", "rack.yaml", "--mac", "52:54:00:00:00:01", COLUMNS="80").stdout
    assert [line for line in out.splitlines() if len(line) > 80 and max(map(len, line.split())) < 60] == []
    assert "\x1b" not in out


def test_a_relay_that_nobody_knows_is_answered_nothing_and_told_why(folder: Path) -> None:
    words = ("explain", "-c", "rack.yaml", "--mac", "52:54:00:00:00:01", "--relay", "10.1.0.9", "--json")
    (step,) = json.loads(mayu(folder, *words).stdout)["steps"]
    assert (step["answered"], step["reasons"]) == (False, ["no network holds the relay 10.1.0.9, and none names it in `relays`"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mac", "52:54"), "is no MAC address"),
        (("--mac", "52:54:00:00:00:01", "--arch", "vax"), "'vax' is none of bios"),
        (("--mac", "52:54:00:00:00:01", "--network", "moon"), "there is no network 'moon'"),
    ],
)
def test_mistakes_are_told_without_a_traceback(folder: Path, words: tuple[str, ...], said: str) -> None:
    ran = mayu(folder, "explain", "-c", "rack.yaml", *words)
    assert ran.returncode != 0
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
