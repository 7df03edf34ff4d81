"""The `dns` section of the config file: what it may say, and every mistake in it with its place and a way out."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from mayu_py import config
from mayu_py.core.faces import Dns, DomainName, Etcd, Forwarder

HEAD = """\
networks:
  - {name: rack, interface: br0, address: 10.77.0.1, subnet: 10.77.0.0/24}
tftp: {root: tftp}
images: {testbed: {directory: image}}
profiles: [{name: node, image: testbed, ignition: node.bu}]
hosts:
  - {name: node-1, macs: ["52:54:00:00:00:01"], address: 10.77.0.11, profile: node}
dns:
"""
GOOD = """\
  zone: Rack.Example.
  port: 5353
  ttl: 5m
  forwarders: [192.0.2.53, 192.0.2.54:5353]
  allow: [10.0.0.0/8]
  aliases: {api: node-1, shop: any.customera}
  wildcards: {customera: [10.77.0.11], "*.b.customera": [10.77.0.12]}
  records: {gateway: [10.77.0.254], a.b: [192.0.2.1, 192.0.2.2]}
  etcd: {profile: node, tls: true}
"""
ZONE = "  zone: rack.example\n"

Check = Callable[[str], list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    (tmp_path / "node.bu").write_text("variant: fcos\nversion: 1.4.0\n")
    return tmp_path


@pytest.fixture
def check(folder: Path) -> Check:
    def run(text: str) -> list[str]:
        (folder / "mayu.yaml").write_text(HEAD + text)
        _, problems = config.check(folder / "mayu.yaml")
        return [problem.located.replace(f"{folder}/", "") for problem in problems]

    return run


def test_the_section_is_read(folder: Path) -> None:
    (folder / "mayu.yaml").write_text(HEAD + GOOD)
    settings = config.read(folder / "mayu.yaml").settings
    dns = settings.dns
    one, two = IPv4Address("10.77.0.11"), IPv4Address("10.77.0.12")
    assert dns == Dns(
        DomainName("rack.example"),
        5353,
        dns.ttl if dns else Dns.ttl,
        (Forwarder(IPv4Address("192.0.2.53")), Forwarder(IPv4Address("192.0.2.54"), 5353)),
        (IPv4Network("10.0.0.0/8"),),
        {DomainName("api"): DomainName("node-1"), DomainName("shop"): DomainName("any.customera")},
        {DomainName("customera"): (one,), DomainName("b.customera"): (two,)},  # type: ignore[dict-item]
        {
            DomainName("gateway"): (IPv4Address("10.77.0.254"),),
            DomainName("a.b"): (IPv4Address(0xC0000201), IPv4Address(0xC0000202)),
        },
        Etcd("node", tls=True),
    )
    assert dns.seconds == 300


def test_only_the_zone_is_needed_and_who_may_ask_is_the_subnet_and_the_machine_itself(folder: Path) -> None:
    (folder / "mayu.yaml").write_text(HEAD + ZONE)
    settings = config.read(folder / "mayu.yaml").settings
    assert settings.dns == Dns(DomainName("rack.example"))
    assert settings.dns.seconds == 60
    assert settings.dns.allowed(settings.networks) == (IPv4Network("10.77.0.0/24"), IPv4Network("127.0.0.0/8"))


def test_without_the_section_there_is_no_dns(folder: Path) -> None:
    (folder / "mayu.yaml").write_text(HEAD.removesuffix("dns:\n"))
    assert config.read(folder / "mayu.yaml").settings.dns is None


NOWHERE = (
    "the alias leads to 10.77.0.11.rack.example, which has no address (the target is a name below rack.example, such as a host's)"
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("  port: 53\n", "9: error: dns: 'zone' is missing"),
        ("  zone: rack_.example\n", "9: error: dns.zone: 'rack_.example' is no domain name"),
        ("  zone: a..b\n", "9: error: dns.zone: 'a..b' is no domain name"),
        ("  zone: '.'\n", "9: error: dns.zone: '.' is no domain name"),
        (ZONE + "  zon: x\n", "10: error: dns.zon: unknown key (did you mean 'zone'?)"),
        (ZONE + "  port: 70000\n", "10: error: dns.port: 70000 is no port (1 to 65535; 53 is the default)"),
        (ZONE + "  ttl: 0s\n", "10: error: dns.ttl: 0s is no TTL for a rack's names (1s to 1d; 60s is the default)"),
        (ZONE + "  ttl: 2d\n", "10: error: dns.ttl: 2d is no TTL"),
        (ZONE + "  forwarders: [resolver]\n", "10: error: dns.forwarders[0]: "),
        (
            ZONE + "  forwarders: [192.0.2.1:0]\n",
            "10: error: dns.forwarders[0]: '0' is no port: a forwarder is written 10.0.0.53",
        ),
        (ZONE + "  forwarders:\n  - 192.0.2.1\n  - 10.77.0.1\n", "12: error: dns.forwarders[1]: mayu would ask itself"),
        (ZONE + "  allow: [10.0.0.1/8]\n", "10: error: dns.allow[0]: "),
        (ZONE + "  aliases: {api: node-2}\n", "10: error: dns.aliases.api: the alias leads to node-2.rack.example, which has no"),
        (ZONE + "  aliases: {a: b, b: a}\n", "10: error: dns.aliases.a: the alias leads to b.rack.example, which has no address"),
        (ZONE + "  aliases: {api: 10.77.0.11}\n", f"10: error: dns.aliases.api: {NOWHERE}"),
        (
            ZONE + "  aliases: {node-1: ns}\n",
            "10: error: dns.aliases.node-1: node-1 is used twice (it is a host, at mayu.yaml:7)",
        ),
        (ZONE + "  records: {ns: [10.77.0.2]}\n", "10: error: dns.records.ns: ns is used twice (it is mayu's own name)"),
        (
            ZONE + "  records: {x: [10.77.0.2]}\n  aliases: {x: node-1}\n",
            "11: error: dns.aliases.x: x is used twice (it is in records, at mayu.yaml:10)",
        ),
        (ZONE + "  records: {x: []}\n", "10: error: dns.records.x: x has 0 addresses (1 to 32)"),
        (
            ZONE + f"  wildcards: {{x: [{', '.join(['10.77.0.2'] * 33)}]}}\n",
            "10: error: dns.wildcards.x: x has 33 addresses (1 to 32)",
        ),
        (ZONE + "  wildcards: {'a.*.b': [10.77.0.2]}\n", "10: error: dns.wildcards.a.*.b: 'a.*.b' is no domain name"),
        (ZONE + f"  wildcards: {{{'.'.join(['a' * 60] * 4)}: [10.77.0.2]}}\n", "10: error: dns.wildcards."),
        (ZONE + "  etcd: {profile: nod}\n", "10: error: dns.etcd.profile: there is no profile 'nod' (profiles: node)"),
    ],
)
def test_every_mistake_is_named_with_its_place(check: Check, text: str, problem: str) -> None:
    found = check(text)
    assert any(line.startswith(f"mayu.yaml:{problem}") for line in found), found


def test_all_mistakes_are_reported_together(check: Check) -> None:
    found = check(ZONE + "  port: 0\n  ttl: 2d\n  aliases: {a: b}\n  etcd: {profile: x}\n")
    assert [line.split(": ")[0] for line in found] == [f"mayu.yaml:{line}" for line in (10, 11, 12, 13)]


def test_a_host_cannot_have_the_servers_name(check: Check, folder: Path) -> None:
    (folder / "mayu.yaml").write_text(HEAD.replace("name: node-1", "name: ns") + ZONE)
    _, problems = config.check(folder / "mayu.yaml")
    assert [problem.message for problem in problems] == ["'ns' is mayu's own name in the zone rack.example"]
