"""`dhcp: proxy`: beside real DHCP servers that own the addresses, mayu hands out boot files, and nothing else to nobody else."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from kubeception_sim.run import Process, spawn
from mayu_py.store.sqlite import SqliteStore
from tests.net.clients import await_count, counted, eventually, history, tool, udhcpc
from tests.net.lan import SERVER, Config, Lan, StartMayu

OWNER = "10.78.0.2"
MAC = "52:54:00:00:00:05"


def dnsmasq(where: str, folder: Path) -> AbstractContextManager[Process]:
    tool("dnsmasq", "dnsmasq-base")
    argv = [
        "dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--user=root", "--no-ping",
        "--leasefile-ro", "--pid-file=", "--log-facility=-", "--dhcp-range=10.78.0.50,10.78.0.99,1h",
    ]  # fmt: skip
    return spawn(argv, log=folder / "owner.log", namespace=where, env={})


def kea(where: str, folder: Path) -> AbstractContextManager[Process]:
    tool("kea-dhcp4", "kea-dhcp4-server")
    config = {
        "Dhcp4": {
            "interfaces-config": {"interfaces": ["eth0"]},
            "lease-database": {"type": "memfile", "persist": False},
            "subnet4": [{"subnet": "10.78.0.0/24", "pools": [{"pool": "10.78.0.50 - 10.78.0.99"}]}],
            "loggers": [{"name": "kea-dhcp4", "output_options": [{"output": "stdout"}], "severity": "INFO"}],
        }
    }
    path = folder / "kea.json"
    path.write_text(json.dumps(config))
    env = {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": "none"}
    return spawn(["kea-dhcp4", "-c", path], log=folder / "owner.log", namespace=where, env=env)


Start = Callable[[str, Path], AbstractContextManager[Process]]
READY: dict[Start, str] = {dnsmasq: "DHCP, IP range", kea: "DHCP4_STARTED"}


@pytest.fixture(params=[dnsmasq, kea], ids=["dnsmasq", "kea"])
def owner(request: pytest.FixtureRequest, lan: Lan, config: Config) -> Iterator[str]:
    """Another server that owns the addresses; mayu is told of it."""
    start: Start = request.param
    name = lan.client(mac="52:54:00:00:00:02", address=OWNER)
    network = config.data["networks"][0]
    del network["range"]
    network |= {"subnet": "10.78.0.0/24", "dhcp": "proxy", "owner": OWNER}
    log = config.folder / "owner.log"
    with start(name, config.folder):
        eventually(lambda: READY[start] in log.read_text(), log.read_text)
        yield name


def probe(lan: Lan, client: str) -> dict[str, dict[str, str | None]]:
    """Server -> what it offers to a UEFI that boots from the network."""
    argv = (sys.executable, "-m", "mayu_py", "dhcp-probe", "-i", "eth0", "--seconds", "2", "--json")
    return {row["server"]: row for row in json.loads(lan.run(client, *argv).stdout)}


def test_firmware_is_offered_an_address_by_the_owner_and_a_boot_file_by_mayu(
    lan: Lan, config: Config, owner: str, start_mayu: StartMayu
) -> None:
    del config.host(5)["address"]
    start_mayu()
    found = probe(lan, lan.client(mac=MAC))
    assert set(found) == {SERVER, OWNER}
    assert (found[SERVER]["offered"], found[SERVER]["boot_file"]) == (None, "snponly.efi")
    assert (found[OWNER]["offered"] is not None, found[OWNER]["boot_file"]) == (True, "")
    assert not any(name == "dhcp.rogue" for name, _ in counted(config))


def test_who_does_not_boot_from_the_network_hears_nothing_of_mayu(
    lan: Lan, config: Config, owner: str, start_mayu: StartMayu
) -> None:
    config.data["unknown_hosts"] = "enrol"
    start_mayu()
    assert udhcpc(lan, lan.client(mac=MAC), config.folder)["serverid"] == OWNER
    await_count(config, "dhcp.unanswered", "discover")
    assert not any(name == "dhcp.sent" for name, _ in counted(config))
    assert history(config, "enrolled") == []


def test_a_stranger_that_boots_is_enrolled_without_an_address_and_keeps_its_record(
    lan: Lan, config: Config, owner: str, start_mayu: StartMayu
) -> None:
    config.data["unknown_hosts"] = "enrol"
    start_mayu()
    client = lan.client(mac="52:54:00:0a:0b:0c")
    assert SERVER in probe(lan, client)
    assert SERVER in probe(lan, client)
    (enrolled,) = history(config, "enrolled")
    assert (enrolled.host, enrolled.detail) == ("52-54-00-0a-0b-0c", {"address": None, "profile": None})


BINL = """
import socket
from ipaddress import IPv4Address
from mayu_py.wire import dhcp4
options = {53: bytes((3,)), 60: b"PXEClient:Arch:00007:UNDI:003000", 93: bytes((0, 7))}
mac, own = bytes.fromhex("525400000005"), IPv4Address("10.78.0.77")
message = dhcp4.Message(dhcp4.Op.BOOTREQUEST, 9, mac, options, ciaddr=own)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.bind((str(own), 5068))
    client.settimeout(5)
    client.sendto(dhcp4.build(message), ("10.78.0.1", 4011))
    datagram, sender = client.recvfrom(2048)
reply = dhcp4.parse(datagram)
addresses = (reply.yiaddr, reply.ciaddr, reply.siaddr)
print(*sender, reply.type.name, reply.xid, *addresses, reply.file.decode(), reply.options[60].decode())
"""


def test_port_4011_names_the_boot_file_and_learns_where_the_host_is(
    lan: Lan, config: Config, owner: str, start_mayu: StartMayu
) -> None:
    del config.host(5)["address"]
    start_mayu()
    client = lan.client(mac=MAC, address="10.78.0.77")
    told = lan.run(client, sys.executable, "-c", BINL).stdout.split()
    assert told == [SERVER, "4011", "ACK", "9", "0.0.0.0", "10.78.0.77", SERVER, "snponly.efi", "PXEClient"]
    # From now on what comes from there is the host's: its boot over TFTP is a stage.
    eventually(lambda: "10.78.0.77" in told_addresses(config), lambda: told_addresses(config))
    lan.run(client, "curl", "-sSf", "-o", "/dev/null", f"tftp://{SERVER}/snponly.efi")
    eventually(lambda: [event.host for event in history(config, "stage")] == ["node-5"], lambda: history(config, "stage"))


def told_addresses(config: Config) -> list[str]:
    with closing(SqliteStore(config.folder / "mayu.db")) as store:
        return [str(told.address) for told in store.inventory().told.values()]


# Kea puts the client's own MAC on what it broadcasts: a switch passes that on to nobody else. A probe hears it.
@pytest.mark.parametrize("owner", [dnsmasq], indirect=True)
def test_a_third_server_is_a_rogue(lan: Lan, config: Config, owner: str, start_mayu: StartMayu) -> None:
    config.data["networks"][0]["owner"] = "10.78.0.3"
    start_mayu()
    probe(lan, lan.client(mac=MAC))
    await_count(config, "dhcp.rogue", "offer")
    (found,) = history(config, "rogue-dhcp")
    assert (found.detail["server"], found.detail["mac"]) == (OWNER, "52:54:00:00:00:02")
