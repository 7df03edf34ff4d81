"""etcd's discovery over HTTP: a real worker on the loopback, two of them on one store, and clients that wait."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from mayu_py.core.discovery import Cluster
from mayu_py.errors import DiscoveryFull
from mayu_py.store import discovery
from mayu_py.store.sqlite import SqliteStore

TOKEN = "0123456789abcdef" * 2
FORM = {"content-type": "application/x-www-form-urlencoded"}

# One worker of the boot face. Its standard input is the pipe whose end stops it.
WORKER = """
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from mayu_py.core.render import Renderer
from mayu_py.core.faces import EtcdDiscovery
from mayu_py.core.networks import Network
from mayu_py.core.settings import Settings
from mayu_py.services.desk import Desk
from mayu_py.services.http import server, watches
from mayu_py.store.sqlite import SqliteStore

watches.Watches.__init__.__defaults__ = (float(sys.argv[3]),)
network = Network("rack", IPv4Network(sys.argv[2]), interface="lo", address=IPv4Address("127.0.0.1"))
settings = Settings((network,), {}, (), etcd_discovery=EtcdDiscovery("c0" * 16, 5))
listener = server.listen("127.0.0.1", 0)
tell = lambda: print(listener.getsockname()[1], flush=True)
server.serve(
    lambda: Desk("http-1", settings, lambda: SqliteStore(Path(sys.argv[1]))), listener, Renderer(settings, {}), 0, tell
)
"""


@dataclass(frozen=True)
class Answer:
    """Status, `X-Etcd-Index`, and the body: JSON if it is."""

    status: int
    index: str | None
    body: Any


@dataclass(frozen=True)
class Worker:
    port: int

    def ask(
        self, method: str, path: str, source: str = "127.0.0.1", host: str = "127.0.0.1", body: str = "", **query: str
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=(source, 0))
        try:
            headers = {**(FORM if body else {}), "host": host}
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, body or None, headers)
            response = connection.getresponse()
            content = response.read().decode()
        finally:
            connection.close()
        is_json = response.getheader("content-type", "") == "application/json" and content
        return Answer(response.status, response.getheader("x-etcd-index"), json.loads(content) if is_json else content)

    def join(self, token: str, name: str) -> Answer:
        return self.ask("PUT", f"/etcd/{token}/{name}", body=urlencode({"value": f"{name}=http://{name}"}), prevExist="false")


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def run(subnet: str = "127.0.0.0/8", watch_seconds: float = 15.0) -> Worker:
        argv = [sys.executable, "-c", WORKER, str(tmp_path / "mayu.db"), subnet, str(watch_seconds)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return Worker(int(process.stdout.readline()))

    yield run
    for process in running:
        process.communicate(timeout=15)


@pytest.fixture
def worker(start: Start) -> Worker:
    return start()


def new(worker: Worker, **query: str) -> str:
    made = worker.ask("PUT", "/etcd/new", **query)
    assert made.status == 200
    url = urlsplit(made.body)
    assert (url.scheme, url.netloc, url.path[:6], len(url.path)) == ("http", "127.0.0.1:4081", "/etcd/", 38)
    return str(url.path.removeprefix("/etcd/"))


def test_a_token_is_made_with_its_size_and_joined(worker: Worker) -> None:
    token = new(worker, size="2")
    key = f"/_etcd/registry/{token}"
    size = worker.ask("GET", f"/etcd/{token}/_config/size", quorum="false", recursive="false", sorted="false")
    assert (size.status, size.index, size.body["node"]["value"]) == (200, "1", "2")
    joined = worker.join(token, "a1")
    node = {"key": f"{key}/a1", "value": "a1=http://a1", "modifiedIndex": 2, "createdIndex": 2}
    assert joined == Answer(201, "2", {"action": "create", "node": node})
    again = worker.join(token, "a1")
    assert again == Answer(412, "2", {"errorCode": 105, "message": "Key already exists", "cause": f"{key}/a1", "index": 2})
    listed = worker.ask("GET", f"/etcd/{token}")
    assert listed.body["node"]["nodes"] == [node]
    assert worker.ask("DELETE", f"/etcd/{token}/a1").body["action"] == "delete"
    assert worker.ask("GET", f"/etcd/{token}/a1").status == 404


def test_who_only_looks_is_sent_on_and_made_a_token(worker: Worker) -> None:
    assert worker.ask("GET", "/etcd").status == 307
    assert new(worker) != new(worker)
    assert worker.ask("GET", "/etcd/new").status == 200


def test_a_token_that_nobody_made_is_not_found_until_it_is_given_a_size(worker: Worker) -> None:
    missing = {"errorCode": 100, "message": "Key not found", "cause": f"/_etcd/registry/{TOKEN}", "index": 0}
    asked = [worker.ask("GET", f"/etcd/{TOKEN}"), worker.join(TOKEN, "a"), worker.ask("GET", f"/etcd/{TOKEN}", wait="true")]
    assert asked == [Answer(404, "0", missing)] * 3
    assert worker.ask("PUT", f"/etcd/{TOKEN}/_config/size", body="value=1").status == 200
    assert worker.join(TOKEN, "a").status == 201


def test_the_token_of_the_config_is_there_from_the_beginning(worker: Worker) -> None:
    token = "c0" * 16
    assert worker.ask("GET", f"/etcd/{token}/_config/size").body["node"]["value"] == "5"
    assert worker.join(token, "a").status == 201


@pytest.mark.parametrize(
    ("method", "path", "query", "code"),
    [
        ("PUT", "/etcd/new", {"size": "many"}, 209),
        ("PUT", "/etcd/new", {"size": "0"}, 209),
        ("GET", f"/etcd/{TOKEN}", {"wait": "maybe"}, 209),
        ("GET", f"/etcd/{TOKEN}", {"wait": "true", "waitIndex": "-1"}, 203),
        ("GET", f"/etcd/{TOKEN}", {"wait": "true", "stream": "true"}, 209),
        ("PUT", f"/etcd/{TOKEN}/a", {"ttl": "soon"}, 202),
        ("PUT", f"/etcd/{TOKEN}/a", {"prevExist": "perhaps"}, 209),
        ("PUT", f"/etcd/{TOKEN}/_hidden", {}, 209),
        ("PUT", f"/etcd/{TOKEN}/%C3%BC", {}, 209),
    ],
)
def test_what_etcd_does_not_take_is_refused_as_etcd_does(
    worker: Worker, method: str, path: str, query: dict[str, str], code: int
) -> None:
    worker.ask("PUT", f"/etcd/{TOKEN}/_config/size", body="value=1")
    answer = worker.ask(method, path, **query)
    assert (answer.status, answer.body["errorCode"]) == (400, code)


def test_strangers_are_refused(start: Start) -> None:
    worker = start(subnet="127.0.0.0/29")
    # A page in a browser on the server's own machine counts as a stranger; without root there is no other here.
    page = {"source": "127.0.9.9", "host": "page.example"}
    assert worker.ask("PUT", "/etcd/new", **page) == Answer(
        403, None, "etcd's discovery is for the machines of the rack; 127.0.9.9 is none of them\n"
    )
    assert worker.ask("PUT", "/etcd/new", source="127.0.9.9").status == 200
    assert worker.ask("PUT", "/etcd/new", source="127.0.0.2", host="page.example").status == 200


def test_a_watch_on_one_worker_sees_what_another_wrote(start: Start) -> None:
    first, second = start(), start()
    token = new(first)
    with ThreadPoolExecutor(1) as pool:
        watch = pool.submit(first.ask, "GET", f"/etcd/{token}", wait="true", recursive="true", waitIndex="2")
        joined = second.join(token, "b2")
        assert watch.result(10) == Answer(200, "2", joined.body)


def test_a_watch_on_the_past_is_answered_from_the_history(worker: Worker) -> None:
    token = new(worker)
    bodies = [worker.join(token, name).body for name in ("a", "b")]
    watch = {"wait": "true", "recursive": "true"}
    assert [worker.ask("GET", f"/etcd/{token}", **watch, waitIndex=index).body for index in ("2", "3")] == bodies
    assert worker.ask("GET", f"/etcd/{token}/b", wait="true", waitIndex="1").body == bodies[1]


def test_a_watch_that_sees_nothing_ends_with_an_empty_body(start: Start) -> None:
    worker = start(watch_seconds=0.3)
    assert worker.ask("GET", f"/etcd/{new(worker)}", wait="true", recursive="true") == Answer(200, "1", "")


def test_a_member_with_a_ttl_expires_under_a_watch(worker: Worker) -> None:
    token = new(worker)
    worker.ask("PUT", f"/etcd/{token}/a", body="value=x&ttl=1")
    expired = worker.ask("GET", f"/etcd/{token}/a", wait="true")
    assert (expired.body["action"], expired.body["node"]["key"]) == ("expire", f"/_etcd/registry/{token}/a")
    assert worker.ask("GET", f"/etcd/{token}/a").status == 404


def test_many_watches_hold_up_nobody(worker: Worker) -> None:
    token = new(worker)
    with ThreadPoolExecutor(100) as pool:
        watch = [pool.submit(worker.ask, "GET", f"/etcd/{token}", wait="true", recursive="true") for _ in range(100)]
        began = time.monotonic()
        asked = [worker.ask("GET", f"/etcd/{token}/_config/size").status for _ in range(20)]
        seconds = time.monotonic() - began
        # Some of the hundred may still be on their way: they watch from after this.
        while not all(each.done() for each in watch):
            worker.ask("PUT", f"/etcd/{token}/a", body="value=x")
        assert {each.result().status for each in watch} == {200}
    assert asked == [200] * 20
    assert seconds < 5


def test_what_was_answered_outlives_the_worker(start: Start, tmp_path: Path) -> None:
    worker = start()
    token = new(worker)
    worker.join(token, "a")
    found = SqliteStore(tmp_path / "mayu.db").discovery(token)
    assert found is not None
    assert {name: member.value for name, member in found.members.items()} == {"a": "a=http://a"}


def test_tokens_are_bounded_and_those_with_members_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MOST_TOKENS", 2)
    store = SqliteStore(tmp_path / "mayu.db")
    tokens = [f"{number:032x}" for number in range(4)]
    used = [Cluster(token).put("a", "x", 0.0)[0] for token in tokens]
    store.change_discovery(tokens[0], lambda _: used[0])
    store.change_discovery(tokens[1], lambda _: Cluster(tokens[1]))
    store.change_discovery(tokens[2], lambda _: used[2])
    assert [store.discovery(token) is not None for token in tokens] == [True, False, True, False]
    with pytest.raises(DiscoveryFull, match="2 etcd tokens have members"):
        store.change_discovery(tokens[3], lambda _: used[3])
    store.close()
