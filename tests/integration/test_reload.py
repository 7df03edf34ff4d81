"""What a reload is made of: sockets that are kept, transfers that are finished, and the way to ask for one."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mayu_py.errors import StartError
from mayu_py.services.listeners import Listeners
from mayu_py.services.tftp import FINISH, TftpServer, listen
from mayu_py.store import ReloadOutcome
from mayu_py.store.generations import request_reload
from mayu_py.store.sqlite import MemoryStore, SqliteStore


def bind() -> socket.socket:
    return listen("127.0.0.1", 0)


def never() -> socket.socket:
    raise OSError("taken")


def test_a_socket_that_is_claimed_again_is_the_same_and_one_that_is_not_is_closed() -> None:
    with Listeners() as listeners:
        kept, dropped = listeners.claim("a", bind), listeners.claim("b", bind)
        listeners.settle()
        assert listeners.claim("a", never) is kept
        new = listeners.claim("c", bind)
        listeners.settle()
        assert [each.fileno() >= 0 for each in (kept, dropped, new)] == [True, False, True]
    assert kept.fileno() == new.fileno() == -1


def test_a_claim_that_comes_to_nothing_closes_what_it_bound_and_nothing_else() -> None:
    with Listeners() as listeners:
        kept = listeners.claim("a", bind)
        listeners.settle()
        new = listeners.claim("b", bind)
        with pytest.raises(OSError, match="taken"):
            listeners.claim("c", never)
        listeners.give_up()
        assert (kept.fileno() >= 0, new.fileno()) == (True, -1)


def test_a_worker_keeps_only_what_its_own_config_claims() -> None:
    with Listeners() as listeners:
        older = listeners.claim("a", bind)
        listeners.settle()
        mine = listeners.claim("b", bind)
        listeners.leave_only(listeners.claimed())
        assert (older.fileno(), mine.fileno() >= 0) == (-1, True)


class Record:
    """Keeps how transfers end."""

    def __init__(self) -> None:
        self.endings: list[str] = []

    def count(self, name: str, reason: str, n: int = 1) -> None:
        """Counters do not matter here."""

    def started(self, peer: tuple[str, int], file: str) -> None:
        """A transfer has begun."""

    def finished(self, peer: tuple[str, int], file: str, size: int, seconds: float) -> None:
        """It is whole."""
        self.endings.append(f"{file} {size}")

    def aborted(self, peer: tuple[str, int], file: str, why: str) -> None:
        """It is not."""
        self.endings.append(f"{file} {why}")


def test_a_transfer_in_flight_is_finished_while_a_successor_takes_the_requests(tmp_path: Path) -> None:
    (tmp_path / "boot").write_bytes(b"x" * 1200)
    listener, record = bind(), Record()
    stop, stopper = os.pipe()
    leaving = threading.Thread(target=TftpServer(listener, tmp_path, recorder=record).serve, args=(stop,))
    leaving.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, closing(listener):
        client.settimeout(10)
        client.sendto(b"\0\1boot\0octet\0", listener.getsockname())
        first, server = client.recvfrom(2000)
        os.write(stopper, FINISH)
        # The transfer goes on, block by block, and the server ends with it.
        received = [first]
        while len(received[-1]) == 516:
            client.sendto(b"\0\4" + received[-1][2:4], server)
            received.append(client.recv(2000))
        client.sendto(b"\0\4" + received[-1][2:4], server)
        leaving.join(10)
        assert not leaving.is_alive()
        assert b"".join(block[4:] for block in received) == b"x" * 1200
        assert record.endings == ["boot 1200"]
        # A request that came meanwhile waits in the socket.
        client.sendto(b"\0\1boot\0octet\0", listener.getsockname())
        successor = threading.Thread(target=TftpServer(listener, tmp_path, recorder=record).serve, args=(stop,))
        successor.start()
        assert client.recv(2000)[:4] == b"\0\3\0\1"
        os.close(stopper)
        successor.join(10)
        assert not successor.is_alive()
    os.close(stop)


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Signals that would have been sent."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("mayu_py.store.generations.os.kill", lambda pid, number: sent.append((pid, number)))
    return sent


def later(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_who_asks_waits_for_the_answer_to_this_request(tmp_path: Path, rung: list[tuple[int, int]]) -> None:
    path = tmp_path / "mayu.db"
    with closing(SqliteStore(path)) as ours, closing(SqliteStore(path)) as supervisors:
        supervisors.load(77, {}, 0)

        def supervise() -> None:
            deadline = time.monotonic() + 10
            while not rung and time.monotonic() < deadline:
                time.sleep(0.01)
            supervisors.load(77, {"settings": ["http"]}, supervisors.asked())

        supervisor = later(supervise)
        assert request_reload(ours, "ann") == ReloadOutcome(True, 2, changes={"settings": ["http"]})
        supervisor.join()
    assert rung == [(77, signal.SIGHUP)]


def test_who_asks_in_vain_is_told_so(rung: list[tuple[int, int]]) -> None:
    store = MemoryStore()
    with pytest.raises(StartError, match="no server has loaded a config"):
        request_reload(store, "ann")
    store.load(77, {}, 0)
    with pytest.raises(StartError, match="not answered within 0 s"):
        request_reload(store, "ann", seconds=0.05)


def test_a_server_that_is_gone_is_named() -> None:
    store = MemoryStore()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    store.load(child, {}, 0)
    with pytest.raises(StartError, match=f"process {child}, is gone"):
        request_reload(store, "ann")
