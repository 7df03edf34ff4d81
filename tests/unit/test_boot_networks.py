"""Several networks: which one a packet comes from, relays, extra networks, and who gets no answer."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from mayu_py.core.boot import decide
from mayu_py.core.exchange import Answer, DhcpKind, DhcpRequest, Enrol, Lease, Nak
from mayu_py.core.hosts import Host, Identity, Mac
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.core.settings import Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot

NEAR = Network("near", IPv4Network("10.1.0.0/24"), interface="br0", address=IPv4Address("10.1.0.1"))
FAR = Network("far", IPv4Network("10.2.0.0/24"), relays=(IPv4Address("192.0.2.9"),))
STORAGE = Network("storage", IPv4Network("10.3.0.0/24"), interface="br3", address=IPv4Address("10.3.0.1"), extra=True)
SETTINGS = Settings(networks=(NEAR, FAR, STORAGE), images={}, profiles=())

MAC, FAR_MAC = Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:02")
HOST = Host("node-1", IPv4Address("10.1.0.11"), (MAC,), addresses={"storage": IPv4Address("10.3.0.11")})
FAR_HOST = Host("node-2", IPv4Address("10.2.0.11"), (FAR_MAC,))
SNAPSHOT = Snapshot.of(SETTINGS, (HOST, FAR_HOST))
STRANGER = Identity(mac=Mac("52:54:00:00:00:99"))


def ask(mac: Mac, snapshot: Snapshot = SNAPSHOT, **how: Any) -> Answer:
    return decide(DhcpRequest(DhcpKind.DISCOVER, Identity(mac=mac), netboot=True, arch=7, **how), snapshot)


def with_settings(**changes: Any) -> Snapshot:
    return Snapshot.of(replace(SETTINGS, **changes), (HOST, FAR_HOST))


@pytest.mark.parametrize(
    "how",
    [
        {"giaddr": IPv4Address("10.2.0.254")},
        {"giaddr": IPv4Address("192.0.2.9")},
        {"giaddr": IPv4Address("192.0.2.1"), "link": IPv4Address("10.2.0.0")},
    ],
    ids=["a relay in the subnet", "a relay named in the config", "a relay that names the subnet (RFC 3527)"],
)
def test_a_relay_decides_the_network(how: dict[str, Any]) -> None:
    answer = ask(FAR_MAC, interface="br0", **how)
    assert answer.reply == Lease(FAR_HOST, FAR, False, FAR_HOST.address, "snponly.efi", netboot=True)
    assert answer.reasons[0].endswith("speaks for network far (:0)")


def test_a_relay_of_no_network_gets_no_answer() -> None:
    answer = ask(FAR_MAC, interface="br0", giaddr=IPv4Address("192.0.2.1"))
    assert (answer.reply, answer.reasons) == (
        None,
        ("no network holds the relay 192.0.2.1, and none names it in `relays`",),
    )


def test_hosts_behind_a_relay_are_sent_to_the_address_mayu_has_elsewhere() -> None:
    lease = decide(
        DhcpRequest(DhcpKind.DISCOVER, Identity(mac=FAR_MAC), netboot=True, ipxe=True, giaddr=IPv4Address("10.2.0.254")), SNAPSHOT
    ).reply
    assert isinstance(lease, Lease)
    assert lease.boot_file == "http://10.1.0.1:4081/boot.ipxe"


def test_a_host_that_is_moved_to_another_rack_gets_no_address_there_and_the_reason() -> None:
    why = "node-1 has no address in network far; it has 10.1.0.11"
    answer = ask(MAC, giaddr=IPv4Address("10.2.0.254"))
    assert (answer.reply, answer.reasons[-1]) == (None, why)
    renewal = DhcpRequest(DhcpKind.REQUEST, Identity(mac=MAC), requested=HOST.address, giaddr=IPv4Address("10.2.0.254"))
    assert decide(renewal, SNAPSHOT).reply == Nak(FAR, why)


def test_a_further_nic_gets_its_address_in_the_extra_network_and_no_boot_file() -> None:
    answer = ask(MAC, interface="br3")
    assert answer.reply == Lease(HOST, STORAGE, False, IPv4Address("10.3.0.11"), None)
    assert answer.reasons[-1] == "network storage is extra: nobody boots from it"


def test_nobody_enrols_in_an_extra_network() -> None:
    snapshot = with_settings(unknown_hosts=UnknownHosts.ENROL)
    assert decide(DhcpRequest(DhcpKind.DISCOVER, STRANGER, interface="br3"), snapshot).reply is None
    assert decide(DhcpRequest(DhcpKind.DISCOVER, STRANGER, interface="br0"), snapshot).reply == Enrol(STRANGER, NEAR)


def test_an_ignored_host_gets_no_answer_even_if_it_is_known() -> None:
    answer = ask(MAC, with_settings(ignored_hosts=(MAC,)), interface="br0")
    assert (answer.reply, answer.reasons[-1]) == (None, "ignored_hosts names 52:54:00:00:00:01 (:0)")


def test_dhcp_can_be_off_in_a_network() -> None:
    snapshot = with_settings(networks=(replace(NEAR, dhcp=DhcpMode.OFF), FAR))
    assert ask(MAC, snapshot, interface="br0").reply is None
    assert ask(FAR_MAC, snapshot, giaddr=IPv4Address("10.2.0.254")).reply is not None


def test_an_interface_without_a_network_gets_no_answer() -> None:
    assert ask(MAC, interface="eth9").reasons == ("no network is on eth9",)
