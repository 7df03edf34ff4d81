"""Network files are laid beneath a host's config: what its template says of the same path wins."""

import json
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from ignition.document import DocumentError
from ignition.render import Template
from mayu_py.core.hosts import Host
from mayu_py.core.networks import Network
from mayu_py.core.nics import Nic
from mayu_py.core.render import Renderer
from mayu_py.core.settings import Image, NetworkFiles, Profile, Settings
from tests.golden.nics.cases import CASES, HOST, address, files, rack

PLAIN = "variant: fcos\nversion: 1.4.0\n"


def render(
    text: str = PLAIN,
    networks: tuple[Network, ...] = CASES["extra"],
    kind: NetworkFiles = NetworkFiles.NETWORKD,
    host: Host = HOST,
) -> Any:
    profiles = (Profile("node", "testbed", Path("node.bu"), network_files=kind),)
    settings = Settings(networks=networks, images={"testbed": Image(Path("image"))}, profiles=profiles)
    return json.loads(Renderer(settings, {"node": Template.parse(text, "node.bu")}).config(host).config)


def contents(config: Any) -> dict[str, str]:
    return {file["path"]: unquote(file["contents"]["source"].removeprefix("data:,")) for file in config["storage"]["files"]}


@pytest.mark.parametrize(("kind", "folder"), [(NetworkFiles.NETWORKD, "networkd"), (NetworkFiles.NETWORKMANAGER, "keyfiles")])
@pytest.mark.parametrize("case", CASES)
def test_the_files_of_its_kind_are_in_the_config(case: str, kind: NetworkFiles, folder: str) -> None:
    config = render(networks=CASES[case], kind=kind)
    assert contents(config) == {file.path: file.text for file in files(case)[folder]}
    assert [file["mode"] for file in config["storage"]["files"]] == [file.mode for file in files(case)[folder]]


def test_none_are_asked_for_unless_the_profile_says_so() -> None:
    assert render(kind=NetworkFiles.NONE) == {"ignition": {"version": "3.3.0"}}


def test_the_spec_stays_that_of_the_template() -> None:
    assert render("variant: flatcar\nversion: 1.1.0\n")["ignition"]["version"] == "3.4.0"


def test_a_file_of_the_template_wins_and_so_does_a_link() -> None:
    config = render(
        """\
variant: fcos
version: 1.4.0
storage:
  files:
    - {path: /etc/systemd/network/10-boot.network, contents: {inline: mine}}
  links:
    - {path: /etc/systemd/network/10-eth1.network, target: /dev/null}
"""
    )
    assert contents(config) == {"/etc/systemd/network/10-boot.network": "mine"}
    assert [link["path"] for link in config["storage"]["links"]] == ["/etc/systemd/network/10-eth1.network"]


def test_what_cannot_stand_beside_them_is_an_error() -> None:
    text = f"{PLAIN}storage:\n  links:\n    - {{path: /etc/systemd/network, target: /run/network}}\n"
    with pytest.raises(DocumentError, match="the config of node-1 with its network files"):
        render(text)


def test_a_host_in_no_extra_network_has_no_file_for_one() -> None:
    alone = Host("node-2", address("10.77.0.12"), HOST.macs, profile="node")
    assert list(contents(render(host=alone))) == ["/etc/systemd/network/10-boot.network"]


@pytest.mark.parametrize("heard", [None, address("10.77.0.13")])
def test_a_host_that_another_server_gives_its_address_asks_it(heard: IPv4Address | None) -> None:
    proxied = Host("node-3", heard, HOST.macs, profile="node", proxied=True)
    networks = (Network("rack", rack(None).subnet, "br0", address("10.77.0.1"), dhcp=rack(None).dhcp.PROXY, nic=Nic("eth0")),)
    (text,) = contents(render(networks=networks, host=proxied)).values()
    assert "DHCP=ipv4" in text
    assert "Address=" not in text


def test_a_host_without_a_mac_needs_a_nic_with_a_name() -> None:
    nameless = Host("node-4", address("10.77.0.14"), profile="node")
    with pytest.raises(DocumentError, match="the NIC of node-4 in rack is named by its MAC, and it has none"):
        render(networks=(rack(None),), host=nameless)
    (path,) = contents(render(networks=(rack(Nic("eth0")),), host=nameless))
    assert path == "/etc/systemd/network/10-eth0.network"
