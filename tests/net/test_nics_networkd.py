"""systemd-networkd takes the files made for it: it complains of none, and does with a NIC what they say."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.golden.nics.cases import CASES, HOST, files

NETWORKD = Path("/lib/systemd/systemd-networkd")
ADDRESSED = ("plain", "static")
# It runs without udev and D-Bus, as in a container: /sys is read-only, and everything that it keeps is its own.
PREPARE = """
set -e
mount -o remount,ro,bind /sys
mount -t tmpfs run /run
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network /run/systemd/netif
mount -t tmpfs etc /etc/systemd/network
cp "$1"/* /etc/systemd/network/
exec env SYSTEMD_LOG_LEVEL=debug SYSTEMD_LOG_TARGET=console /lib/systemd/systemd-networkd
"""
COMPLAINT = re.compile(r"/etc/systemd/network/\S+?:(\d+:)? .*")


@pytest.fixture
def namespace() -> Iterator[str]:
    if not NETWORKD.exists():
        pytest.skip(f"there is no {NETWORKD}; it is in Debian's package systemd")
    name = f"nics-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        _ip(name, "link", "add", "eth0", "address", HOST.macs[0], "type", "veth", "peer", "name", "far")
        _ip(name, "link", "set", "far", "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def _ip(namespace: str, *words: str) -> str:
    command = ["ip", "-n", namespace, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def networkd(namespace: str, folder: Path) -> Iterator[Iterator[str]]:
    """Runs while its log is read."""
    command = ["ip", "netns", "exec", namespace, "unshare", "-m", "sh", "-c", PREPARE, "sh", os.fspath(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield iter(process.stderr)
        finally:
            process.terminate()


def put(folder: Path, case: str) -> Path:
    for file in files(case)["networkd"]:
        (folder / Path(file.path).name).write_text(file.text)
    return folder


def until(log: Iterator[str], sign: str) -> list[str]:
    """What was logged up to the sign."""
    lines = []
    for line in log:
        lines.append(line.rstrip())
        if sign in line:
            return lines
    raise AssertionError("\n".join(["it has ended before", sign, *lines]))


@pytest.mark.net
@pytest.mark.parametrize("case", CASES)
def test_it_complains_of_no_file(namespace: str, case: str, tmp_path: Path) -> None:
    with networkd(namespace, put(tmp_path, case)) as log:
        lines = until(log, "Enumeration completed")
    assert [line for line in lines if COMPLAINT.match(line)] == []


@pytest.mark.net
def test_it_would_complain_of_a_key_that_it_does_not_know(namespace: str, tmp_path: Path) -> None:
    (tmp_path / "10-eth0.network").write_text("[Match]\nName=eth0\n\n[Network]\nAddres=10.77.0.11/24\n")
    with networkd(namespace, tmp_path) as log:
        lines = until(log, "Enumeration completed")
    assert [line for line in lines if COMPLAINT.match(line)] == [
        "/etc/systemd/network/10-eth0.network:5: Unknown key 'Addres' in section [Network], ignoring."
    ]


@pytest.mark.net
@pytest.mark.parametrize("case", ADDRESSED)
def test_the_nic_has_the_addresses_and_routes_of_its_network(namespace: str, case: str, tmp_path: Path) -> None:
    with networkd(namespace, put(tmp_path, case)) as log:
        until(log, "eth0: State changed: configuring -> configured")
        links: Any = json.loads(_ip(namespace, "-json", "-4", "address", "show", "eth0"))
        routes: Any = json.loads(_ip(namespace, "-json", "-4", "route"))
    addresses = [f"{each['local']}/{each['prefixlen']}" for each in links[0]["addr_info"]]
    via = {route["dst"]: route["gateway"] for route in routes if "gateway" in route}
    boot = CASES[case][0]
    wanted = {str(route.to): str(route.via) for route in boot.routes}
    if boot.gateway is not None:
        wanted["default"] = str(boot.gateway)
    mtu = boot.nic.mtu if boot.nic is not None and boot.nic.mtu else 1500
    assert (addresses, via, links[0]["mtu"]) == ([f"{HOST.address}/24"], wanted, mtu)
