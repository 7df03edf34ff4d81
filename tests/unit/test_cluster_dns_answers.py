"""Cluster DNS: what is answered, in bytes, and that nothing a stranger sends is more than refused."""

from contextlib import suppress

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.agents.dns.message import Faulty, Ignored, Query, Rcode, alias, answer, parse
from kubeception_sim.agents.dns.upstream import Upstream
from kubeception_sim.agents.dns.zone import Zone, records

WEB = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"clusterIP": "10.61.0.9", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]},
}
MANY = {"metadata": {"name": "many", "namespace": "shop"}, "spec": {"clusterIP": "None"}}
AWAY = {"metadata": {"name": "away", "namespace": "shop"}, "spec": {"type": "ExternalName", "externalName": "WWW.example.com"}}
INSIDE = {
    "metadata": {"name": "inside", "namespace": "shop"},
    "spec": {"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"},
}
SLICE = {
    "metadata": {"name": "many-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "many"}},
    "endpoints": [{"addresses": [f"10.60.1.{number}"]} for number in range(1, 101)],
    "ports": [{"name": "http", "port": 80}],
}
ZONE = records([WEB, MANY, AWAY, INSIDE], [SLICE], [], "cluster.local", 7)


def query(name: str, kind: str = "A", *, payload: int = 0) -> Query:
    message = dnslib.DNSRecord.question(name, kind)
    if payload:
        message.add_ar(dnslib.EDNS0(udp_len=payload))
    return parse(bytes(message.pack()))


def ask(name: str, kind: str = "A", *, limit: int = 65535, zone: Zone = ZONE, turn: int = 0) -> dnslib.DNSRecord:
    return dnslib.DNSRecord.parse(answer(query(name, kind, payload=1232), zone, limit, turn))


def shown(record: dnslib.DNSRecord) -> list[str]:
    return [str(each.rdata) for each in record.rr]


def test_an_address_is_authoritative_and_short_lived() -> None:
    found = ask("web.shop.svc.cluster.local")
    assert (shown(found), found.header.aa, found.rr[0].ttl) == (["10.61.0.9"], 1, 5)


def test_the_spelling_of_the_question_comes_back() -> None:
    raw = query("wEb.ShOp.svc.CLUSTER.local")
    found = answer(raw, ZONE, 512)
    assert found[12 : 12 + len(raw.question)] == raw.question
    assert str(dnslib.DNSRecord.parse(found).rr[0].rname) == "wEb.ShOp.svc.CLUSTER.local."


def test_a_service_record_brings_its_address() -> None:
    found = ask("_https._tcp.web.shop.svc.cluster.local", "SRV")
    assert shown(found) == ["0 100 443 web.shop.svc.cluster.local."]
    assert [str(each.rdata) for each in found.ar if each.rtype == dnslib.QTYPE.A] == ["10.61.0.9"]


@pytest.mark.parametrize("name", ["none.shop.svc.cluster.local", "web.default.svc.cluster.local", "cluster.local.cluster.local"])
def test_what_does_not_exist_is_said_so_with_the_soa(name: str) -> None:
    found = ask(name)
    assert found.header.rcode == Rcode.NXDOMAIN
    assert (str(found.auth[0].rname), found.auth[0].rdata.times[0], found.auth[0].rdata.times[4]) == ("cluster.local.", 7, 5)


@pytest.mark.parametrize(
    ("name", "kind"), [("web.shop.svc.cluster.local", "AAAA"), ("shop.svc.cluster.local", "A"), ("cluster.local", "A")]
)
def test_what_exists_without_such_records_is_no_error(name: str, kind: str) -> None:
    found = ask(name, kind)
    assert (found.header.rcode, shown(found), len(found.auth)) == (Rcode.NOERROR, [], 1)


def test_an_alias_inside_is_followed() -> None:
    assert shown(ask("inside.shop.svc.cluster.local")) == ["web.shop.svc.cluster.local.", "10.61.0.9"]


def test_an_alias_that_leads_out_is_told_to_the_caller() -> None:
    assert alias(query("away.shop.svc.cluster.local"), ZONE) == "www.example.com"
    assert alias(query("inside.shop.svc.cluster.local"), ZONE) == ""
    assert shown(ask("away.shop.svc.cluster.local")) == ["WWW.example.com."]


def test_aliases_in_a_circle_end() -> None:
    def circle(name: str, other: str) -> dict[str, object]:
        spec = {"type": "ExternalName", "externalName": f"{other}.shop.svc.cluster.local"}
        return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}

    zone = records([circle("a", "b"), circle("b", "a")], [], [], "cluster.local")
    assert len(ask("a.shop.svc.cluster.local", zone=zone).rr) == 8


def test_what_is_too_long_is_cut_and_says_so() -> None:
    found = ask("many.shop.svc.cluster.local", limit=512)
    assert (found.header.tc, shown(found)) == (1, [])
    assert len(shown(ask("many.shop.svc.cluster.local"))) == 100


def test_several_addresses_take_turns() -> None:
    assert {shown(ask("many.shop.svc.cluster.local", turn=turn))[0] for turn in range(100)} == {
        f"10.60.1.{n}" for n in range(1, 101)
    }


def test_a_datagram_is_as_long_as_the_client_takes_and_the_path_does() -> None:
    assert [query("a", payload=size).udp_limit for size in (0, 100, 1000, 4096)] == [512, 512, 1000, 1232]


def test_another_edns_version_is_refused() -> None:
    message = dnslib.DNSRecord.question("web.shop.svc.cluster.local")
    message.add_ar(dnslib.EDNS0(version=1))
    found = dnslib.DNSRecord.parse(answer(parse(bytes(message.pack())), ZONE, 512))
    assert found.ar[0].ttl >> 24 << 4 | found.header.rcode == Rcode.BADVERS


def test_an_answer_is_ignored_and_an_update_is_refused() -> None:
    raw = bytearray(dnslib.DNSRecord.question("a").pack())
    with pytest.raises(Faulty) as refused:
        parse(bytes([*raw[:2], 5 << 3, *raw[3:]]))
    assert refused.value.rcode == Rcode.NOTIMP
    with pytest.raises(Ignored):
        parse(bytes([*raw[:2], 0x80, *raw[3:]]))


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\x12\x34\x01\0\0\1\0\0\0\0\0\1" + tail))
def test_no_bytes_do_more_than_be_refused(message: bytes) -> None:
    with suppress(Ignored, Faulty):
        found = answer(parse(message), ZONE, 512)
        assert len(found) <= 512 + len(message)
        assert found[:2] == message[:2]


@given(
    st.from_regex(r"[a-z_-]{1,9}(\.[a-z_-]{1,9}){0,2}", fullmatch=True),
    st.sampled_from(["A", "AAAA", "SRV", "TXT", "SOA", "ANY"]),
)
def test_every_name_of_the_domain_is_answered_with_records_or_the_soa(prefix: str, kind: str) -> None:
    found = ask(f"{prefix}.shop.svc.cluster.local", kind)
    assert bool(found.rr) != bool(found.auth)


def test_name_servers_of_a_resolv_conf_are_the_first_three_addresses() -> None:
    text = "# x\nsearch a\nnameserver 10.0.0.1\n"
    text += "nameserver nonsense\nnameserver fd00::1\nnameserver\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n"
    assert Upstream.of(text).servers == ("10.0.0.1", "fd00::1", "10.0.0.3")


def test_without_name_servers_names_of_others_are_refused() -> None:
    assert dnslib.DNSRecord.parse(Upstream(()).ask(query("example.com"), tcp=False)).header.rcode == Rcode.REFUSED
