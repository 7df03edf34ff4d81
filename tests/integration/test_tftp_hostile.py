"""What no client should send: the TFTP server neither falls nor leaves its folder, and accounts for every datagram."""

import os
import random
import socket
import threading
import time
from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mayu_py.services.tftp import TftpServer, listen
from mayu_py.wire.tftp import Ack, Data, Error, Mode, Opcode, Packet, Request, parse

PATIENCE = 5.0
BARRIER = Request(Opcode.RRQ, b"/barrier", Mode.OCTET).pack()


class Records:
    """A recorder that only counts."""

    def __init__(self) -> None:
        self.counts: Tally[tuple[str, str]] = Tally()

    def total(self, name: str) -> int:
        return sum(n for (counter, _), n in self.counts.items() if counter == name)

    def count(self, name: str, reason: str, n: int = 1) -> None:
        self.counts[str(name), str(reason)] += n

    def started(self, peer: tuple[str, int], file: str) -> None:
        self.counts["started", file] += 1

    def finished(self, peer: tuple[str, int], file: str, size: int, seconds: float) -> None:
        self.counts["finished", file] += 1

    def aborted(self, peer: tuple[str, int], file: str, why: str) -> None:
        self.counts["aborted", file] += 1


@dataclass
class Running:
    root: Path
    address: tuple[str, int]
    records: Records

    def ask(self, datagram: bytes) -> Packet:
        """Sends one datagram and gives the first answer. An answer means that everything sent before was handled."""
        with udp() as client:
            client.sendto(datagram, self.address)
            answer, tid = client.recvfrom(2048)
            packet = parse(answer)
            if isinstance(packet, Data):
                client.sendto(Ack(packet.block).pack(), tid)
            return packet


def udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("tftp") / "root"
    furnish(root)
    records = Records()
    wake, waker = os.pipe()
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=TftpServer(listener, root, recorder=records).serve, args=(wake,))
        thread.start()
        try:
            yield Running(root, listener.getsockname(), records)
        finally:
            os.write(waker, b"x")
            thread.join(PATIENCE)
    os.close(wake)
    os.close(waker)
    assert not thread.is_alive()


def furnish(root: Path) -> None:
    """A served folder with everything in it and beside it that must not get out."""
    (root / "folder" / "inner").mkdir(parents=True)
    (root / "barrier").write_bytes(b"here")
    (root / "folder" / "inner" / "file").write_bytes(b"inner")
    (root.parent / "secret").write_bytes(b"secret")
    (root.parent / "root-secret").write_bytes(b"secret")
    (root / "link-inside").symlink_to("folder/inner/file")
    (root / "link-absolute").symlink_to(root / "barrier")
    (root / "link-outside").symlink_to("../secret")
    (root / "link-folder").symlink_to("..")
    (root / "link-proc").symlink_to("/proc/self/root/etc/passwd")
    (root / "link-to-itself").symlink_to("link-to-itself")
    (root / "link-dangling").symlink_to("nothing")
    (root / "device").symlink_to("/dev/zero")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(root / "socket"))


def read(name: bytes) -> bytes:
    return Request(Opcode.RRQ, name, Mode.OCTET).pack()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"barrier", b"here"),
        (b"/barrier", b"here"),
        (b"///.//barrier", b"here"),
        (b"folder//inner/./file", b"inner"),
        (b"link-inside", b"inner"),
        (b"link-absolute", b"here"),
    ],
)
def test_names_of_files_beneath_the_root_are_served(server: Running, name: bytes, content: bytes) -> None:
    assert server.ask(read(name)) == Data(1, content)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        (b"missing", 1, "missing"),
        (b"barrier/below-a-file", 1, "missing"),
        (b"link-dangling", 1, "missing"),
        (b"x" * 300, 1, "missing"),
        (b"../secret", 2, "traversal"),
        (b"/../secret", 2, "traversal"),
        (b"folder/../../secret", 2, "traversal"),
        (b"folder/../barrier", 2, "traversal"),
        (b"..", 2, "traversal"),
        (b"../root-secret", 2, "traversal"),
        (b"..\\secret", 1, "character"),
        (b"folder\\inner\\file", 1, "character"),
        (b"\xff\xfe", 1, "encoding"),
        (b"\xc0\xae\xc0\xae/secret", 1, "encoding"),
        (b"/etc/passwd", 1, "missing"),
        (b"//proc/self/root/etc/passwd", 1, "missing"),
        (b"link-outside", 2, "outside"),
        (b"link-folder/secret", 2, "outside"),
        (b"link-folder/root-secret", 2, "outside"),
        (b"link-proc", 2, "outside"),
        (b"device", 2, "outside"),
        (b"link-to-itself", 2, "symlink"),
        (b"/", 2, "not-a-file"),
        (b".", 2, "not-a-file"),
        (b"folder", 2, "not-a-file"),
        (b"fifo", 2, "not-a-file"),
        (b"socket", 2, "not-a-file"),
    ],
)
def test_every_other_name_is_refused_with_a_counted_reason(server: Running, name: bytes, code: int, reason: str) -> None:
    before = server.records.counts["refused", reason]
    answer = server.ask(read(name))
    assert isinstance(answer, Error)
    assert answer.code == code
    assert server.records.counts["refused", reason] == before + 1


def test_a_write_request_is_refused_and_writes_nothing(server: Running) -> None:
    before = sorted(server.root.iterdir())
    for name in (b"new", b"barrier"):
        answer = server.ask(Request(Opcode.WRQ, name, Mode.OCTET).pack())
        assert answer == Error(2, "this server only reads")
    assert sorted(server.root.iterdir()) == before
    assert (server.root / "barrier").read_bytes() == b"here"


def test_a_file_swapped_for_a_link_while_it_is_asked_for_never_leaks(server: Running) -> None:
    flip, stop = server.root / "flip", threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (server.root / "next").write_bytes(b"fine")
            os.replace(server.root / "next", flip)
            (server.root / "next").symlink_to("../secret")
            os.replace(server.root / "next", flip)
            time.sleep(0.0002)  # the server is a thread of this process, too

    swapper = threading.Thread(target=swap)
    swapper.start()
    served: set[bytes] = set()
    refused = 0
    deadline = time.monotonic() + 30
    try:
        # How the threads take turns is the interpreter's affair, so ask until both sides of the swap were met.
        while not (refused >= 200 and served) and time.monotonic() < deadline:
            answer = server.ask(read(b"flip"))
            refused += isinstance(answer, Error)
            served |= {answer.payload} if isinstance(answer, Data) else set()
    finally:
        stop.set()
        swapper.join()
        flip.unlink()
    assert served == {b"fine"}
    assert refused >= 200


def account(server: Running, datagrams: list[bytes]) -> None:
    """Sends datagrams that name no existing file: each is either answered by an ERROR or dropped for a reason."""
    dropped, refused = server.records.total("dropped"), server.records.total("refused")
    with udp() as client:
        for datagram in datagrams:
            client.sendto(datagram, server.address)
        assert server.ask(BARRIER) == Data(1, b"here")
        dropped = server.records.total("dropped") - dropped
        refused = server.records.total("refused") - refused
        assert dropped + refused == len(datagrams)
        answers = [parse(client.recv(2048)) for _ in range(refused)]
    assert all(isinstance(answer, Error) for answer in answers)
    assert server.records.counts["dropped", "internal"] == 0


text = st.binary(max_size=12).filter(lambda piece: b"\0" not in piece)
options = st.lists(
    st.sampled_from([b"blksize", b"BlkSize", b"tsize", b"windowsize", b"timeout", b"\xff", b""]) | text, max_size=8
)
nearly_requests = st.builds(
    lambda opcode, strings, end: bytes([0, opcode]) + b"\0".join(strings) + end,
    st.integers(0, 7),
    st.builds(
        lambda name, mode, rest: [b"no" + name, mode, *rest],
        text,
        st.sampled_from([b"octet", b"netascii", b""]),
        options,
    ),
    st.sampled_from([b"\0", b"", b"\0\0\0", b"\xff"]),
)


class Held(Records):
    """Holds the server up at the first thing it counts, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.go = threading.Event(), threading.Event()

    def count(self, name: str, reason: str, n: int = 1) -> None:
        super().count(name, reason, n)
        self.held.set()
        self.go.wait(PATIENCE)


def test_what_the_kernel_drops_is_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mayu_py.services.datagrams.RECEIVE_BUFFER", 4096)
    records = Held()
    wake, waker = os.pipe()
    with listen("127.0.0.1", 0) as listener, udp() as client:
        (tmp_path / "barrier").write_bytes(b"here")
        thread = threading.Thread(target=TftpServer(listener, tmp_path, recorder=records).serve, args=(wake,))
        thread.start()
        address = listener.getsockname()
        client.sendto(b"first", address)
        assert records.held.wait(PATIENCE)
        for _ in range(500):  # The loop is held up, and the queue runs over.
            client.sendto(b"x", address)
        records.go.set()
        deadline = time.monotonic() + PATIENCE
        while records.total("dropped") < 501 and time.monotonic() < deadline:
            client.sendto(BARRIER, address)  # With each datagram the kernel tells how many it has dropped so far.
            time.sleep(0.01)
        os.close(waker)
        thread.join(PATIENCE)
    os.close(wake)
    assert records.counts["dropped", "queue-full"] > 0
    assert records.total("dropped") >= 501  # Each of them, by the server or by the kernel, and barriers the kernel dropped.


@pytest.mark.timeout(120)
def test_ten_thousand_odd_datagrams_are_answered_or_counted(server: Running) -> None:
    waiting: list[bytes] = []
    sent = 0

    @settings(max_examples=10_000, database=None, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=60) | nearly_requests)
    def throw(datagram: bytes) -> None:
        nonlocal sent
        waiting.append(datagram)
        if len(waiting) == 100:
            account(server, waiting)
            sent += len(waiting)
            waiting.clear()

    throw()
    account(server, waiting)
    assert sent + len(waiting) >= 10_000


def test_broken_requests_are_answered_or_counted(server: Running) -> None:
    chance = random.Random(1350)
    whole = Request(Opcode.RRQ, b"nothing", Mode.OCTET, {"blksize": "1468", "tsize": "0", "windowsize": "4"}).pack()
    for _ in range(100):
        account(server, [broken(whole, chance) for _ in range(100)])


def broken(datagram: bytes, chance: random.Random) -> bytes:
    """The datagram with a few bytes changed, taken out or put in, sometimes cut, sometimes far too long."""
    mutable = bytearray(datagram)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(mutable))
        mutable[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
    if chance.random() < 0.3:
        del mutable[chance.randint(0, len(mutable)) :]
    return bytes(mutable) * chance.choice([1, 1, 1, 40])
