"""What a change of the config does to a fleet: who is told of, with whom, and what is named as the cause."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from ignition.render import Template
from mayu_py.core.causes import Source, regions
from mayu_py.core.hosts import Host, Mac
from mayu_py.core.inventory import configured
from mayu_py.core.networks import Network
from mayu_py.core.plan import Action, Cause, Member, Move, Plan, World, plan, with_paths
from mayu_py.core.render import Renderer
from mayu_py.core.settings import HostEntry, Image, Profile, Settings

BUTANE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: /etc/motd
      contents: {inline: "{{ values.motd }}"}
"""
NETWORK = Network("rack", IPv4Network("10.77.0.0/16"), interface="br0", address=IPv4Address("10.77.0.1"))
IMAGE = Image(Path("/image"), args=("console={{ values.console }}",))
PROFILE = Profile("worker", "image", Path("worker.bu"), values={"motd": "hello", "console": "ttyS0", "unused": 1})


def entry(number: int, **fields: Any) -> HostEntry:
    mac = Mac(f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}")
    address = IPv4Address("10.77.1.0") + number
    return HostEntry(f"node-{number:04}", **{"profile": "worker", "address": address, "macs": (mac,), **fields})


def settings(*entries: HostEntry, **fields: Any) -> Settings:
    return Settings(**{"networks": (NETWORK,), "images": {"image": IMAGE}, "profiles": (PROFILE,), "hosts": entries, **fields})


def world(of: Settings, butane: str = BUTANE, hosts: tuple[Host, ...] = ()) -> World:
    sources = {
        profile.name: Source(profile.ignition, butane, Template.parse(butane, str(profile.ignition))) for profile in of.profiles
    }
    renderer = Renderer(of, {name: source.template for name, source in sources.items()})
    return World(of, of, {host.name: host for host in (*configured(of), *hosts)}, renderer, sources)


ONE = settings(entry(1))


def only(found: Plan) -> tuple[Action, tuple[str, ...], tuple[Cause, ...]]:
    (group,) = found.groups
    return group.what.action, group.what.fields, tuple(replace(cause, place="") for cause in group.causes)


def with_values(**values: Any) -> Settings:
    return settings(entry(1), profiles=(replace(PROFILE, values={**PROFILE.values, **values}),))


def test_nothing_changes_for_nobody() -> None:
    found = plan(world(ONE), world(ONE))
    assert (found.groups, found.unchanged, found.is_empty) == ((), 1, True)


def test_hosts_that_come_and_go() -> None:
    found = plan(world(settings(entry(1))), world(settings(entry(2))))
    assert [(group.what.action, group.members[0].host) for group in found.groups] == [
        (Action.ADDED, "node-0002"),
        (Action.REMOVED, "node-0001"),
    ]


def test_a_value_is_the_cause_if_the_template_uses_it() -> None:
    found = plan(world(ONE), world(with_values(motd="other", unused=2)))
    assert only(found) == (Action.CHANGED, (), (Cause("values.motd", ""),))
    assert "~ file /etc/motd" in str(found.groups[0].what.config)


def test_a_value_that_nothing_uses_changes_no_host() -> None:
    found = plan(world(ONE), world(with_values(unused=2)))
    assert (found.groups, found.settings.profiles.changed) == ((), ("worker",))


def test_a_template_is_named_with_the_lines_that_changed() -> None:
    found = plan(world(ONE), world(ONE, BUTANE.replace("/etc/motd", "/etc/issue")))
    assert found.groups[0].causes == (Cause("template", "worker.bu:5"),)


def test_kernel_arguments_are_compared_too() -> None:
    found = plan(world(ONE), world(with_values(console="tty0")))
    assert found.groups[0].what.arguments == ("-console=ttyS0", "+console=tty0")
    assert only(found)[2] == (Cause("values.console", ""),)


def test_an_address_that_no_config_holds_is_no_cause() -> None:
    found = plan(world(ONE), world(settings(entry(1, address=IPv4Address("10.77.9.9")))))
    assert only(found) == (Action.CHANGED, ("address",), ())
    assert found.groups[0].members == (Member("node-0001", (Move("address", "10.77.1.1", "10.77.9.9"),)),)


def test_a_network_is_the_cause_where_the_template_asks_it() -> None:
    butane = BUTANE.replace("values.motd", "network.gateway")
    other = settings(entry(1), networks=(replace(NETWORK, gateway=IPv4Address("10.77.0.254")),))
    assert only(plan(world(ONE, butane), world(other, butane)))[2] == (Cause("networks", ""),)


def test_what_cannot_be_rendered_any_more_is_told() -> None:
    enrolled = Host("10-77-8-8", IPv4Address("10.77.8.8"), (Mac("52:54:00:00:99:99"),), profile="worker", origin="enrolled")
    butane = BUTANE.replace("values.motd", "values.mottd")
    (group,) = plan(world(settings(), hosts=(enrolled,)), world(settings(), butane, (enrolled,))).groups
    assert "worker.bu:6" in group.what.problem
    assert [cause.name for cause in group.causes] == ["template"]


def test_secrets_are_not_shown() -> None:
    butane = BUTANE.replace("{{ values.motd }}", "{{ values.motd | secret }}")
    found = plan(world(ONE, butane), world(with_values(motd="hunter2hunter2"), butane))
    assert "hunter2" not in str(found.to_data())
    assert only(found)[2] == (Cause("values.motd", ""),)


def test_a_thousand_hosts_with_the_same_change_are_one_group() -> None:
    entries = tuple(entry(n) for n in range(1000))
    changed = (replace(PROFILE, values={**PROFILE.values, "motd": "other"}),)
    told: list[tuple[int, int]] = []
    found = plan(world(settings(*entries)), world(settings(*entries, profiles=changed)), lambda *at: told.append(at))
    assert [len(group.members) for group in found.groups] == [1000]
    assert (told[0], told[-1]) == ((1, 1000), (1000, 1000))


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [("a\nb\nc", "a\nB\nc", ["2"]), ("a\nb", "a\nb\nc\nd", ["3-4"]), ("a\nb\nc", "a\nc", ["2"]), ("abcde", "a", ["1"])],
)
def test_regions(before: str, after: str, lines: list[str]) -> None:
    assert regions(before, after) == lines


def test_the_same_config_in_another_folder_is_the_same() -> None:
    moved = with_paths(ONE, lambda path: Path("/elsewhere") / path)
    assert moved != ONE
    assert moved == with_paths(moved, lambda path: path)
    assert moved.profiles[0].ignition == Path("/elsewhere/worker.bu")
