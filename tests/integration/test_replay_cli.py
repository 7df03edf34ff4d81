"""`mayu replay`: recorded firmware, HTTP in pieces, and captures that were meant to hurt."""

import json
import struct
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter

from mayu_py import config
from mayu_py.rehearsal.captured import Replay
from mayu_py.rehearsal.engine import Engine
from mayu_py.store.sqlite import MemoryStore
from mayu_py.wire import dhcp4, udp4
from tests.integration.test_explain_cli import capture, example, lay_out, mayu

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "data" / "firmware"
GOLDEN = ROOT / "tests" / "golden" / "firmware"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out(tmp_path, example())
    return tmp_path


def replay(folder: Path, file: Path | str) -> Any:
    ran = mayu(folder, "replay", str(file), "-c", "rack.yaml", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        (
            "edk2-pxe-tftp-ipxe.pcap",
            ["DHCPDISCOVER", "DHCPREQUEST", "TFTP", "TFTP", "DHCPDISCOVER", "DHCPDISCOVER", "DHCPREQUEST"],
        ),
        ("edk2-http-boot-ipxe.pcap", ["DHCPDISCOVER", "DHCPREQUEST", "DHCPDISCOVER", "DHCPDISCOVER", "DHCPREQUEST"]),
    ],
)
def test_recorded_boots_of_firmware(folder: Path, name: str, kinds: list[str]) -> None:
    if not (RECORDED / name).exists():
        pytest.skip(f"{RECORDED / name} is not there")
    found = replay(folder, RECORDED / name)
    assert [each["request"].split()[0] for each in found["requests"]] == kinds
    first = found["requests"][0]
    assert first["answered"]
    assert first["captured"]["answer"].startswith("DHCPOFFER: address 10.9.0.86")
    assert {"address", "boot file"} <= {each["name"] for each in first["differences"]}


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.hex")), ids=lambda file: file.stem)
def test_our_own_recordings(folder: Path, file: Path) -> None:
    datagram = bytes.fromhex(file.read_text())
    packet = udp4.build(udp4.Datagram(dhcp4.ZERO, 68, dhcp4.BROADCAST, 67, datagram))
    head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    (folder / "one.pcap").write_bytes(head + struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)
    (request,) = replay(folder, "one.pcap")["requests"]
    boot_file = "http://10.77.0.1:4081/boot.ipxe" if "iPXE" in request["request"] else "snponly.efi"
    offered = {each["name"]: each["value"].rpartition(" (")[0] for each in request["details"]}
    # A request of the recording names the server that it was recorded with.
    assert offered.get("boot file") == (boot_file if "DISCOVER" in request["request"] else None)


def test_http_in_pieces_and_twice_on_one_connection(folder: Path) -> None:
    text = b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\n\r\nGET /script?serial=KC-1 HTTP/1.1\r\n\r\n"
    report = b"PUT /host/KC-1/failed HTTP/1.1\r\nContent-Length: 4\r\n\r\nlost"
    ends = IP(src="10.77.0.11", dst="10.77.0.1")
    pieces = [(5000, text[:30]), (5000, text[:30]), (5030, text[30:70]), (5070, text[70:])]
    frames = [Ether() / ends / TCP(sport=999, dport=4081, seq=at, flags="PA") / piece for at, piece in pieces]
    frames.append(Ether() / ends / TCP(sport=1000, dport=4081, seq=1, flags="PA") / report)
    with PcapNgWriter(str(folder / "http.pcapng")) as writer:
        writer.write(frames)
    found = replay(folder, "http.pcapng")
    assert [(each["frame"], each["answer"].partition(",")[0]) for each in found["requests"]] == [
        (3, "200 OK"),
        (4, "200 OK"),
        (5, "202 Accepted"),
    ]


def test_a_capture_that_was_cut_is_read_as_far_as_it_goes(folder: Path) -> None:
    (folder / "cut.pcap").write_bytes(capture()[:-5])
    ran = mayu(folder, "replay", "cut.pcap", "-c", "rack.yaml")
    assert ran.returncode == 0
    assert ran.stdout.endswith("cut.pcap: 1 frame, 1 request, 1 answered\n")
    assert ran.stderr == "the rest cannot be read: it ends in the middle of a frame\n"


def test_what_is_no_capture_is_said_to_be_none(folder: Path) -> None:
    ran = mayu(folder, "replay", "rack.yaml", "-c", "rack.yaml")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("mayu: rack.yaml is neither pcap nor pcapng\n")


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good capture with a few bytes changed: most of it still makes sense."""
    raw = bytearray(capture())
    for _ in range(draw(st.integers(0, 12))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw[: draw(st.integers(len(raw) // 2, len(raw)))])


def stream(payload: bytes) -> bytes:
    """One TCP segment in a capture of raw IP."""
    ends = IPv4Address("10.77.0.11").packed + IPv4Address("10.77.0.1").packed
    tcp = struct.pack("!HHIIBBHHH", 999, 4081, 1, 0, 0x50, 0x18, 0, 0, 0) + payload
    packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + ends + tcp
    head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    return head + struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet


REQUEST_LINES = st.builds(
    lambda method, target, rest: method + b" " + target + b" HTTP/1.1\r\n" + rest + b"\r\n\r\n",
    st.sampled_from([b"GET", b"HEAD", b"PUT", b"POST"]),
    st.binary(min_size=1, max_size=30).map(lambda tail: b"/" + tail)
    | st.sampled_from(
        [b"/script?serial=%ff", b"http://[x/", b"/v1/events?after=0", b"*", b"/images/testbed/../x", b"/boot/%2e%2e/x"]
    ),
    st.sampled_from([b"", b"Content-Length: 99999999999", b"Content-Length: -1", b"Range: bytes=9-", b"\xff: \xff"]),
)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(mangled(), REQUEST_LINES.map(stream), st.binary(max_size=200)))
def test_hostile_captures_never_end_the_replay(folder: Path, raw: bytes) -> None:
    for found in Replay(Engine(CONFIG.setdefault(folder, config.read(folder / "rack.yaml")), MemoryStore()), "br0").read(raw):
        json.dumps(found.to_data())


CONFIG: dict[Path, config.Config] = {}
