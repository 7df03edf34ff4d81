"""Names of a real rack: machines that enrol have one at once, and killing the worker costs nobody an answer."""

import os
import re
import shutil
import signal
import time

import pytest

from tests.net.lan import SERVER, Config, Lan, StartMayu

REVERSE = "-x"


@pytest.fixture
def names(config: Config) -> Config:
    """The config, with DNS; the zone's server is the LAN's."""
    for tool, package in (("dig", "bind9-dnsutils"), ("dnsperf", "dnsperf")):
        if shutil.which(tool) is None:
            pytest.skip(f"looked for {tool}: {package} is not installed")
    config.data["dns"] = {
        "zone": "rack.example",
        "aliases": {"api": "node-5"},
        "wildcards": {"*.customera": ["10.78.0.7"]},
        "etcd": {"profile": "node"},
    }
    config.host(5)
    return config


def dig(lan: Lan, where: str, *words: str) -> list[str]:
    return lan.run(where, "dig", f"@{SERVER}", "+short", "+tries=1", "+time=5", *words).stdout.split()


def until(lan: Lan, where: str, words: tuple[str, ...], expected: list[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (found := dig(lan, where, *words)) != expected:
        assert time.monotonic() < deadline, f"{words}: {found}, not {expected}"
        time.sleep(0.02)


def test_a_machine_that_enrols_has_a_name_both_ways_within_a_second(lan: Lan, names: Config, start_mayu: StartMayu) -> None:
    names.data["unknown_hosts"] = "enrol"
    start_mayu()
    new, client = lan.client(mac="52:54:00:0a:0b:0c"), lan.client(address="10.78.0.250")
    assert dig(lan, client, "10-78-3-1.rack.example") == []
    lan.run(new, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", "/bin/true")
    until(lan, client, ("10-78-3-1.rack.example",), ["10.78.3.1"], 1.0)
    until(lan, client, (REVERSE, "10.78.3.1"), ["10-78-3-1.rack.example."], 1.0)


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_what_the_config_says_has_names(lan: Lan, names: Config, start_mayu: StartMayu, transport: str) -> None:
    start_mayu()
    client = lan.client(address="10.78.0.250")
    assert dig(lan, client, transport, "api.rack.example") == ["node-5.rack.example.", "10.78.0.7"]
    assert dig(lan, client, transport, "shop.customera.rack.example") == ["10.78.0.7"]
    assert dig(lan, client, transport, "_etcd-client._tcp.rack.example", "SRV") == ["0", "0", "2379", "node-5.rack.example."]
    assert dig(lan, client, transport, REVERSE, SERVER) == ["ns.rack.example."]


def test_a_question_that_waits_while_the_worker_dies_is_answered(lan: Lan, names: Config, start_mayu: StartMayu) -> None:
    mayu = start_mayu()
    client = lan.client(address="10.78.0.250")
    before = mayu.workers()["dns"]
    os.kill(before, signal.SIGKILL)
    # One try only: if the sockets had died with their worker, there would be nobody to answer.
    for transport in ("+notcp", "+tcp"):
        assert dig(lan, client, transport, "node-5.rack.example") == ["10.78.0.7"]
    assert mayu.workers()["dns"] != before


def test_a_stranger_from_another_network_is_refused(lan: Lan, names: Config, start_mayu: StartMayu) -> None:
    names.data["dns"]["allow"] = ["10.78.0.0/25"]
    start_mayu()
    near, far = lan.client(address="10.78.0.100"), lan.client(address="10.78.0.200")
    assert dig(lan, near, "node-5.rack.example") == ["10.78.0.7"]
    assert "status: REFUSED" in lan.run(far, "dig", f"@{SERVER}", "+tries=1", "node-5.rack.example").stdout


@pytest.mark.parametrize("mode", ["udp", "tcp"])
def test_a_load_generator_gets_every_answer(lan: Lan, names: Config, start_mayu: StartMayu, mode: str) -> None:
    for number in range(6, 206):
        names.host(number)
    start_mayu()
    client = lan.client(address="10.78.0.250")
    questions = names.folder / "questions"
    kinds = ("node-{0}.rack.example A", "node-{0}.rack.example AAAA", "s{0}.customera.rack.example A", "api.rack.example A")
    questions.write_text("".join(f"{kind.format(number)}\n" for number in range(6, 206) for kind in kinds))
    ran = lan.run(client, "dnsperf", "-s", SERVER, "-m", mode, "-d", str(questions), "-l", "3", "-c", "4", "-e", timeout=60)
    numbers = dict(re.findall(r"Queries (sent|completed|lost): +(\d+)", ran.stdout))
    sent, completed, lost = (int(numbers[word]) for word in ("sent", "completed", "lost"))
    assert (completed, lost) == (sent, 0), ran.stdout
    assert re.search(r"Response codes: +NOERROR \d+ \(100\.00%\)", ran.stdout), ran.stdout
    assert sent > 1000
