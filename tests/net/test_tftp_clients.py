"""The TFTP server against the clients people have, in a network namespace each."""

import ctypes
import os
import subprocess
import sys
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mayu_py.services.tftp import TftpServer, listen
from tests.net.lan import SERVER, Lan

CLONE_NEWNET = 0x40000000
SIZES = {"empty": 0, "block": 512, "multiple": 512 * 8, "odd": 100_001, "large": 1_000_000}
ROLLED_OVER = 33 * 1024 * 1024 + 7  # 67,585 blocks of 512 bytes: the block number passes 65535

TFTPY = "import sys, tftpy; tftpy.TftpClient(sys.argv[1], 69, {'blksize': int(sys.argv[4])}).download(*sys.argv[2:4])"

Get = Callable[[str, str], list[str]]
"""Name on the server and name of the local file, as the argv of a client."""


def tftp_hpa(name: str, out: str) -> list[str]:
    return ["tftp", "-m", "binary", SERVER, "-c", "get", name, out]


def curl(block_size: int) -> Get:
    return lambda name, out: ["curl", "-sSf", "--tftp-blksize", str(block_size), "-o", out, f"tftp://{SERVER}/{name}"]


def busybox(block_size: int) -> Get:
    return lambda name, out: ["busybox", "tftp", "-b", str(block_size), "-g", "-r", name, "-l", out, SERVER]


def tftpy(block_size: int) -> Get:
    return lambda name, out: [sys.executable, "-c", TFTPY, SERVER, name, out, str(block_size)]


def atftp(block_size: int, window: int) -> Get:
    options = ["--option", f"blksize {block_size}", "--option", f"windowsize {window}"]
    return lambda name, out: ["atftp", *options, "-g", "-r", name, "-l", out, SERVER]


CLIENTS: dict[str, Get] = {
    "tftp-hpa": tftp_hpa,
    "curl-512": curl(512),
    "curl-1468": curl(1468),
    "busybox-512": busybox(512),
    "busybox-1468": busybox(1468),
    "tftpy-512": tftpy(512),
    "tftpy-1468": tftpy(1468),
    **{f"atftp-{size}-window-{n}": atftp(size, n) for size in (512, 1468) for n in (1, 4, 16)},
    # Larger than the link's MTU: fragments, and no segmentation by the kernel.
    "atftp-8192-window-4": atftp(8192, 4),
}


@dataclass
class Records:
    """A recorder that remembers what the tests ask for."""

    counts: Tally[str] = field(default_factory=Tally)
    whole: list[tuple[str, int]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def count(self, name: str, reason: str, n: int = 1) -> None:
        self.counts[f"{name} {reason}"] += n

    def started(self, peer: tuple[str, int], file: str) -> None:
        self.counts["started"] += 1

    def finished(self, peer: tuple[str, int], file: str, size: int, seconds: float) -> None:
        self.whole.append((file, size))

    def aborted(self, peer: tuple[str, int], file: str, why: str) -> None:
        self.broken.append(f"{file}: {why}")


@dataclass
class Served:
    lan: Lan
    client: str
    root: Path
    records: Records

    def run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        return self.lan.run(self.client, *argv, timeout=60, check=False, cwd=self.root.parent)


def enter(namespace: str) -> None:
    """Moves the calling thread, and only it, into a network namespace."""
    with Path("/run/netns", namespace).open() as handle:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


@pytest.fixture
def served(lan: Lan, tmp_path: Path) -> Iterator[Served]:
    root = tmp_path / "root"
    root.mkdir()
    records = Records()
    wake, waker = os.pipe()

    bound = threading.Event()

    def serve() -> None:
        enter(lan.server)
        with listen(SERVER, 69) as listener:
            bound.set()
            TftpServer(listener, root, recorder=records).serve(wake)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert bound.wait(5)
        yield Served(lan, lan.client(address="10.78.0.9"), root, records)
    finally:
        os.write(waker, b"x")
        thread.join(5)
        os.close(wake)
        os.close(waker)
    assert not thread.is_alive()


def content(size: int) -> bytes:
    return os.urandom(4096) * (size // 4096) + os.urandom(size % 4096)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_gets_every_file_as_it_is(served: Served, client: str) -> None:
    # curl takes a tsize of 0 for an error, whoever sends it.
    sizes = {name: size for name, size in SIZES.items() if size or "curl" not in client}
    for name, size in sizes.items():
        whole = content(size)
        (served.root / name).write_bytes(whole)
        out = served.root.parent / "out"
        out.unlink(missing_ok=True)
        ran = served.run(CLIENTS[client](name, str(out)))
        assert ran.returncode == 0, (name, ran)
        assert out.read_bytes() == whole, (name, ran)
    assert served.records.broken == []
    assert [size for _, size in served.records.whole] == list(sizes.values())


@pytest.mark.parametrize("client", ["tftp-hpa", "curl-512", "busybox-512", "tftpy-512", "atftp-512-window-16"])
def test_a_file_of_more_than_65535_blocks_arrives_whole(served: Served, client: str) -> None:
    whole = content(ROLLED_OVER)
    (served.root / "huge").write_bytes(whole)
    out = served.root.parent / "out"
    ran = served.run(CLIENTS[client]("huge", str(out)))
    assert ran.returncode == 0, ran
    assert out.read_bytes() == whole
    assert served.records.whole == [("huge", ROLLED_OVER)]


@pytest.mark.parametrize("client", ["tftp-hpa", "curl-512", "busybox-512", "tftpy-512", "atftp-512-window-4"])
def test_a_missing_file_is_reported_by_the_client(served: Served, client: str) -> None:
    out = served.root.parent / "out"
    ran = served.run(CLIENTS[client]("nothing", str(out)))
    assert "no such file" in (ran.stdout + ran.stderr).lower() or ran.returncode != 0, ran
    assert served.records.counts == {"refused missing": 1}


def test_an_upload_is_refused(served: Served) -> None:
    (served.root.parent / "mine").write_bytes(b"x")
    ran = served.run(["tftp", "-m", "binary", SERVER, "-c", "put", "mine"])
    assert "this server only reads" in ran.stdout + ran.stderr
    assert list(served.root.iterdir()) == []


def test_netascii_arrives_with_the_line_ends_of_the_client(served: Served) -> None:
    (served.root / "text").write_bytes(b"one\ntwo\rthree\n")
    out = served.root.parent / "out"
    ran = served.run(["tftp", "-m", "netascii", SERVER, "-c", "get", "text", str(out)])
    assert out.read_bytes() == b"one\ntwo\rthree\n", ran


# Drops as packets come in, because what is dropped on the way out is an error to its sender. DATA and ACK of later
# blocks only: atftp gives up on an OACK that is sent again because its ACK 0 was lost.
LOSSY = """
table inet loss {
    counter lost {}
    chain arriving {
        type filter hook input priority 0;
        meta l4proto udp @th,64,16 { 3, 4 } @th,80,16 != 0 numgen random mod 20 == 0 counter name lost drop;
    }
}
"""


def lose_packets(served: Served) -> None:
    """One packet in twenty is lost, in each direction. Not every kernel has netem, but nftables."""
    # Windows leave the server as one large packet each, which would be lost or arrive as a whole.
    served.lan.run(served.lan.server, "ip", "link", "set", "port1", "gso_max_segs", "1")
    for namespace in (served.client, served.lan.server):
        tried = served.lan.run(namespace, "nft", "-f", "-", check=False, input=LOSSY)
        if tried.returncode != 0:
            pytest.skip(f"tried nft with `numgen random`: {tried.stderr.strip()}")


@pytest.mark.parametrize("client", ["atftp-1468-window-1", "atftp-1468-window-4", "atftp-1468-window-16", "busybox-1468"])
def test_files_arrive_whole_over_a_link_that_loses_packets(served: Served, client: str) -> None:
    lose_packets(served)
    whole = content(200_000)
    (served.root / "file").write_bytes(whole)
    out = served.root.parent / "out"
    ran = served.run(CLIENTS[client]("file", str(out)))
    assert ran.returncode == 0, ran
    assert out.read_bytes() == whole
    lost = served.lan.run(served.client, "nft", "list", "counter", "inet", "loss", "lost").stdout
    assert "packets 0 " not in lost
