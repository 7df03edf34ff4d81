"""The rack's zones: which records there are, and what a question about them is answered."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mayu_py.core.faces import Cluster, Dns, DomainName, Etcd
from mayu_py.core.hosts import Host
from mayu_py.core.networks import Network
from mayu_py.core.records import records, reverse_zones
from mayu_py.core.settings import Settings
from mayu_py.core.zones import LONGEST_CHAIN, Answer, Name, Record, Type, Zones

DNS = Dns(
    DomainName("rack.example"),
    aliases={DomainName("api"): DomainName("node-1"), DomainName("www"): DomainName("api")},
    wildcards={Cluster("customera"): (IPv4Address("10.77.0.11"), IPv4Address("10.77.0.12"))},
    records={DomainName("gateway"): (IPv4Address("10.77.0.254"),), DomainName("deep.down"): (IPv4Address("192.0.2.1"),)},
    etcd=Etcd("control"),
)
NETWORK = Network("rack", IPv4Network("10.77.0.0/24"), interface="br0", address=IPv4Address("10.77.0.1"))
SETTINGS = Settings(networks=(NETWORK,), images={}, profiles=())
HOSTS = (
    Host("node-1", IPv4Address("10.77.0.11"), profile="control"),
    Host("node-2", IPv4Address("10.77.0.12"), profile="worker"),
    Host("10-77-0-100", IPv4Address("10.77.0.100")),
)
ZONES = Zones.of(records(DNS, SETTINGS, HOSTS, 7))


def name(text: str) -> Name:
    return tuple(text.encode().split(b"."))


def shown(rows: Sequence[Record]) -> list[str]:
    def field(value: bytes | int | Name) -> str:
        if isinstance(value, tuple):
            return b".".join(value).decode()
        return str(IPv4Address(value)) if isinstance(value, bytes) and len(value) == 4 else str(value)

    return [f"{field(row.owner)} {row.ttl} {Type(row.type).name} {' '.join(field(value) for value in row.data)}" for row in rows]


def ask(text: str, type_: int = Type.A, zones: Zones = ZONES) -> tuple[str, list[str], list[str], list[str]] | None:
    found = zones.answer(name(text), type_)
    if found is None:
        return None
    status = "NOERROR" if found.exists else "NXDOMAIN"
    return status, shown(found.answer), shown(found.authority), shown(found.additional)


SOA = "rack.example 5 SOA ns.rack.example hostmaster.rack.example 7 3600 600 604800 5"
REVERSE = "0.77.10.in-addr.arpa"
REVERSE_SOA = f"{REVERSE} 5 SOA ns.rack.example hostmaster.rack.example 7 3600 600 604800 5"
AAAA = 28


@pytest.mark.parametrize(
    ("question", "type_", "expected"),
    [
        ("node-1.rack.example", Type.A, ["node-1.rack.example 60 A 10.77.0.11"]),
        ("10-77-0-100.rack.example", Type.A, ["10-77-0-100.rack.example 60 A 10.77.0.100"]),
        ("ns.rack.example", Type.A, ["ns.rack.example 60 A 10.77.0.1"]),
        ("gateway.rack.example", Type.A, ["gateway.rack.example 60 A 10.77.0.254"]),
        (f"11.{REVERSE}", Type.PTR, [f"11.{REVERSE} 60 PTR node-1.rack.example"]),
        (f"1.{REVERSE}", Type.PTR, [f"1.{REVERSE} 60 PTR ns.rack.example"]),
        (f"254.{REVERSE}", Type.PTR, [f"254.{REVERSE} 60 PTR gateway.rack.example"]),
        ("api.rack.example", Type.CNAME, ["api.rack.example 60 CNAME node-1.rack.example"]),
        ("api.rack.example", Type.ANY, ["api.rack.example 60 CNAME node-1.rack.example"]),
        (
            "www.rack.example",
            Type.A,
            [
                "www.rack.example 60 CNAME api.rack.example",
                "api.rack.example 60 CNAME node-1.rack.example",
                "node-1.rack.example 60 A 10.77.0.11",
            ],
        ),
        ("node-1.rack.example", Type.ANY, ["node-1.rack.example 3600 HINFO b'RFC8482' b''"]),
        (
            "shop.customera.rack.example",
            Type.A,
            ["shop.customera.rack.example 60 A 10.77.0.11", "shop.customera.rack.example 60 A 10.77.0.12"],
        ),
        (
            "a.b.customera.rack.example",
            Type.A,
            ["a.b.customera.rack.example 60 A 10.77.0.11", "a.b.customera.rack.example 60 A 10.77.0.12"],
        ),
    ],
)
def test_names_that_have_what_was_asked_for(question: str, type_: int, expected: list[str]) -> None:
    assert ask(question, type_) == ("NOERROR", expected, [], [])


@pytest.mark.parametrize(
    ("question", "type_", "soa"),
    [
        ("node-1.rack.example", AAAA, SOA),
        ("rack.example", Type.A, SOA),
        ("customera.rack.example", Type.A, SOA),
        ("down.rack.example", Type.A, SOA),
        ("down.rack.example", Type.ANY, SOA),
        ("_tcp.rack.example", Type.SRV, SOA),
        ("shop.customera.rack.example", AAAA, SOA),
        (REVERSE, Type.PTR, REVERSE_SOA),
        (f"11.{REVERSE}", Type.A, REVERSE_SOA),
    ],
)
def test_names_that_exist_without_it_have_no_data(question: str, type_: int, soa: str) -> None:
    assert ask(question, type_) == ("NOERROR", [], [soa], [])


@pytest.mark.parametrize(
    ("question", "soa"),
    [
        ("node-9.rack.example", SOA),
        ("below.node-1.rack.example", SOA),
        ("x.down.rack.example", SOA),
        (f"99.{REVERSE}", REVERSE_SOA),
        (f"1.1.{REVERSE}", REVERSE_SOA),
    ],
)
@pytest.mark.parametrize("type_", [Type.A, Type.ANY, AAAA])
def test_names_that_do_not_exist(question: str, soa: str, type_: int) -> None:
    assert ask(question, type_) == ("NXDOMAIN", [], [soa], [])


@pytest.mark.parametrize("question", ["example", "rack.example.com", "xrack.example", "1.1.77.10.in-addr.arpa", "in-addr.arpa"])
def test_names_of_others_are_not_answered(question: str) -> None:
    assert ask(question) is None


def test_the_root_is_somebody_elses() -> None:
    assert ZONES.answer((), Type.NS) is None


def test_an_alias_of_a_name_without_the_type_says_both() -> None:
    aliases = ["api.rack.example 60 CNAME node-1.rack.example"]
    assert ask("api.rack.example", AAAA) == ("NOERROR", aliases, [SOA], [])


def test_the_members_of_etcd_are_named_with_their_addresses() -> None:
    address = ["node-1.rack.example 60 A 10.77.0.11"]
    for service, port in (("server", 2380), ("client", 2379)):
        owner = f"_etcd-{service}._tcp.rack.example"
        assert ask(owner, Type.SRV) == ("NOERROR", [f"{owner} 60 SRV 0 0 {port} node-1.rack.example"], [], address)


def test_etcd_with_tls_has_names_of_its_own() -> None:
    zones = Zones.of(records(replace(DNS, etcd=Etcd("control", tls=True)), SETTINGS, HOSTS, 7))
    owner = "_etcd-server-ssl._tcp.rack.example"
    found = ask(owner, Type.SRV, zones)
    assert found is not None
    assert found[1] == [f"{owner} 60 SRV 0 0 2380 node-1.rack.example"]
    assert ask("_etcd-server._tcp.rack.example", Type.SRV, zones) == ("NXDOMAIN", [], [SOA], [])


def test_the_apex_names_the_server() -> None:
    address = ["ns.rack.example 60 A 10.77.0.1"]
    assert ask("rack.example", Type.NS) == ("NOERROR", ["rack.example 60 NS ns.rack.example"], [], address)
    assert ask("rack.example", Type.SOA) == ("NOERROR", [SOA.replace(" 5 SOA", " 60 SOA")], [], [])


def test_what_exists_below_a_wildcard_hides_it() -> None:
    dns = replace(DNS, records={DomainName("a.b.customera"): (IPv4Address("192.0.2.9"),)})
    zones = Zones.of(records(dns, SETTINGS, HOSTS, 7))
    assert ask("b.customera.rack.example", Type.A, zones) == ("NOERROR", [], [SOA], [])
    assert ask("x.b.customera.rack.example", Type.A, zones) == ("NXDOMAIN", [], [SOA], [])
    assert ask("x.customera.rack.example", Type.ANY, zones) == (
        "NOERROR",
        ["x.customera.rack.example 3600 HINFO b'RFC8482' b''"],
        [],
        [],
    )


def test_a_host_wins_over_a_static_record_and_either_over_an_alias() -> None:
    clash = replace(
        DNS,
        records={DomainName("node-1"): (IPv4Address("192.0.2.1"),)},
        aliases={DomainName("node-1"): DomainName("node-2"), DomainName("ns"): DomainName("node-2")},
    )
    zones = Zones.of(records(clash, SETTINGS, HOSTS, 7))
    assert ask("node-1.rack.example", Type.A, zones) == ("NOERROR", ["node-1.rack.example 60 A 10.77.0.11"], [], [])
    assert ask("ns.rack.example", Type.A, zones) == ("NOERROR", ["ns.rack.example 60 A 10.77.0.1"], [], [])


def test_a_loop_of_aliases_ends() -> None:
    loop = replace(DNS, aliases={DomainName("a"): DomainName("b"), DomainName("b"): DomainName("a")})
    found = Zones.of(records(loop, SETTINGS, HOSTS, 7)).answer(name("a.rack.example"), Type.A)
    assert found is not None
    assert len(found.answer) == LONGEST_CHAIN


@pytest.mark.parametrize(
    ("subnet", "zones"),
    [
        ("10.77.0.0/24", ["0.77.10.in-addr.arpa"]),
        ("10.77.0.0/16", ["77.10.in-addr.arpa"]),
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("10.78.0.0/22", [f"{third}.78.10.in-addr.arpa" for third in range(4)]),
        ("192.0.2.4/30", [f"{last}.2.0.192.in-addr.arpa" for last in range(4, 8)]),
    ],
)
def test_the_reverse_zones_hold_the_subnet_and_nothing_else(subnet: str, zones: list[str]) -> None:
    assert [b".".join(zone).decode() for zone in reverse_zones(IPv4Network(subnet))] == zones


@given(st.integers(1, 32), st.sets(st.integers(0, 2**32 - 1), max_size=5))
def test_every_host_is_found_forwards_and_backwards(prefix: int, numbers: set[int]) -> None:
    subnet = IPv4Network((int(IPv4Address("10.77.12.34")), prefix), strict=False)
    addresses = {subnet.network_address + number % subnet.num_addresses for number in numbers} - {subnet.network_address}
    network = replace(NETWORK, subnet=subnet, address=subnet.network_address)
    hosts = [Host(f"host-{index}", address) for index, address in enumerate(addresses)]
    zones = Zones.of(records(replace(DNS, records={}), replace(SETTINGS, networks=(network,)), hosts, 1))
    for host, address in zip(hosts, addresses, strict=True):
        forward = zones.answer(name(f"{host.name}.rack.example"), Type.A)
        assert forward == Answer(True, (Record(name(f"{host.name}.rack.example"), Type.A, 60, (address.packed,)),))
        backward = zones.answer(name(address.reverse_pointer), Type.PTR)
        owner = name(address.reverse_pointer)
        assert backward == Answer(True, (Record(owner, Type.PTR, 60, (name(f"{host.name}.rack.example"),)),))


# The model below is RFC 4592 word by word, over a plain list of records.
APEX = (b"z",)
labels = st.sampled_from([b"a", b"b", b"*"])
owners = st.lists(labels, max_size=4).map(lambda below: (*below, *APEX))


@st.composite
def zone_records(draw: st.DrawFn) -> list[Record]:
    made = [Record(APEX, Type.SOA, 60, (APEX, APEX, 1, 1, 1, 1, 5))]
    for owner in draw(st.sets(owners, max_size=8)):
        if owner != APEX and draw(st.booleans()):
            made.append(Record(owner, Type.CNAME, 60, (draw(owners),)))
        else:
            kinds = draw(st.sets(st.sampled_from([Type.A, Type.PTR]), min_size=1))
            made += [Record(owner, kind, 60, (bytes(4) if kind is Type.A else APEX,)) for kind in sorted(kinds)]
    return made


def model(rows: list[Record], asked: Name, type_: int) -> tuple[bool, list[Record]]:
    """Whether the name exists, and the answer section."""

    def exists(node: Name) -> bool:
        return any(row.owner[-len(node) :] == node for row in rows)

    def source(node: Name) -> Name | None:
        if exists(node):
            return node
        encloser = node
        while not exists(encloser):
            encloser = encloser[1:]
        wildcard = (b"*", *encloser)
        return wildcard if exists(wildcard) else None

    answer: list[Record] = []
    while True:
        at = source(asked)
        if at is None:
            return False, answer
        aliases = [row for row in rows if row.owner == at and row.type is Type.CNAME]
        if not aliases or type_ == Type.CNAME:
            return True, answer + [row._replace(owner=asked) for row in rows if row.owner == at and row.type == type_]
        answer.append(aliases[0]._replace(owner=asked))
        if len(answer) == LONGEST_CHAIN:
            return True, answer
        target = aliases[0].data[0]
        assert isinstance(target, tuple)
        asked = target


@given(zone_records(), owners, st.sampled_from([Type.A, Type.PTR, Type.CNAME, AAAA]))
def test_the_zones_answer_as_the_standard_says(rows: list[Record], asked: Name, type_: int) -> None:
    found = Zones.of(rows).answer(asked, type_)
    assert found is not None
    exists, answer = model(rows, asked, type_)
    assert (found.exists, list(found.answer)) == (exists, answer)
    is_negative = not exists or not answer or (answer[-1].type is Type.CNAME and type_ != Type.CNAME)
    whole_chain = len(answer) < LONGEST_CHAIN
    assert bool(found.authority) == (is_negative and whole_chain)
