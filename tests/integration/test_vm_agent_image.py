"""What a machine boots is fetched from a real HTTP server: once, whole, and checked."""

import hashlib
import os
import random
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kubeception_sim.agents.vm import image
from kubeception_sim.agents.vm.image import NotToBeHad, Wanted, fetch, wanted

CONTENT = random.Random(1).randbytes(3 << 20)
SUM = hashlib.sha256(CONTENT).hexdigest()


class Site(ThreadingHTTPServer):
    """Serves CONTENT as every file; `breaks` says after how many bytes an answer ends, one answer after the other."""

    daemon_threads = True

    def __init__(self) -> None:
        self.breaks: list[int] = []
        self.statuses: list[int] = []
        self.starts: list[int] = []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    def file(self, sha256: str = SUM) -> Wanted:
        return Wanted(f"http://127.0.0.1:{self.server_port}/images/node/kernel", sha256, "kernel")


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        with self.server.lock:
            self.server.starts.append(start)
            status = self.server.statuses.pop(0) if self.server.statuses else 0
            if not status:
                end = self.server.breaks.pop(0) if self.server.breaks else len(CONTENT)
        if status or start >= len(CONTENT):
            self.send_error(status or 416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + end])

    def log_message(self, format: str, *args: object) -> None:
        """Requests are in the site's list."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(image, "PAUSE_SECONDS", 0.01)
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_there_for_the_machines_user_whatever_the_umask(site: Site, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = fetch(site.file(), tmp_path)
    finally:
        os.umask(before)
    assert path == tmp_path / SUM / "kernel"
    assert path.read_bytes() == CONTENT
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path)] == [0o755, 0o644]


def test_it_is_fetched_once_however_many_want_it(site: Site, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: fetch(site.file(), tmp_path), range(8)))
    assert {path.read_bytes() == CONTENT for path in found} == {True}
    assert site.starts == [0]


def test_a_download_that_breaks_off_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.breaks = [1 << 20, 1000]
    site.statuses = [0, 503]
    assert fetch(site.file(), tmp_path).read_bytes() == CONTENT
    assert site.starts == [0, 1 << 20, 1 << 20, (1 << 20) + 1000]


def test_what_an_earlier_pod_has_left_is_used(site: Site, tmp_path: Path) -> None:
    draft = tmp_path / SUM / ".kernel.part"
    draft.parent.mkdir()
    draft.write_bytes(CONTENT[:5000])
    assert fetch(site.file(), tmp_path).read_bytes() == CONTENT
    assert site.starts == [5000]


def test_a_whole_file_that_was_not_checked_yet_is(site: Site, tmp_path: Path) -> None:
    draft = tmp_path / SUM / ".kernel.part"
    draft.parent.mkdir()
    draft.write_bytes(CONTENT)
    assert fetch(site.file(), tmp_path).read_bytes() == CONTENT


def test_another_content_is_no_file_and_the_next_attempt_begins_again(site: Site, tmp_path: Path) -> None:
    other = "0" * 64
    for _ in range(2):
        with pytest.raises(NotToBeHad, match=f"its sha256 is {SUM}, not {other}"):
            fetch(site.file(other), tmp_path)
    assert site.starts == [0, 0]
    assert [path.name for path in (tmp_path / other).iterdir()] == [".lock"]


def test_what_the_server_does_not_have_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    site.statuses = [404]
    with pytest.raises(NotToBeHad, match="HTTP 404"):
        fetch(site.file(), tmp_path)
    assert site.starts == [0]


def test_patience_with_a_server_that_is_away_ends(tmp_path: Path) -> None:
    with Site() as gone:
        file = gone.file()
    with pytest.raises(NotToBeHad, match=r"nothing for 0\.1 s"):
        fetch(file, tmp_path, patience=0.1)


def test_an_image_is_three_files_in_a_fixed_order() -> None:
    sums = [digit * 64 for digit in "abc"]
    files = wanted("http://10.77.1.1:4081/images/node/", sums)
    assert [(file.url.rpartition("/")[2], file.name, file.sha256) for file in files] == [
        ("kernel", "kernel", sums[0]),
        ("initrd", "initrd.zst", sums[1]),
        ("rootfs", "rootfs.squashfs", sums[2]),
    ]
    with pytest.raises(ValueError, match="no SHA-256"):
        wanted("http://10.77.1.1:4081/images/node", [*sums[:2], "../../etc"])
