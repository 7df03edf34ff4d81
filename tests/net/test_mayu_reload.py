"""`mayu serve` and a config file that changes under it: SIGHUP, all or nothing, and nobody outside notices."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mayu_py.store import StoredEvent, WorkerStatus
from mayu_py.store.generations import request_reload
from mayu_py.store.sqlite import SqliteStore
from tests.net.lan import PORT, SERVER, Config, Lan, Mayu, StartMayu
from tests.net.test_mayu_serve import alive, descendants, until

URL = f"http://{SERVER}:{PORT}"

# Asks for the same page again and again, each time over a new connection, until it is told to stop; says how often, and what
# failed.
ASK_ON_AND_ON = """
import http.client, json, signal, sys
host, port = sys.argv[1], int(sys.argv[2])
going, good, bad = [True], 0, []
signal.signal(signal.SIGTERM, lambda *_: going.clear())
print("asking", flush=True)
while going:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/boot.ipxe")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read().startswith(b"#!ipxe")
        good += 1
    except Exception as error:
        bad.append(repr(error))
    finally:
        connection.close()
print(json.dumps([good, bad]))
"""


def store_of(mayu: Mayu) -> SqliteStore:
    return SqliteStore(mayu.config.with_name("mayu.db"))


def news(mayu: Mayu, kind: str) -> list[StoredEvent]:
    with closing(store_of(mayu)) as store:
        return [event for event in store.events(0, 10_000) if event.kind == kind]


def workers(mayu: Mayu) -> dict[str, WorkerStatus]:
    with closing(store_of(mayu)) as store:
        return {worker.worker: worker for worker in store.workers()}


def reload(mayu: Mayu) -> None:
    """SIGHUP, and wait until it is in service."""
    before = {worker.generation for worker in workers(mayu).values()}
    mayu.process.send_signal(signal.SIGHUP)
    until("the new config", lambda: before.isdisjoint(worker.generation for worker in workers(mayu).values()))


def udhcpc(lan: Lan, client: str) -> subprocess.CompletedProcess[str]:
    return lan.run(client, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "2", "-T", "2", "-s", "/bin/true", check=False)


@contextmanager
def asking(lan: Lan, where: str) -> Iterator[list[object]]:
    """A stream of HTTP requests; the list holds how many were answered, and what failed, when it is over."""
    argv = ["ip", "netns", "exec", where, sys.executable, "-c", ASK_ON_AND_ON, SERVER, str(PORT)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        assert stream.stdout.readline() == "asking\n"
        found: list[object] = []
        try:
            yield found
        finally:
            stream.terminate()
            found.extend(json.loads(stream.stdout.read()))


def test_a_reload_adds_a_host_moves_another_and_takes_a_profile_away(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    moved = config.host(5)
    config.data["profiles"].append({"name": "old", "image": "testbed", "ignition": "node.bu"})
    mayu = start_mayu()
    new, known = lan.client(mac="52:54:00:00:00:06"), lan.client(mac="52:54:00:00:00:05")
    assert "no lease" in udhcpc(lan, new).stderr
    config.host(6)
    moved["address"] = "10.78.0.50"
    config.data["profiles"].pop()
    config.write()
    reload(mayu)
    assert "lease of 10.78.0.8 obtained" in udhcpc(lan, new).stderr
    assert "lease of 10.78.0.50 obtained" in udhcpc(lan, known).stderr
    assert [event.detail for event in news(mayu, "reloaded")] == [
        {"generation": 1},
        {
            "generation": 2,
            "profiles": {"removed": ["old"]},
            "hosts": {"added": ["node-6"], "changed": ["node-5"]},
        },
    ]
    assert {worker.generation for worker in workers(mayu).values()} == {2}


def test_a_bad_config_is_refused_with_every_problem_and_the_last_good_serves_on(
    lan: Lan, config: Config, start_mayu: StartMayu
) -> None:
    config.host(5)
    mayu = start_mayu()
    before = workers(mayu)
    mayu.config.write_text(mayu.config.read_text().replace("interface: br0", "interfce: br0").replace("10.78.0.7", "10.99.0.7"))
    mayu.process.send_signal(signal.SIGHUP)
    until("the refusal", lambda: bool(news(mayu, "reload-refused")))
    (refused,) = news(mayu, "reload-refused")
    problems = "\n".join(refused.detail["problems"])
    assert "interfce: unknown key" in problems
    assert "10.99.0.7 is not in" in problems
    assert "generation 1 serves on" in mayu.log.read_text()
    assert workers(mayu) == before
    assert "lease of 10.78.0.7 obtained" in udhcpc(lan, lan.client(mac="52:54:00:00:00:05")).stderr


def test_who_asks_for_a_reload_learns_what_came_of_it(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    mayu = start_mayu()
    config.host(5)
    config.write()
    with closing(store_of(mayu)) as store:
        accepted = request_reload(store, by="ann")
        mayu.config.write_text("networks: 5")
        refused = request_reload(store, by="ann")
    assert (accepted.accepted, accepted.generation, accepted.changes) == (True, 2, {"hosts": {"added": ["node-5"]}})
    assert (refused.accepted, refused.generation, len(refused.problems) > 0) == (False, 2, True)


def test_a_plan_against_what_runs_sees_a_change_until_it_is_loaded(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    for number in (5, 6):
        config.host(number)
    mayu = start_mayu()
    words = ("plan", "--config", str(mayu.config), "--against-running", "http://127.0.0.1:4080", "--json", "--exit-code")

    def planned() -> tuple[int, dict[str, int]]:
        ran = lan.run(lan.server, sys.executable, "-m", "mayu_py", *words, check=False)
        return ran.returncode, json.loads(ran.stdout)["summary"]

    assert planned() == (0, {"added": 0, "removed": 0, "changed": 0, "unchanged": 2})
    config.data["hosts"].pop()
    config.host(7)
    config.write()
    assert planned() == (2, {"added": 1, "removed": 1, "changed": 0, "unchanged": 1})
    reload(mayu)
    assert planned() == (0, {"added": 0, "removed": 0, "changed": 0, "unchanged": 2})


def test_a_port_that_is_taken_refuses_the_reload_and_a_free_one_is_moved_to(
    lan: Lan, config: Config, start_mayu: StartMayu
) -> None:
    mayu = start_mayu()
    before = workers(mayu)
    argv = ["ip", "netns", "exec", lan.server, sys.executable, "-c"]
    squat = "import socket; s = socket.create_server(('10.78.0.1', 4999)); print('there', flush=True); input()"
    with subprocess.Popen([*argv, squat], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as squatter:
        assert squatter.stdin is not None
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == "there\n"
        config.data["http"] = {"port": 4999}
        config.write()
        mayu.process.send_signal(signal.SIGHUP)
        until("the refusal", lambda: bool(news(mayu, "reload-refused")))
        assert news(mayu, "reload-refused")[0].detail["problems"][0] == (
            "cannot serve http on 10.78.0.1:4999: Address already in use"
        )
        assert workers(mayu) == before
        lan.run(lan.server, "curl", "-sSf", f"{URL}/boot.ipxe")
        squatter.stdin.close()
    reload(mayu)
    lan.run(lan.server, "curl", "-sSf", f"http://{SERVER}:4999/boot.ipxe")
    until("the old port's end", lambda: lan.run(lan.server, "curl", "-s", f"{URL}/boot.ipxe", check=False).returncode == 7)


def test_nobody_outside_notices_a_reload(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.data |= {"unknown_hosts": "enrol", "default_profile": "node"}
    mayu = start_mayu()
    client, other = lan.client(address="10.78.0.200"), lan.client(address="10.78.0.250")
    perfdhcp = ["perfdhcp", "-4", "-l", "eth0", "-r", "40", "-R", "20", "-p", "10", "-W", "2000000", SERVER]
    with (
        asking(lan, client) as asked,
        subprocess.Popen(["ip", "netns", "exec", other, *perfdhcp], stdout=subprocess.PIPE, text=True) as storm,
    ):
        for number in range(4):
            config.host(number + 1)
            config.write()
            reload(mayu)
        report = storm.communicate(timeout=40)[0]
    good, bad = asked
    assert (bad, isinstance(good, int) and good > 200) == ([], True), good
    drops = [line for line in report.splitlines() if line.startswith("drops:")]
    assert drops == ["drops: 0", "drops: 0"], report  # OFFER and ACK


def test_a_download_that_is_slow_is_finished_by_the_worker_that_began_it(
    lan: Lan, config: Config, start_mayu: StartMayu, tmp_path: Path
) -> None:
    mayu = start_mayu()
    wanted = (config.folder / "image/root.img").read_bytes()
    argv = ["curl", "-sSf", "--limit-rate", "50k", "-o", str(tmp_path / "got"), f"{URL}/images/testbed/rootfs"]
    # A small buffer, so that the file is not in the kernel's hands at once.
    limited = ["sh", "-c", 'echo "4096 4096 8192" > /proc/sys/net/ipv4/tcp_rmem && exec "$@"', "sh", *argv]
    client = lan.client(address="10.78.0.200")
    with subprocess.Popen(["ip", "netns", "exec", client, *limited]) as download:
        until("the first bytes", lambda: (tmp_path / "got").exists())
        config.host(5)
        config.write()
        reload(mayu)
        assert download.poll() is None  # Or the test shows nothing.
        assert download.wait(30) == 0
    assert (tmp_path / "got").read_bytes() == wanted


@pytest.mark.parametrize("victim", ["dhcp", "http-1"])
def test_a_worker_killed_during_a_reload_is_back_and_all_serve_one_config(
    lan: Lan, config: Config, start_mayu: StartMayu, victim: str
) -> None:
    config.host(5)
    mayu = start_mayu()
    doomed = workers(mayu)[victim].pid
    config.host(6)
    config.write()
    mayu.process.send_signal(signal.SIGHUP)
    os.kill(doomed, signal.SIGKILL)
    until("the new config", lambda: len(news(mayu, "reloaded")) == 2)
    until("every worker", lambda: {(worker.ready, worker.generation) for worker in workers(mayu).values()} == {(True, 2)})
    assert "lease of 10.78.0.8 obtained" in udhcpc(lan, lan.client(mac="52:54:00:00:00:06")).stderr
    lan.run(lan.server, "curl", "-sSf", f"{URL}/boot.ipxe")


def held(lan: Lan, mayu: Mayu) -> tuple[int, int, int]:
    """Processes, descriptors of the supervisor, and sockets of the server."""
    sockets = lan.run(lan.server, "ss", "-H", "-a", "-n", "-t", "-u", "state", "listening", "state", "unconnected").stdout
    descriptors = list(Path(f"/proc/{mayu.process.pid}/fd").iterdir())
    return len(descendants(mayu.process.pid)), len(descriptors), len(sockets.splitlines())


def test_twenty_reloads_leave_nothing_behind(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    mayu = start_mayu()
    before, first = held(lan, mayu), descendants(mayu.process.pid)
    for number in range(20):
        config.host(number + 1)
        config.write()
        reload(mayu)
    until("the end of those replaced", lambda: held(lan, mayu) == before)
    assert not any(map(alive, first))
    assert mayu.stop() == 0
