"""Hosts: identities, states, stages, address ranges."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.addresses import Range
from mayu_py.core.hosts import Host, Identity, Mac, Stage, State, Uuid, progress, real_serial
from mayu_py.errors import IllegalTransition, RangeExhausted


@pytest.mark.parametrize("text", ["52:54:00:AB:cd:01", "52-54-00-ab-cd-01", "525400abcd01", "5254.00ab.cd01"])
def test_every_spelling_of_a_mac_is_one_value(text: str) -> None:
    assert Mac.parse(text) == "52:54:00:ab:cd:01"


@pytest.mark.parametrize("text", ["", "52:54:00:12:34", "52:54:00:12:34:5g", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"])
def test_what_is_no_network_card_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Mac.parse(text)


def test_option_97_has_little_endian_fields() -> None:
    raw = bytes.fromhex("0033221100554477668899aabbccddeeff")
    assert Uuid.of(raw) == "00112233-4455-6677-8899-aabbccddeeff"
    assert Uuid.of(raw[:-1]) is None
    assert Uuid.of(b"\1" + raw[1:]) is None


@pytest.mark.parametrize("text", ["", " ", "0123456789", "VMware-42 1d", "To Be Filled By O.E.M.", "Default string", "None"])
def test_a_placeholder_is_no_serial(text: str) -> None:
    assert real_serial(text) is None


def test_what_a_machine_claims_counts_only_where_it_can_be_true() -> None:
    claimed = Identity.claimed(serial=" KC-1 ", uuid="nonsense", mac="52-54-00-00-00-01")
    assert claimed == Identity("KC-1", None, Mac("52:54:00:00:00:01"))


def test_a_host_is_called_by_the_best_it_has() -> None:
    address, uuid = IPv4Address("10.0.0.1"), Uuid("00112233-4455-6677-8899-aabbccddeeff")
    assert Host("n", address, serial="S", uuid=uuid).ident == "S"
    assert Host("n", address, uuid=uuid).ident == uuid
    assert Host("n", address).ident == "n"


LEGAL = {
    (State.DISCOVERED, State.CONFIGURED),
    (State.DISCOVERED, State.FAILED),
    (State.CONFIGURED, State.CONFIGURED),
    (State.CONFIGURED, State.INSTALLING),
    (State.CONFIGURED, State.FAILED),
    (State.INSTALLING, State.INSTALLING),
    (State.INSTALLING, State.RUNNING),
    (State.INSTALLING, State.FAILED),
    (State.RUNNING, State.RUNNING),
    (State.RUNNING, State.INSTALLING),
    (State.RUNNING, State.FAILED),
    (State.FAILED, State.FAILED),
    (State.FAILED, State.INSTALLING),
    (State.FAILED, State.CONFIGURED),
}


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_only_legal_transitions_happen(before: State, after: State) -> None:
    if (before, after) in LEGAL:
        assert before.become(after) is after
    else:
        with pytest.raises(IllegalTransition, match=f"{before} cannot become {after}"):
            before.become(after)


def test_stages_are_in_the_order_of_a_boot() -> None:
    assert [str(s) for s in Stage] == ["dhcp", "tftp", "ipxe", "http", "ignition", "switch-root", "running"]


def test_the_second_dhcp_of_a_chain_loaded_ipxe_is_no_new_boot() -> None:
    assert progress(Stage.TFTP, Stage.DHCP, from_ipxe=True) is None
    assert progress(Stage.TFTP, Stage.DHCP, from_ipxe=False) is Stage.DHCP
    assert progress(Stage.RUNNING, Stage.DHCP, from_ipxe=True) is Stage.DHCP
    assert progress(Stage.HTTP, Stage.HTTP) is None
    assert progress(None, Stage.DHCP, from_ipxe=True) is Stage.DHCP


RANGES = st.tuples(st.integers(1, 2**32 - 300), st.integers(0, 200)).map(
    lambda pair: Range(IPv4Address(pair[0]), IPv4Address(pair[0] + pair[1]))
)


@given(RANGES, st.data())
def test_a_range_hands_out_each_of_its_addresses_once_and_then_refuses(addresses: Range, data: st.DataObject) -> None:
    reserved = set(data.draw(st.lists(st.integers(0, len(addresses) - 1).map(lambda n: int(addresses.start) + n), max_size=20)))
    taken = set(reserved)
    for _ in range(len(addresses) - len(reserved)):
        address = addresses.first_free(taken)
        assert address in addresses
        assert int(address) not in taken
        taken.add(int(address))
    with pytest.raises(RangeExhausted, match="has no free address"):
        addresses.first_free(taken)


@given(RANGES, RANGES)
def test_ranges_overlap_when_they_share_an_address(one: Range, other: Range) -> None:
    shared = any(one.start + n in other for n in range(len(one)))
    assert one.overlaps(other) is other.overlaps(one) is shared
