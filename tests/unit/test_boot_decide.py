"""The heart: what every request is answered, and which rule decided."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.boot import decide
from mayu_py.core.exchange import (
    Accept,
    Became,
    BootImage,
    ChainTo,
    DhcpKind,
    DhcpRequest,
    Enrol,
    IgnitionRequest,
    ImageRead,
    Learned,
    Lease,
    Nak,
    Reached,
    Refusal,
    Refuse,
    Report,
    Request,
    ScriptRequest,
    ServeConfig,
    TftpRead,
)
from mayu_py.core.hosts import Host, Identity, Mac, Stage, State, Uuid
from mayu_py.core.networks import Network
from mayu_py.core.settings import Image, Profile, Settings, UnknownHosts
from mayu_py.core.snapshot import Snapshot

SERVER, OWN, OTHER = IPv4Address("10.77.0.1"), IPv4Address("10.77.0.11"), IPv4Address("10.77.0.12")
MAC = Mac("52:54:00:00:00:01")
UUID = Uuid("00112233-4455-6677-8899-aabbccddeeff")
HOST = Host("node-1", OWN, (MAC,), serial="KC-1", uuid=UUID, profile="node", origin="mayu.yaml:9")
BARE = Host("node-2", OTHER, (Mac("52:54:00:00:00:02"),), origin="enrolled")
NETWORK = Network("rack", IPv4Network("10.77.0.0/24"), interface="br0", address=SERVER)
SETTINGS = Settings(
    networks=(NETWORK,),
    images={"testbed": Image(Path("/images"), files={"rootfs": "rootfs.squashfs"})},
    profiles=(Profile("node", "testbed", Path("node.bu")),),
)
SNAPSHOT = Snapshot.of(SETTINGS, (HOST, BARE))
FROM_HOST = Identity(mac=MAC)
STRANGER = Identity(mac=Mac("52:54:00:00:00:99"))


def discover(identity: Identity = FROM_HOST, **more: object) -> DhcpRequest:
    return DhcpRequest(DhcpKind.DISCOVER, identity, interface="br0", **more)  # type: ignore[arg-type]


def request(**more: object) -> DhcpRequest:
    return DhcpRequest(DhcpKind.REQUEST, FROM_HOST, interface="br0", **more)  # type: ignore[arg-type]


def test_a_known_host_is_offered_its_own_address() -> None:
    answer = decide(discover(), SNAPSHOT)
    assert answer.reply == Lease(HOST, NETWORK, ack=False, yiaddr=OWN, boot_file=None)
    assert answer.events == ()
    assert answer.reasons == (
        "network rack is on br0",
        "mac 52:54:00:00:00:01 is node-1 (mayu.yaml:9)",
        "10.77.0.11 is node-1's own",
        "the client does not boot from the network",
    )


@pytest.mark.parametrize(
    ("arch", "ipxe", "boot_file"),
    [
        (None, False, "undionly.kpxe"),
        (0, False, "undionly.kpxe"),
        (7, False, "snponly.efi"),
        (9, False, "snponly.efi"),
        (11, False, None),
        (0, True, "http://10.77.0.1:4081/boot.ipxe"),
        (7, True, "http://10.77.0.1:4081/boot.ipxe"),
    ],
)
def test_the_boot_file_is_chosen_for_each_packet(arch: int | None, ipxe: bool, boot_file: str | None) -> None:
    lease = decide(discover(arch=arch, ipxe=ipxe, netboot=True), SNAPSHOT).reply
    assert isinstance(lease, Lease)
    assert lease.boot_file == boot_file


def test_the_ack_of_a_netboot_is_the_first_stage_of_a_boot() -> None:
    answer = decide(request(requested=OWN, server_id=SERVER, arch=0, netboot=True), SNAPSHOT)
    assert answer.events == (Reached(HOST, Stage.DHCP, from_ipxe=False),)


def test_a_running_hosts_renewal_is_no_boot() -> None:
    assert decide(request(ciaddr=OWN, netboot=True), SNAPSHOT).events == ()


@pytest.mark.parametrize(
    "how",
    [{"requested": OWN, "server_id": SERVER}, {"requested": OWN}, {"ciaddr": OWN}],
    ids=["SELECTING", "INIT-REBOOT", "RENEWING"],
)
def test_the_right_address_is_acknowledged(how: dict[str, IPv4Address]) -> None:
    reply = decide(request(**how), SNAPSHOT).reply
    assert isinstance(reply, Lease)
    assert (reply.ack, reply.yiaddr) == (True, OWN)


@pytest.mark.parametrize("how", [{"requested": OTHER, "server_id": SERVER}, {"requested": OTHER}, {"ciaddr": OTHER}])
def test_a_wrong_address_is_refused(how: dict[str, IPv4Address]) -> None:
    assert decide(request(**how), SNAPSHOT).reply == Nak(NETWORK, "node-1 has 10.77.0.11, not 10.77.0.12")


def test_a_client_that_chose_another_server_is_left_alone() -> None:
    answer = decide(request(requested=OTHER, server_id=OTHER), SNAPSHOT)
    assert (answer.reply, answer.reasons) == (
        None,
        (
            "network rack is on br0",
            "the client chose another server, 10.77.0.12",
        ),
    )


def test_release_gets_no_answer_and_changes_nothing() -> None:
    answer = decide(DhcpRequest(DhcpKind.RELEASE, FROM_HOST, requested=OWN, interface="br0"), SNAPSHOT)
    assert (answer.reply, answer.events) == (None, ())


def test_inform_is_answered_without_an_address() -> None:
    answer = decide(DhcpRequest(DhcpKind.INFORM, FROM_HOST, ciaddr=OWN, interface="br0"), SNAPSHOT)
    assert answer.reply == Lease(HOST, NETWORK, ack=True, yiaddr=None, boot_file=None)


def test_a_stranger_is_ignored_or_enrolled_as_the_config_says() -> None:
    assert decide(discover(STRANGER), SNAPSHOT).reply is None
    enrolling = replace(SNAPSHOT, settings=replace(SETTINGS, unknown_hosts=UnknownHosts.ENROL))
    assert decide(discover(STRANGER), enrolling).reply == Enrol(STRANGER, NETWORK)


def test_a_strangers_request_to_another_server_enrols_nobody() -> None:
    enrolling = replace(SNAPSHOT, settings=replace(SETTINGS, unknown_hosts=UnknownHosts.ENROL))
    other = DhcpRequest(DhcpKind.REQUEST, STRANGER, requested=OTHER, server_id=OTHER, interface="br0")
    assert decide(other, enrolling).reply is None


def test_serial_decides_before_uuid_and_uuid_before_mac() -> None:
    swapped = Host("swapped", IPv4Address("10.77.0.13"), (), serial="KC-9", uuid=Uuid("0" * 8 + UUID[8:]))
    snapshot = Snapshot.of(SETTINGS, (HOST, swapped))
    assert snapshot.find(Identity("KC-9", UUID, MAC))[0] == swapped
    assert snapshot.find(Identity("unheard", swapped.uuid, MAC))[0] == swapped
    assert snapshot.find(Identity(None, None, MAC))[0] == HOST


def test_a_roms_ipxe_is_replaced_by_our_own_once() -> None:
    rom = ScriptRequest(FROM_HOST, platform="pcbios", chip="virtio-net")
    assert decide(rom, SNAPSHOT).reply == ChainTo("undionly.kpxe")
    assert decide(replace(rom, chip="undionly"), SNAPSHOT).reply == BootImage(HOST, "testbed")
    assert decide(replace(rom, platform="efi", chip="snp"), SNAPSHOT).reply == BootImage(HOST, "testbed")


def test_a_roms_ipxe_is_kept_where_the_config_says_so() -> None:
    settings = replace(SETTINGS, boot=replace(SETTINGS.boot, replace_rom_ipxe=False))
    rom = ScriptRequest(FROM_HOST, platform="pcbios", chip="virtio-net")
    assert decide(rom, Snapshot.of(settings, (HOST,))).reply == BootImage(HOST, "testbed")


@pytest.mark.parametrize("kind", [ScriptRequest, IgnitionRequest])
@pytest.mark.parametrize("who", [STRANGER, Identity(mac=BARE.macs[0])])
def test_not_ready_yet_is_503_and_never_404(kind: type[ScriptRequest] | type[IgnitionRequest], who: Identity) -> None:
    reply = decide(kind(who), SNAPSHOT).reply
    assert isinstance(reply, Refuse)
    assert reply.refusal is Refusal.NOT_READY


def test_serving_the_config_makes_a_host_installing() -> None:
    answer = decide(IgnitionRequest(Identity(serial="KC-1")), SNAPSHOT)
    assert answer.reply == ServeConfig(HOST)
    assert answer.events == (Reached(HOST, Stage.IGNITION), Became(HOST, State.INSTALLING))


def test_what_a_machine_tells_is_learned_once() -> None:
    nameless = replace(HOST, serial=None, uuid=None)
    told = Identity("KC-1", UUID, MAC)
    answer = decide(IgnitionRequest(told), Snapshot.of(SETTINGS, (nameless,)))
    assert Learned(nameless, told) in answer.events
    assert not any(isinstance(event, Learned) for event in decide(IgnitionRequest(told), SNAPSHOT).events)


def test_the_kernel_is_the_stage_http_and_other_files_are_not() -> None:
    assert decide(ImageRead(OWN, "testbed", "kernel"), SNAPSHOT).events == (Reached(HOST, Stage.HTTP),)
    assert decide(ImageRead(OWN, "testbed", "rootfs"), SNAPSHOT).events == ()
    assert decide(ImageRead(None, "testbed", "initrd"), SNAPSHOT).reply == Accept(None)


@pytest.mark.parametrize(("image", "file"), [("testbed", "../../etc/passwd"), ("other", "kernel"), ("testbed", "")])
def test_only_an_images_own_files_exist(image: str, file: str) -> None:
    reply = decide(ImageRead(OWN, image, file), SNAPSHOT).reply
    assert isinstance(reply, Refuse)
    assert reply.refusal is Refusal.UNKNOWN


def test_tftp_from_a_known_address_is_a_stage() -> None:
    assert decide(TftpRead(OWN, "undionly.kpxe"), SNAPSHOT).events == (Reached(HOST, Stage.TFTP),)
    assert decide(TftpRead(IPv4Address("10.77.0.99"), "x"), SNAPSHOT).events == ()


def test_a_host_reports_for_itself_only() -> None:
    done = Report(OWN, "KC-1", Stage.RUNNING)
    assert decide(done, SNAPSHOT).events == (Reached(HOST, Stage.RUNNING), Became(HOST, State.RUNNING))
    forged = decide(replace(done, source=OTHER), SNAPSHOT)
    assert isinstance(forged.reply, Refuse)
    assert (forged.reply.refusal, forged.events) == (Refusal.FORBIDDEN, ())


def test_a_failed_host_says_why() -> None:
    answer = decide(Report(OWN, "KC-1", State.FAILED, "no config"), SNAPSHOT)
    assert answer.events == (Became(HOST, State.FAILED, "no config"),)


ADDRESSES = st.sampled_from([SERVER, OWN, OTHER, IPv4Address(0)])
IDENTITIES = st.builds(
    Identity,
    st.sampled_from([None, "KC-1", "KC-9"]),
    st.sampled_from([None, UUID]),
    st.sampled_from([None, MAC, BARE.macs[0], STRANGER.mac]),
)
MAYBE = st.none() | ADDRESSES
REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(
        DhcpRequest,
        st.sampled_from(DhcpKind),
        IDENTITIES,
        st.none() | st.integers(0, 65535),
        st.booleans(),
        st.booleans(),
        MAYBE,
        MAYBE,
        ADDRESSES,
    ),
    st.builds(TftpRead, ADDRESSES, st.text(max_size=5)),
    st.builds(ScriptRequest, IDENTITIES, st.sampled_from(["pcbios", "efi", ""]), st.text(max_size=5)),
    st.builds(ImageRead, MAYBE, st.sampled_from(["testbed", "x"]), st.text(max_size=6)),
    st.builds(IgnitionRequest, IDENTITIES),
    st.builds(Report, MAYBE, st.sampled_from(["KC-1", "x"]), st.sampled_from([*Stage, State.FAILED])),
)


@given(REQUESTS, st.sampled_from(UnknownHosts))
def test_every_request_is_decided_with_a_reason_and_no_host_gets_anothers_address(asked: Request, policy: UnknownHosts) -> None:
    snapshot = replace(SNAPSHOT, settings=replace(SETTINGS, unknown_hosts=policy))
    answer = decide(asked, snapshot)
    assert answer.reasons
    if isinstance(answer.reply, Lease) and answer.reply.yiaddr is not None:
        assert answer.reply.yiaddr == answer.reply.host.address
    assert decide(asked, snapshot) == answer
