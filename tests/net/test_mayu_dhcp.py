"""DHCP against real clients, and against datagrams nobody should send."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from kubeception_sim.run import spawn
from tests.net.clients import Client, await_count, counted, dhclient, dhcpcd, eventually, history, running_udhcpc, tool, udhcpc
from tests.net.lan import SERVER, Config, Lan, StartMayu


def test_udhcpc_gets_its_own_address(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    lease = udhcpc(lan, lan.client(mac="52:54:00:00:00:05"), config.folder)
    assert lease == {
        "ip": "10.78.0.7",
        "subnet": "255.255.252.0",
        "router": SERVER,
        "serverid": SERVER,
        "hostname": "node-5",
        "lease": "3600",
    }


def test_a_firmware_is_told_its_boot_file(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    client = lan.client(mac="52:54:00:00:00:05")
    asks = ("-V", "PXEClient:Arch:00007:UNDI:003000", "-x", "0x5d:0007", "-O", "bootfile", "-O", "tftp")
    lease = udhcpc(lan, client, config.folder, *asks)
    assert (lease["boot_file"], lease["siaddr"], lease["tftp"]) == ("snponly.efi", SERVER, SERVER)


def test_http_boot_is_told_a_url_and_finds_the_file_there(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    client = lan.client(mac="52:54:00:00:00:05", address="10.78.0.7")
    asks = ("-V", "HTTPClient:Arch:00016:UNDI:003001", "-x", "0x5d:0010", "-O", "bootfile")
    url = udhcpc(lan, client, config.folder, *asks)["boot_file"]
    assert url == f"http://{SERVER}:4081/boot/snponly.efi"
    content = (config.folder / "tftp" / "snponly.efi").read_bytes()
    head = lan.run(client, "curl", "-sSfI", url).stdout.lower()
    assert f"content-length: {len(content)}\n" in head
    lan.run(client, "curl", "-sSf", "-o", str(config.folder / "fetched"), url)
    assert (config.folder / "fetched").read_bytes() == content
    for elsewhere in ("../mayu.yaml", "nothing.efi", ""):
        got = lan.run(client, "curl", "-s", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", f"{url[:-11]}{elsewhere}")
        assert got.stdout == "404"


def test_firmware_without_a_boot_file_gets_its_address_and_is_counted(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    client = lan.client(mac="52:54:00:00:00:05")
    asks = ("-V", "PXEClient:Arch:00011:UNDI:003000", "-x", "0x5d:000b", "-O", "bootfile")
    lease = udhcpc(lan, client, config.folder, *asks)
    assert (lease["ip"], lease.get("boot_file")) == ("10.78.0.7", None)
    await_count(config, "dhcp.no-boot-file", "architecture", 2)


def test_strangers_are_ignored(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    start_mayu()
    client = lan.client()
    script = ("-s", "/bin/true")
    ran = lan.run(client, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "2", "-T", "1", *script, check=False)
    assert ran.returncode == 1
    assert lan.counters()["dhcp.unanswered", "discover"] >= 2


def test_strangers_enrol_and_keep_their_address(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.data["unknown_hosts"] = "enrol"
    mayu = start_mayu()
    client = lan.client(mac="52:54:00:0a:0b:0c")
    first = udhcpc(lan, client, config.folder)
    assert first["ip"] == "10.78.3.1"
    assert mayu.stop() == 0
    start_mayu()
    assert udhcpc(lan, client, config.folder) == first
    (host,) = lan.get("/v1/hosts")
    assert (host["name"], host["macs"], host["state"]) == ("10-78-3-1", ["52:54:00:0a:0b:0c"], "discovered")


def perfdhcp(lan: Lan, where: str, *options: str) -> str:
    ran = lan.run(where, "perfdhcp", "-4", *options, timeout=60, check=False)
    # perfdhcp ends with 3 when some exchanges were not complete; what it prints decides.
    assert ran.returncode in (0, 3), ran.stdout + ran.stderr
    return ran.stdout


def lines(output: str, name: str) -> list[int]:
    """perfdhcp prints each figure once for DISCOVER-OFFER and once for REQUEST-ACK."""
    return [int(line.split(":")[1].split()[0]) for line in output.splitlines() if line.startswith(name)]


def test_perfdhcp_completes_every_exchange(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.data["unknown_hosts"] = "enrol"
    start_mayu()
    client = lan.client(address="10.78.0.250")
    output = perfdhcp(lan, client, "-l", "eth0", "-r", "100", "-R", "150", "-n", "300", "-W", "2000000", SERVER)
    assert lines(output, "drops:") == [0, 0]
    assert lines(output, "received packets:") == [300, 300]
    addresses = [host["address"] for host in lan.get("/v1/hosts")]
    assert len(addresses) == len(set(addresses)) == 150


def test_perfdhcp_renews_and_releases(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.data["unknown_hosts"] = "enrol"
    start_mayu()
    client = lan.client(address="10.78.0.250")
    # Renewals are unicast with ciaddr, and their answers go there: to this client, whichever machine it plays.
    lan.run(client, "ip", "address", "add", "local", "10.78.3.0/24", "dev", "lo")
    output = perfdhcp(lan, client, "-l", "eth0", "-r", "60", "-R", "60", "-n", "120", "-f", "30", "-F", "10", SERVER)
    assert "REQUEST-ACK (renewal)" in output
    await_count(config, "dhcp.unanswered", "release", 5)
    sent = counted(config)
    assert sent["dhcp.sent", "ack"] > sent["dhcp.sent", "offer"] * 0.9
    assert ("dhcp.sent", "nak") not in sent


def test_an_exhausted_range_refuses_by_name_and_the_server_stays_up(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    config.data["unknown_hosts"] = "enrol"
    config.data["networks"][0]["range"]["end"] = "10.78.3.20"
    mayu = start_mayu()
    client = lan.client(address="10.78.0.250")
    perfdhcp(lan, client, "-l", "eth0", "-r", "50", "-R", "40", "-n", "40", SERVER)
    assert len(lan.get("/v1/hosts")) == 1 + 20
    assert "the range of network rack at" in mayu.log.read_text()
    assert "(10.78.3.1 to 10.78.3.20) has no free address" in mayu.log.read_text()
    assert udhcpc(lan, lan.client(mac="52:54:00:00:00:05"), config.folder)["ip"] == "10.78.0.7"


Start = Callable[[Lan, str, Path], AbstractContextManager[Client]]


@pytest.mark.parametrize("start", [running_udhcpc, dhclient, dhcpcd], ids=["udhcpc", "dhclient", "dhcpcd"])
def test_a_client_gets_a_lease_renews_it_and_gives_it_back(
    lan: Lan, config: Config, start_mayu: StartMayu, tmp_path: Path, start: Start
) -> None:
    config.host(5)
    start_mayu()
    with start(lan, lan.client(mac="52:54:00:00:00:05"), tmp_path) as client:
        assert client.address() == "10.78.0.7"
        await_count(config, "dhcp.sent", "ack", 1)
        assert client.renew() == "10.78.0.7"
        await_count(config, "dhcp.sent", "ack", 2)
        client.release()
        await_count(config, "dhcp.unanswered", "release")


def checked(config: Config) -> None:
    config.data["unknown_hosts"] = "enrol"
    config.data["networks"][0]["conflict_check"] = True


def test_an_address_that_somebody_uses_is_found_out_before_it_is_offered(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    checked(config)
    start_mayu()
    squatter = lan.client(mac="52:54:00:00:00:77")
    lan.run(squatter, "ip", "address", "add", "10.78.3.1/22", "dev", "eth0")
    assert udhcpc(lan, lan.client(mac="52:54:00:00:00:05"), config.folder)["ip"] == "10.78.3.2"
    await_count(config, "dhcp.conflict", "probe")
    (conflict,) = history(config, "address-conflict")
    detail = {"address": "10.78.3.1", "network": "rack", "by": "probe", "holder": "52:54:00:00:00:77"}
    assert conflict.detail == detail
    # It is remembered: the next one is not even probed there.
    assert udhcpc(lan, lan.client(mac="52:54:00:00:00:06"), config.folder)["ip"] == "10.78.3.3"
    assert len(history(config, "address-conflict")) == 1


def test_probing_for_one_keeps_nobody_else_waiting(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    checked(config)
    config.host(5)
    start_mayu()
    client = lan.client(address="10.78.0.250")
    # 40 strangers a second for two seconds, each of whom is probed for half a second.
    output = perfdhcp(lan, client, "-l", "eth0", "-r", "40", "-R", "80", "-n", "80", "-W", "2000000", SERVER)
    assert lines(output, "received packets:") == [80, 80]
    assert udhcpc(lan, lan.client(mac="52:54:00:00:00:05"), config.folder)["ip"] == "10.78.0.7"


@pytest.mark.parametrize("probing", [False, True])
def test_an_address_that_is_declined_is_given_to_nobody_for_a_while(
    lan: Lan, config: Config, start_mayu: StartMayu, probing: bool
) -> None:
    checked(config)
    config.data["networks"][0]["conflict_check"] = probing
    start_mayu()
    client = lan.client(mac="52:54:00:00:00:05")
    first = udhcpc(lan, client, config.folder)
    assert first["ip"] == "10.78.3.1"
    if not probing:
        squatter = lan.client(mac="52:54:00:00:00:77")
        lan.run(squatter, "ip", "address", "add", "10.78.3.1/22", "dev", "eth0")
    decline(lan, client, "52:54:00:00:00:05", "10.78.3.1")
    await_count(config, "dhcp.conflict", "decline")
    again = udhcpc(lan, client, config.folder)
    assert again["ip"] == "10.78.3.2"
    (conflict,), (moved,) = history(config, "address-conflict"), history(config, "readdressed")
    assert (conflict.host, conflict.detail["by"]) == ("10-78-3-1", "decline")
    assert (moved.host, moved.detail) == ("10-78-3-1", {"from": "10.78.3.1", "to": "10.78.3.2"})
    assert udhcpc(lan, lan.client(mac="52:54:00:00:00:06"), config.folder)["ip"] == "10.78.3.3"


def test_a_configured_host_keeps_its_address_loudly(lan: Lan, config: Config, start_mayu: StartMayu) -> None:
    config.host(5)
    mayu = start_mayu()
    client = lan.client(mac="52:54:00:00:00:05")
    decline(lan, client, "52:54:00:00:00:05", "10.78.0.7")
    await_count(config, "dhcp.conflict", "decline")
    assert udhcpc(lan, client, config.folder)["ip"] == "10.78.0.7"
    assert "10.78.0.7 is node-5's by the config" in mayu.log.read_text()


DECLINE = """
import sys
from ipaddress import IPv4Address
from mayu_py.services import packet_sockets
from mayu_py.wire import dhcp4, udp4
mac, address, server = sys.argv[1:]
options = {53: bytes((4,)), 50: IPv4Address(address).packed, 54: IPv4Address(server).packed}
message = dhcp4.Message(dhcp4.Op.BOOTREQUEST, 1, bytes.fromhex(mac.replace(":", "")), options)
packet = udp4.build(udp4.Datagram(dhcp4.ZERO, 68, dhcp4.BROADCAST, 67, dhcp4.build(message)))
with packet_sockets.listen("eth0", packet_sockets.ETH_P_IP, packet_sockets.TO_DHCP_CLIENTS) as sock:
    packet_sockets.broadcast(sock, "eth0", packet_sockets.ETH_P_IP, packet)
"""


def decline(lan: Lan, where: str, mac: str, address: str) -> None:
    """As a client does that has found somebody at the address; real ones take ten seconds over it."""
    lan.run(where, sys.executable, "-c", DECLINE, mac, address, SERVER)


ROGUE = ("dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--user=root")
ROGUE_LEASES = ("--log-facility=-", "--no-ping", "--leasefile-ro", "--pid-file=", "--dhcp-range=10.78.0.150,10.78.0.199,1h")


@pytest.fixture
def rogue(lan: Lan, config: Config) -> Iterator[str]:
    """Another DHCP server on the LAN; returns its MAC."""
    tool("dnsmasq", "dnsmasq-base")
    name = lan.client(mac="52:54:00:00:00:66", address="10.78.0.66")
    log = config.folder / "rogue.log"
    with spawn([*ROGUE, *ROGUE_LEASES], log=log, namespace=name, env={}):
        eventually(lambda: "DHCP, IP range" in log.read_text(), log.read_text)
        yield "52:54:00:00:00:66"


def test_another_dhcp_server_is_noticed(lan: Lan, config: Config, rogue: str, start_mayu: StartMayu) -> None:
    start_mayu()
    client = lan.client(mac="52:54:00:00:00:05")
    # Its answers are broadcast to who asks for that, and then everybody hears them.
    assert udhcpc(lan, client, config.folder, "-B")["serverid"] == "10.78.0.66"
    await_count(config, "dhcp.rogue", "ack")
    (found,) = history(config, "rogue-dhcp")
    detail = {"network": "rack", "server": "10.78.0.66", "mac": rogue, "client": "52:54:00:00:00:05"}
    assert found.detail == detail


def test_the_probe_lists_every_server(lan: Lan, config: Config, rogue: str, start_mayu: StartMayu) -> None:
    config.host(5)
    start_mayu()
    client = lan.client(mac="52:54:00:00:00:05")
    argv = (sys.executable, "-m", "mayu_py", "dhcp-probe", "-i", "eth0", "--seconds", "2", "--json")
    found = {row["server"]: row for row in json.loads(lan.run(client, *argv).stdout)}
    assert set(found) == {SERVER, "10.78.0.66"}
    assert (found[SERVER]["offered"], found[SERVER]["boot_file"]) == ("10.78.0.7", "snponly.efi")
    assert (found["10.78.0.66"]["mac"], found["10.78.0.66"]["boot_file"]) == (rogue, "")
    lonely = lan.run(client, *argv[:5], "lo", "--seconds", "0.2", check=False)
    assert (lonely.returncode, lonely.stdout) == (1, "nobody answered on lo within 0.2 s\n")
    nowhere = lan.run(client, *argv[:5], "nowhere0", check=False)
    assert nowhere.returncode == 1
    assert "cannot ask on nowhere0: No such device" in nowhere.stderr
