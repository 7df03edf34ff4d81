"""The DHCP worker's memory: the same question to the same inventory, and nothing else, is answered from it."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.exchange import Answer
from mayu_py.core.networks import Network
from mayu_py.core.settings import Profile, Settings
from mayu_py.core.snapshot import Snapshot
from mayu_py.services.dhcp_memory import LONGEST, Memory, Prepared
from mayu_py.wire import dhcp4
from mayu_py.wire.dhcp4 import Message, Op

SETTINGS = Settings(
    (Network("rack", IPv4Network("10.0.0.0/24"), "eth0", IPv4Address("10.0.0.1")),), {}, (Profile("node", "os", Path("n.bu")),)
)
SNAPSHOT = Snapshot.of(SETTINGS, ())
REPLY = Prepared(bytes(300), ("10.0.0.9", 68), None, "offer", (), Answer(None))


def question(**fields: int | bytes) -> bytes:
    given = {"op": Op.BOOTREQUEST, "xid": 7, "chaddr": bytes(6), "options": {53: b"\1"}, **fields}
    return dhcp4.build(Message(**given))  # type: ignore[arg-type]


def remembering(*datagrams: bytes, most: int = 10) -> Memory:
    memory = Memory(most)
    memory.find(b"", SNAPSHOT)
    for datagram in datagrams:
        memory.keep(datagram, SNAPSHOT, REPLY)
    return memory


def test_a_question_is_the_same_in_another_transaction_and_later() -> None:
    memory = remembering(question())
    assert memory.find(question(xid=99, secs=12), SNAPSHOT) is REPLY
    assert REPLY.of(b"\0\0\0\x63")[:10] == b"\0\0\0\0\0\0\0\x63\0\0"


@given(st.sampled_from([*range(4), *range(10, len(question()))]), st.integers(1, 255))
def test_any_other_byte_makes_it_another_question(at: int, change: int) -> None:
    other = bytearray(question())
    other[at] ^= change
    assert remembering(question()).find(bytes(other), SNAPSHOT) is None


def test_another_inventory_has_other_answers() -> None:
    memory = remembering(question())
    other = SNAPSHOT.adding((), 1)
    assert memory.find(question(), other) is None
    memory.keep(question(), SNAPSHOT, REPLY)  # Decided before the inventory changed.
    assert memory.find(question(), other) is None


def test_it_holds_so_many_and_none_that_is_long() -> None:
    memory = remembering(*(question(chaddr=bytes((n,) * 6)) for n in range(12)), bytes(LONGEST + 1))
    assert [memory.find(question(chaddr=bytes((n,) * 6)), SNAPSHOT) is REPLY for n in (0, 1, 2, 11)] == [False, False, True, True]
    assert memory.find(bytes(LONGEST + 1), SNAPSHOT) is None
