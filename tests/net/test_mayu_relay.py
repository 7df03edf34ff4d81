"""DHCP through a real relay agent: two networks, option 82, and clients that renew through it and past it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeception_sim.run import spawn
from tests.net.clients import await_count, dhclient, tool, udhcpc
from tests.net.lan import SERVER, Config, Lan, StartMayu, ip

RACK_ROUTER, UPLINK = "10.80.0.1", "10.78.0.254"


@pytest.fixture
def relay(lan: Lan, config: Config) -> Iterator[str]:
    """A namespace with a link to mayu's LAN and a bridge of its own, behind which the clients are."""
    tool("dhcrelay", "isc-dhcp-relay")
    name = lan.client(address=UPLINK)
    ip("-n", name, "link", "add", "br1", "type", "bridge", "forward_delay", "0")
    ip("-n", name, "address", "add", f"{RACK_ROUTER}/24", "dev", "br1")
    ip("-n", name, "link", "set", "br1", "up")
    lan.run(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    ip("-n", lan.server, "route", "add", "10.80.0.0/24", "via", UPLINK)
    config.data["networks"].append({"name": "far", "subnet": "10.80.0.0/24", "gateway": RACK_ROUTER})
    config.host(5, address="10.80.0.5")
    argv = ["dhcrelay", "-4", "-d", "-a", "--no-pid", "-id", "br1", "-iu", "eth0", SERVER]
    with spawn(argv, log=config.folder / "relay.log", namespace=name, env={}):
        yield name


def behind(lan: Lan, relay: str, mac: str) -> str:
    """A client on the relay's bridge."""
    name = lan.client(mac=mac)
    ip("-n", name, "link", "del", "eth0")
    ip("-n", relay, "link", "add", f"far{lan.clients}", "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("-n", relay, "link", "set", f"far{lan.clients}", "master", "br1", "up")
    ip("-n", name, "link", "set", "eth0", "address", mac)
    ip("-n", name, "link", "set", "eth0", "up")
    return name


def test_a_client_behind_a_relay_gets_its_address_in_the_relays_network(
    lan: Lan, config: Config, relay: str, start_mayu: StartMayu
) -> None:
    start_mayu()
    lease = udhcpc(lan, behind(lan, relay, "52:54:00:00:00:05"), config.folder)
    assert (lease["ip"], lease["subnet"], lease["router"], lease["serverid"]) == (
        "10.80.0.5",
        "255.255.255.0",
        RACK_ROUTER,
        SERVER,
    )
    # The relay has put its option 82 in, and takes no reply without it.
    log = (config.folder / "relay.log").read_text()
    assert "Forwarded BOOTREPLY for 52:54:00:00:00:05" in log


def test_a_client_behind_a_relay_renews_past_it_and_gives_its_lease_back(
    lan: Lan, config: Config, relay: str, start_mayu: StartMayu, tmp_path: Path
) -> None:
    start_mayu()
    client = behind(lan, relay, "52:54:00:00:00:05")
    with dhclient(lan, client, tmp_path) as running:
        assert running.address() == "10.80.0.5"
        running.renew()
        running.release()
        await_count(config, "dhcp.sent", "ack", 2)
        await_count(config, "dhcp.unanswered", "release")


def test_a_relay_of_no_network_gets_no_answer(lan: Lan, config: Config, relay: str, start_mayu: StartMayu) -> None:
    config.data["networks"].pop()
    config.data["hosts"].clear()
    start_mayu()
    client = behind(lan, relay, "52:54:00:00:00:05")
    script = ("-s", "/bin/true")
    ran = lan.run(client, "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "2", "-T", "1", *script, check=False)
    assert ran.returncode == 1
    await_count(config, "dhcp.unanswered", "discover", 2)
