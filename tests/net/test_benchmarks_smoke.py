"""Every benchmark sets up, measures each of its servers once, and gives whole rows; how fast they were is not looked at."""

import shutil
from types import ModuleType

import pytest

from benchmarks import dhcp, download, storm, tftp, web
from benchmarks.results import US, Row


@pytest.fixture(autouse=True)
def _tools() -> None:
    tools = {"dnsmasq": "dnsmasq-base", "kea-dhcp4": "kea-dhcp4-server", "in.tftpd": "tftpd-hpa", "nginx": "nginx"}
    for tool, package in (tools | {"perfdhcp": "kea-admin", "wrk": "wrk", "curl": "curl"}).items():
        if shutil.which(tool) is None:
            pytest.skip(f"looked for {tool}: {package} is not installed")


def shrunk(monkeypatch: pytest.MonkeyPatch, part: ModuleType, **sizes: object) -> list[Row]:
    monkeypatch.setattr(part, "ROUNDS", 1)
    for name, value in sizes.items():
        monkeypatch.setattr(part, name, value)
    rows: list[Row] = part.run()
    return rows


def measured(rows: list[Row]) -> dict[str, list[str]]:
    """Who was measured in each row. Nobody is infinitely fast, and nobody does nothing."""
    assert all(value > 0 for row in rows for one in row.rounds for value in one.values())
    return {row.workload: [US, *row.peers()] for row in rows}


def test_web(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shrunk(monkeypatch, web, HOSTS=20, FEW=10, MANY=20, FORGOTTEN=0.1, WORKLOADS=web.WORKLOADS[:1])

    assert measured(rows) == {
        "Ignition, keep-alive": ["mayu", "nginx"],
        "Ignition, keep-alive: 99 % answered within": ["mayu", "nginx"],
        "Ignition, keep-alive: server CPU": ["mayu", "nginx"],
        "Ignition, keep-alive: 20 hosts beside 10": ["mayu", "mayu, fewer hosts"],
        "Ignition, keep-alive: 20 hosts beside 10: 99 % answered within": ["mayu", "mayu, fewer hosts"],
        "Ignition, keep-alive: 20 hosts beside 10: server CPU": ["mayu", "mayu, fewer hosts"],
        "Ignition, keep-alive: first request of each of 20 hosts": ["mayu"],
        "Ignition, keep-alive: first request of each of 20 hosts: 99 % answered within": ["mayu"],
        "Ignition, keep-alive: first request of each of 20 hosts: server CPU": ["mayu"],
    }


def test_download(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shrunk(monkeypatch, download, SECONDS=1, CLIENTS=2, STALLED=3)

    assert measured(rows) == {
        "40 MB, 2 clients, 3 stalled ones beside": ["mayu", "nginx"],
        "40 MB, 2 clients, 3 stalled ones beside: server CPU": ["mayu", "nginx"],
    }


def test_dhcp_servers_answer_known_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dhcp.Contender, "measure", lambda self, **_: self._try(100.0))
    rows = shrunk(monkeypatch, dhcp, SCENARIOS=dhcp.SCENARIOS[:1])

    servers = ["mayu", "Kea", "dnsmasq", "dnsmasq, read-only"]
    assert measured(rows) == {"500 known hosts": servers, "500 known hosts: server CPU": servers}


def test_tftp(monkeypatch: pytest.MonkeyPatch) -> None:
    # atftpd would have to be downloaded.
    servers = {name: start for name, start in tftp.SERVERS.items() if name != "atftpd"}
    workload = tftp.Workload("window 16", 4, 1468, 16)
    rows = shrunk(monkeypatch, tftp, SERVERS=servers, WORKLOADS=(workload,), SECONDS=0.2, WARM_UP=0.1)

    assert measured(rows[:1]) == {"window 16": ["mayu", "dnsmasq", "tftpd-hpa"]}


def test_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shrunk(monkeypatch, storm, MACHINES=20)

    assert measured(rows[:1]) == {"20 machines at once": ["mayu", "dnsmasq and nginx"]}
