"""New files for a guest that runs: what the agent sends, and the program of the node image that takes it, over a port between."""

import json
import os
import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubeception_sim.agents.issue.record import RECORD, Record
from kubeception_sim.agents.vm.renewal import Renewal, files
from kubeception_sim.artifacts import node

pytestmark = pytest.mark.timeout(60)

TAKER = node.HERE / "root/usr/libexec/testbed/files"


@dataclass
class Ground:
    """A guest that takes files, and the pod of its machine. `running` is whether it has booted."""

    folder: Path
    renewal: Renewal
    running: bool = True

    @property
    def config(self) -> Path:
        return self.folder / "pod/config.ign"

    def file(self, name: str) -> Path:
        return self.folder / "guest" / name

    def issue(self, record: Record, **contents: str) -> None:
        issued(self.folder, record, **contents)


def issued(folder: Path, record: Record, **contents: str) -> None:
    """What the pki step leaves."""
    listed = [
        {
            "path": f"{folder}/guest/{name}",
            "mode": 0o600,
            "contents": {"source": f"data:;base64,{b64encode(text.encode()).decode()}"},
        }
        for name, text in contents.items()
    ]
    (folder / "pod/config.ign").write_text(json.dumps({"storage": {"files": listed}}))
    (folder / "pod" / RECORD).write_bytes(record.text())


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    for name in ("guest", "pod", "work"):
        (tmp_path / name).mkdir()
    issued(tmp_path, Record("", 1, 100), cert="one", key="one's", other="the same")
    for path, each in files((tmp_path / "pod/config.ign").read_bytes()).items():
        Path(path).write_bytes(each.data)
    near, far = socket.socketpair()
    environment = {"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(tmp_path / "work")}
    with near, subprocess.Popen(["bash", str(TAKER)], stdin=far.fileno(), stdout=far.fileno(), env=environment) as taker:
        far.close()
        found = Ground(tmp_path, Renewal(tmp_path / "pod/config.ign", near.sendall, lambda: found.running))
        thread = threading.Thread(target=hear, args=(near, found.renewal))
        thread.start()
        try:
            yield found
        finally:
            taker.kill()
            thread.join()


def hear(near: socket.socket, renewal: Renewal) -> None:
    while chunk := near.recv(4096):
        renewal.hear(chunk)


def test_a_guest_gets_what_is_different_and_says_that_it_has_it(ground: Ground) -> None:
    before = {name: ground.file(name).stat() for name in ("cert", "key", "other")}
    ground.issue(Record("spring", 2, 200), cert="two\n\n", key="two's", other="the same")
    ground.renewal.look(patience=20)
    assert ground.file("cert").read_text() == "two\n\n"
    assert ground.file("key").read_text() == "two's"
    page = ground.renewal.page()
    assert (page["rotation"], page["made"], page["until"], page["why"]) == ("spring", 2, 200, "")
    assert ground.file("cert").stat().st_ino == before["cert"].st_ino, "who has it mounted sees the new one"
    assert ground.file("other").stat().st_mtime_ns == before["other"].st_mtime_ns
    assert list((ground.folder / "work").iterdir()) == [], "no key stays where it was unpacked"


def test_a_file_that_was_not_there_is_made_as_the_config_says(ground: Ground) -> None:
    ground.issue(Record("spring", 2, 200), cert="one", key="one's", other="the same", new="of today")
    ground.renewal.look(patience=20)
    assert ground.file("new").read_text() == "of today"
    assert ground.file("new").stat().st_mode & 0o777 == 0o600


def test_a_large_archive_comes_through_whole(ground: Ground) -> None:
    text = "".join(f"line {number} of a chain\n" for number in range(4000))
    ground.issue(Record("spring", 2, 200), cert=text, key=text[::-1], other="the same")
    ground.renewal.look(patience=20)
    assert (ground.file("cert").read_text(), ground.file("key").read_text()) == (text, text[::-1])


def test_a_guest_that_boots_is_not_disturbed_and_gets_them_once_it_runs(ground: Ground) -> None:
    ground.issue(Record("spring", 2, 200), cert="two", key="two's", other="the same")
    ground.running = False
    ground.renewal.look(patience=20)
    assert (ground.file("cert").read_text(), ground.renewal.page()["rotation"]) == ("one", "")
    ground.running = True
    ground.renewal.look(patience=20)
    assert (ground.file("cert").read_text(), ground.renewal.page()["rotation"]) == ("two", "spring")


def test_what_a_guest_cannot_write_is_told_and_sent_again(ground: Ground) -> None:
    ground.file("cert").unlink()
    ground.file("cert").mkdir()
    ground.issue(Record("spring", 2, 200), cert="two", key="two's", other="the same")
    ground.renewal.look(patience=20)
    page = ground.renewal.page()
    assert page["rotation"] == ""
    assert "could not write" in str(page["why"])
    ground.file("cert").rmdir()
    ground.renewal.look(patience=20)
    assert (ground.file("key").read_text(), ground.renewal.page()["rotation"], ground.renewal.page()["why"]) == (
        "two's",
        "spring",
        "",
    )


def test_a_guest_that_does_not_answer_is_told(tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    issued(tmp_path, Record("", 1, 100), cert="one")
    sent: list[bytes] = []
    renewal = Renewal(tmp_path / "pod/config.ign", sent.append, lambda: True)
    issued(tmp_path, Record("spring", 2, 200), cert="two")
    renewal.look(patience=0.01)
    renewal.look(patience=0.01)
    assert len(sent) == 2, "it is sent again"
    assert renewal.page()["why"] == "the guest has not taken them in 0.01 s"


def test_whose_token_was_refused_is_told_beside_what_the_guest_has(tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    issued(tmp_path, Record("", 1, 100), cert="one")
    renewal = Renewal(tmp_path / "pod/config.ign", lambda _: None, lambda: True)
    issued(tmp_path, Record("", 1, 100, refused=50, why="somebody else has had it"), cert="one")
    renewal.look(patience=0.01)
    page = renewal.page()
    assert (page["made"], page["refused"], page["why"]) == (1, 50, "somebody else has had it")
