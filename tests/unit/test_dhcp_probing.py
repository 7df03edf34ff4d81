"""Whether somebody has an address already: many probes at a time, a verdict for each, and a clock that tests move."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from mayu_py.services.dhcp_probing import GAP_SECONDS, PROBES, REMEMBER_SECONDS, Conflicts, Prober
from mayu_py.wire.arp import Operation, Packet, probe

A, B = IPv4Address("10.1.0.1"), IPv4Address("10.1.0.2")
ONE, TWO, HOLDER = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2", b"\2\0\0\0\0\xff"


def claim(address: IPv4Address, hardware: bytes = HOLDER) -> Packet:
    return Packet(Operation.REPLY, hardware, address, bytes(6), IPv4Address(0))


def test_an_address_that_nobody_claims_is_free_after_three_probes() -> None:
    sent: list[IPv4Address] = []
    prober: Prober[str] = Prober(sent.append)
    prober.begin(ONE, A, "one", now=0.0)
    now = 0.0
    while (wait := prober.wait(now)) is not None:
        now += wait
        free = prober.due(now)
    assert (sent, free) == ([A] * PROBES, [("one", A)])
    assert now == PROBES * GAP_SECONDS


def test_a_reply_and_anothers_probe_are_claims() -> None:
    prober: Prober[str] = Prober(lambda _: None)
    prober.begin(ONE, A, "one", 0.0)
    prober.begin(TWO, B, "two", 0.0)
    assert prober.heard(claim(A)) == [("one", A)]
    assert prober.heard(probe(HOLDER, B)) == [("two", B)]
    assert (len(prober), prober.wait(0.0), prober.due(10.0)) == (0, None, [])


def test_the_machine_itself_is_no_stranger_and_requests_claim_nothing() -> None:
    prober: Prober[str] = Prober(lambda _: None)
    prober.begin(ONE, A, "one", 0.0)
    assert prober.heard(claim(A, ONE)) == []
    assert prober.heard(claim(B)) == []
    assert prober.heard(Packet(Operation.REQUEST, HOLDER, A, bytes(6), B)) == []
    assert ONE in prober


def test_the_newest_packet_of_a_machine_is_what_is_answered() -> None:
    prober: Prober[str] = Prober(lambda _: None)
    prober.begin(ONE, A, "first", 0.0)
    prober.update(ONE, lambda subject: subject + ", second")
    assert prober.heard(claim(A)) == [("first, second", A)]


def test_a_conflict_is_remembered_for_a_while() -> None:
    conflicts = Conflicts()
    conflicts.note(A, 0.0)
    conflicts.note(B, 5.0)
    assert conflicts.current(5.0) == {A, B}
    assert conflicts.current(REMEMBER_SECONDS) == {B}


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["begin", "claim", "wait"])), max_size=40))
def test_each_machine_has_one_verdict_for_each_probe(steps: list[tuple[int, str]]) -> None:
    prober: Prober[int] = Prober(lambda _: None)
    now, begun, verdicts = 0.0, 0, 0
    for number, step in steps:
        hardware, address = bytes((number,)) * 6, IPv4Address(number + 1)
        if step == "begin" and hardware not in prober:
            prober.begin(hardware, address, number, now)
            begun += 1
        elif step == "claim":
            verdicts += len(prober.heard(claim(address)))
        elif step == "wait":
            now += GAP_SECONDS
            verdicts += len(prober.due(now))
    assert begun == verdicts + len(prober)
