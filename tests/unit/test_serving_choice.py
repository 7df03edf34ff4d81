"""Which config a client is served: newest before last good, in a spec that it reads, or a refusal that says why."""

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from ignition.document import DocumentError
from ignition.render import Template
from mayu_py.core.exchange import Refusal, Refuse
from mayu_py.core.hosts import Host, Mac
from mayu_py.core.networks import Network
from mayu_py.core.render import Renderer, ServedConfig
from mayu_py.core.serving import KEPT, Negotiator, Serving, choose, newest
from mayu_py.core.settings import Image, Profile, Settings

NETWORK = Network("rack", IPv4Network("10.77.0.0/24"), interface="br0", address=IPv4Address("10.77.0.1"))
HOST = Host("node-1", IPv4Address("10.77.0.11"), (Mac("52:54:00:00:00:01"),), profile="node")
NEWEST_CLIENT = "application/vnd.coreos.ignition+json;version=3.6.0, */*;q=0.1"
OLD_CLIENT = "application/vnd.coreos.ignition+json;version=3.1.0, */*;q=0.1"
LEGACY_CLIENT = (
    "application/vnd.coreos.ignition+json; version=2.4.0, application/vnd.coreos.ignition+json; version=1; q=0.5, */*; q=0.1"
)

TEMPLATE = """\
variant: fcos
version: 1.4.0
storage:
  files:
    - path: "{{ values.path }}"
      contents: {inline: "{{ host.name }}"}
"""
DISKS = """\
ignition: {version: 3.3.0}
storage:
  luks: [{name: data, device: /dev/sdb, keyFile: {source: "data:,k"}}]
"""


def renderer(text: str = TEMPLATE) -> Renderer:
    profiles = (Profile("node", "testbed", Path("node.bu"), values={"path": "/etc/motd"}),)
    settings = Settings(networks=(NETWORK,), images={"testbed": Image(Path("image"))}, profiles=profiles)
    return Renderer(settings, {"node": Template.parse(text, "node.bu")})


def with_path(path: str) -> Host:
    return Host("node-1", HOST.address, HOST.macs, profile="node", values={"path": path})


def serving(host: Host = HOST, last: ServedConfig | None = None, accept: str = "", text: str = TEMPLATE) -> Serving:
    return choose(host, newest(renderer(text), host), last, accept, Negotiator())


def version(served: Serving) -> Any:
    assert isinstance(served.reply, ServedConfig)
    return json.loads(served.reply.config)["ignition"]["version"]


LAST = ServedConfig.of(b'{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/etc/old"}]}}')


@pytest.mark.parametrize("accept", ["", "*/*", NEWEST_CLIENT, "application/json", ";;;,=", "a" * 100_000])
def test_a_client_that_reads_the_spec_or_names_none_gets_the_config_as_written(accept: str) -> None:
    written = renderer().config(HOST)
    assert serving(accept=accept, last=LAST) == Serving(written, written)


def test_an_older_client_gets_the_same_in_its_spec() -> None:
    found = serving(accept=OLD_CLIENT)
    assert version(found) == "3.1.0"
    assert found.good == renderer().config(HOST)
    assert isinstance(found.reply, ServedConfig)
    assert found.reply == ServedConfig.of(found.reply.config)


def test_an_older_client_is_refused_for_good_when_something_would_be_lost() -> None:
    found = serving(accept=OLD_CLIENT, text=DISKS)
    assert found.reply == Refuse(
        Refusal.NOT_ACCEPTABLE,
        "the config of node-1 cannot be said in a spec that this Ignition reads:\n"
        "config.ign:1: error: $.storage.luks: spec 3.1.0 has no such field; spec 3.2.0 brought it"
        " (Ignition 2.7 and newer read spec 3.2.0)",
    )
    assert Refusal.NOT_ACCEPTABLE.value == 406


def test_a_client_of_spec_2_is_refused_for_good() -> None:
    found = serving(accept=LEGACY_CLIENT)
    assert isinstance(found.reply, Refuse)
    assert found.reply.refusal is Refusal.NOT_ACCEPTABLE
    assert "the newest Ignition spec that the client reads is '2.4.0'" in found.reply.why


@pytest.mark.parametrize("path", ["not-absolute", "/etc//motd", ""])
def test_an_invalid_config_gives_way_to_the_last_good_one(path: str) -> None:
    found = serving(with_path(path), LAST)
    assert (found.reply, found.good, found.is_last_good) == (LAST, LAST, True)
    assert [problem.mark.line for problem in found.problems] == [5]


def test_the_last_good_one_is_negotiated_too() -> None:
    found = serving(with_path("not-absolute"), LAST, OLD_CLIENT)
    assert (version(found), found.is_last_good) == ("3.1.0", True)


def test_without_a_last_good_one_the_host_has_to_wait_and_is_told_why() -> None:
    found = serving(with_path("not-absolute"))
    assert isinstance(found.reply, Refuse)
    assert found.reply.refusal is Refusal.NOT_READY
    assert found.reply.why.startswith("the config of node-1 is not valid, and there is no earlier one:\nnode.bu:5: error: ")
    assert found.good is None


def test_a_profile_that_the_config_does_not_have_any_more_is_a_problem_like_others() -> None:
    orphan = Host("node-1", HOST.address, HOST.macs, profile="gone")
    found = serving(orphan, LAST)
    assert (found.reply, [problem.message for problem in found.problems]) == (
        LAST,
        ["node-1 has the profile 'gone', which is none"],
    )


def test_a_renderer_keeps_what_is_wrong_until_the_record_changes() -> None:
    made = renderer()
    with pytest.raises(DocumentError) as first:
        made.config(with_path("bad"))
    with pytest.raises(DocumentError) as second:
        made.config(with_path("bad"))
    assert first.value.problems[0] is second.value.problems[0]
    assert b"/etc/good" in made.config(with_path("/etc/good")).config


def test_a_translation_is_made_once_and_their_number_is_bounded() -> None:
    negotiator, config = Negotiator(), renderer().config(HOST)
    first = negotiator.offer(config, OLD_CLIENT)
    assert negotiator.offer(config, OLD_CLIENT) is first
    for number in range(KEPT):
        negotiator.offer(LAST, f"text/plain;v={number}")
    assert negotiator.offer(config, OLD_CLIENT) is not first
