"""Every DHCP message in every state of a client, in every mode of a network: what is decided."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.boot import decide
from mayu_py.core.exchange import (
    Accept,
    BootFileRead,
    Conflict,
    DhcpKind,
    DhcpRequest,
    Enrol,
    IgnitionRequest,
    Learned,
    Lease,
    Nak,
    Reached,
    Reply,
    ScriptRequest,
)
from mayu_py.core.faces import BootFiles
from mayu_py.core.hosts import ENROLLED, Host, Identity, Mac, Stage
from mayu_py.core.networks import DhcpMode, Network
from mayu_py.core.settings import Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot

SERVER, OWNER, OWN, OTHER = (IPv4Address(f"10.1.0.{n}") for n in (1, 2, 11, 12))
RACK = Network("rack", IPv4Network("10.1.0.0/24"), interface="br0", address=SERVER)
BESIDE = replace(RACK, dhcp=DhcpMode.PROXY, owner=OWNER)
SETTINGS = Settings(networks=(RACK,), images={}, profiles=(), unknown_hosts=UnknownHosts.ENROL)
MAC, STRANGER = Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:99")
NAMED = Host("node-1", OWN, (MAC,), origin="mayu.yaml:9")
GUEST = Host("node-1", None, (MAC,), proxied=True, origin=ENROLLED)


def ask(kind: DhcpKind, mac: Mac = MAC, **how: Any) -> DhcpRequest:
    return DhcpRequest(kind, Identity(mac=mac), interface="br0", **how)


def decided(request: DhcpRequest, network: Network = RACK, *hosts: Host, **settings: Any) -> Reply | None:
    changed = replace(SETTINGS, networks=(network,), **settings)
    return decide(request, Snapshot.of(changed, hosts or (NAMED,))).reply


LEASE = Lease(NAMED, RACK, ack=False, yiaddr=OWN, boot_file=None)
ACK = replace(LEASE, ack=True)
NOT_ITS = Nak(RACK, f"node-1 has {OWN}, not {OTHER}")
SELECTING = {"server_id": SERVER}


# RFC 2131, section 4.3.2 and its table 4: SELECTING names the server and the address, INIT-REBOOT the address only,
# RENEWING (unicast) and REBINDING (broadcast) have it in ciaddr.
@pytest.mark.parametrize(
    ("kind", "how", "known", "unknown"),
    [
        (DhcpKind.DISCOVER, {}, LEASE, Enrol),
        (DhcpKind.DISCOVER, {"requested": OTHER}, LEASE, Enrol),
        (DhcpKind.REQUEST, {**SELECTING, "requested": OWN}, ACK, Enrol),
        (DhcpKind.REQUEST, {**SELECTING, "requested": OTHER}, NOT_ITS, Enrol),
        (DhcpKind.REQUEST, {"server_id": OWNER, "requested": OWN}, None, None),
        (DhcpKind.REQUEST, {"requested": OWN}, ACK, Enrol),
        (DhcpKind.REQUEST, {"requested": OTHER}, NOT_ITS, Enrol),
        (DhcpKind.REQUEST, {"ciaddr": OWN}, ACK, Enrol),
        (DhcpKind.REQUEST, {"ciaddr": OTHER}, NOT_ITS, Enrol),
        (DhcpKind.REQUEST, {}, None, Enrol),
        (DhcpKind.INFORM, {"ciaddr": OWN}, replace(ACK, yiaddr=None), None),
        (DhcpKind.RELEASE, {"ciaddr": OWN, **SELECTING}, None, None),
        (DhcpKind.RELEASE, {"ciaddr": OWN, "server_id": OWNER}, None, None),
        (DhcpKind.DECLINE, {"requested": OWN, **SELECTING}, Conflict(NAMED, RACK, OWN), None),
        (DhcpKind.DECLINE, {"requested": OTHER, **SELECTING}, None, None),
        (DhcpKind.DECLINE, {"requested": OWN, "server_id": OWNER}, None, None),
    ],
)
def test_the_owner_of_the_addresses(
    kind: DhcpKind, how: dict[str, Any], known: Reply | None, unknown: type[Reply] | None
) -> None:
    assert decided(ask(kind, **how)) == known
    stranger = ask(kind, STRANGER, **how)
    assert decided(stranger) == (Enrol(stranger.identity, RACK) if unknown is Enrol else None)
    assert decided(stranger, unknown_hosts=UnknownHosts.IGNORE) is None
    assert decided(ask(kind, **how), replace(RACK, dhcp=DhcpMode.OFF)) is None


OFFER = Lease(GUEST, BESIDE, ack=False, yiaddr=None, boot_file="snponly.efi", netboot=True)
PXE: dict[str, Any] = {"netboot": True, "arch": 7}


@pytest.mark.parametrize(
    ("kind", "how", "reply"),
    [
        (DhcpKind.DISCOVER, PXE, OFFER),
        (
            DhcpKind.DISCOVER,
            {"netboot": True, "ipxe": True},
            replace(OFFER, ipxe=True, boot_file="http://10.1.0.1:4081/boot.ipxe"),
        ),
        (
            DhcpKind.DISCOVER,
            {"netboot": True, "http": True, "arch": 16},
            replace(OFFER, http=True, boot_file="http://10.1.0.1:4081/boot/snponly.efi"),
        ),
        (DhcpKind.DISCOVER, {"netboot": True, "arch": 11}, None),
        (DhcpKind.DISCOVER, {}, None),
        (DhcpKind.REQUEST, {**PXE, "server_id": OWNER, "requested": OWN}, None),
        (DhcpKind.REQUEST, {**PXE, "ciaddr": OWN}, None),
        (DhcpKind.REQUEST, {"requested": OTHER}, None),
        (DhcpKind.INFORM, {**PXE, "ciaddr": OWN}, None),
        (DhcpKind.RELEASE, {**PXE, "ciaddr": OWN}, None),
        (DhcpKind.DECLINE, {**PXE, "requested": OWN}, None),
        (DhcpKind.REQUEST, {**PXE, "binl": True, "ciaddr": OWN}, replace(OFFER, ack=True)),
        (DhcpKind.INFORM, {**PXE, "binl": True, "ciaddr": OWN}, replace(OFFER, ack=True)),
        (DhcpKind.DISCOVER, {**PXE, "binl": True, "ciaddr": OWN}, None),
        (DhcpKind.REQUEST, {"binl": True, "ciaddr": OWN}, None),
    ],
)
def test_beside_the_owner_of_the_addresses(kind: DhcpKind, how: dict[str, Any], reply: Reply | None) -> None:
    assert decided(ask(kind, **how), BESIDE, GUEST) == reply


def test_a_stranger_beside_the_owner_enrols_when_it_boots_from_the_network() -> None:
    booting = ask(DhcpKind.DISCOVER, STRANGER, **PXE)
    assert decided(booting, BESIDE, GUEST) == Enrol(booting.identity, BESIDE)
    assert decided(ask(DhcpKind.DISCOVER, STRANGER), BESIDE, GUEST) is None
    assert decided(booting, BESIDE, GUEST, unknown_hosts=UnknownHosts.IGNORE) is None


SNAPSHOT = Snapshot.of(replace(SETTINGS, networks=(BESIDE,)), (GUEST,))
IDENTITY = Identity(mac=MAC)


@pytest.mark.parametrize(
    "sign",
    [
        ask(DhcpKind.REQUEST, **PXE, server_id=OWNER, requested=OWN),
        ask(DhcpKind.REQUEST, **PXE, binl=True, ciaddr=OWN),
        ScriptRequest(IDENTITY, source=OWN),
        IgnitionRequest(IDENTITY, source=OWN),
    ],
    ids=["takes it of the owner", "asks port 4011", "asks for its script", "asks for its config"],
)
def test_where_a_host_is_that_another_server_gives_its_address(sign: DhcpRequest | ScriptRequest | IgnitionRequest) -> None:
    host = replace(GUEST, profile="node")
    assert Learned(host, address=OWN) in decide(sign, Snapshot.of(SNAPSHOT.settings, (host,))).events
    settled = Snapshot.of(SNAPSHOT.settings, (replace(host, address=OWN),))
    assert not any(isinstance(event, Learned) for event in decide(sign, settled).events)


def test_the_first_stage_beside_an_owner_is_what_the_client_tells_the_owner() -> None:
    taken = ask(DhcpKind.REQUEST, **PXE, server_id=OWNER, requested=OWN)
    assert decide(taken, SNAPSHOT).events == (Learned(GUEST, address=OWN), Reached(GUEST, Stage.DHCP))


def test_an_address_elsewhere_is_not_the_hosts_own() -> None:
    events = decide(ScriptRequest(IDENTITY, source=IPv4Address("192.0.2.1")), SNAPSHOT).events
    assert not any(isinstance(event, Learned) for event in events)
    named = Snapshot.of(SNAPSHOT.settings, (NAMED,))
    assert not any(isinstance(event, Learned) for event in decide(ScriptRequest(IDENTITY, source=OTHER), named).events)


@pytest.mark.parametrize(
    ("arch", "http", "file"),
    [
        (None, False, "undionly.kpxe"),
        (0, False, "undionly.kpxe"),
        (6, False, None),
        (7, False, "snponly.efi"),
        (9, False, "snponly.efi"),
        (10, False, None),
        (11, False, "arm64.efi"),
        (15, True, None),
        (16, True, "http://10.1.0.1:4081/boot/snponly.efi"),
        (18, True, None),
        (19, True, "http://10.1.0.1:4081/boot/arm64.efi"),
        (20, True, "http://10.1.0.1:4081/boot/undionly.kpxe"),
        (27, False, None),
        (65535, False, None),
    ],
)
def test_the_boot_file_of_each_architecture(arch: int | None, http: bool, file: str | None) -> None:
    boot = BootFiles(uefi_arm64="arm64.efi")
    reply = decided(ask(DhcpKind.DISCOVER, netboot=True, arch=arch, http=http), boot=boot)
    assert reply == replace(LEASE, netboot=True, http=http, boot_file=file)


def test_why_there_is_no_boot_file() -> None:
    unset = decide(ask(DhcpKind.DISCOVER, netboot=True, arch=11), Snapshot.of(SETTINGS, (NAMED,)))
    assert unset.reasons[-1] == "option 93 is 11, for which there is no boot file: `boot` names no uefi_arm64 (:0)"
    unheard = decide(ask(DhcpKind.DISCOVER, netboot=True, arch=33), Snapshot.of(SETTINGS, (NAMED,)))
    assert unheard.reasons[-1] == "option 93 is 33, for which there is no boot file"


def test_a_relay_may_give_the_server_another_name() -> None:
    name = IPv4Address("10.1.0.254")
    chosen = ask(DhcpKind.REQUEST, requested=OWN, server_id=name, giaddr=name)
    assert decided(chosen) is None
    assert decided(replace(chosen, override=name)) == ACK


def test_a_config_that_names_a_host_keeps_its_address_after_a_conflict_and_an_enrolled_one_does_not() -> None:
    declined = ask(DhcpKind.DECLINE, requested=OWN)
    reasons = decide(declined, Snapshot.of(SETTINGS, (NAMED,))).reasons
    assert reasons[-1] == "DHCPDECLINE: somebody else uses 10.1.0.11; it stays node-1's, as mayu.yaml:9 says"
    reasons = decide(declined, Snapshot.of(SETTINGS, (replace(NAMED, origin=ENROLLED),))).reasons
    assert reasons[-1] == "DHCPDECLINE: somebody else uses 10.1.0.11; node-1 gets another"


def test_firmware_may_read_boot_files_over_http() -> None:
    assert decide(BootFileRead(OWN, "snponly.efi"), SNAPSHOT).reply == Accept(None)


MAYBE = st.none() | st.sampled_from([SERVER, OWNER, OWN, OTHER])
REQUESTS = st.builds(
    DhcpRequest,
    st.sampled_from(DhcpKind),
    st.sampled_from([IDENTITY, Identity(mac=STRANGER)]),
    arch=st.none() | st.integers(0, 40),
    netboot=st.booleans(),
    ipxe=st.booleans(),
    requested=MAYBE,
    server_id=MAYBE,
    ciaddr=st.sampled_from([IPv4Address(0), OWN, OTHER]),
    interface=st.just("br0"),
    giaddr=st.sampled_from([IPv4Address(0), OTHER]),
    link=MAYBE,
    override=MAYBE,
    http=st.booleans(),
    binl=st.booleans(),
)


@given(REQUESTS)
def test_nobody_beside_the_owner_is_ever_given_an_address_or_refused_one(request: DhcpRequest) -> None:
    reply = decide(request, SNAPSHOT).reply
    assert not isinstance(reply, Nak | Conflict)
    if isinstance(reply, Lease):
        assert (reply.yiaddr, request.netboot, bool(reply.boot_file)) == (None, True, True)
