"""NetworkManager's own reader of keyfiles takes those made for it, and finds in them what was meant."""

import configparser
import shutil
import subprocess

import pytest

from mayu_py.core.rendering.files import File
from tests.golden.nics.cases import CASES, files

KEYFILES = [pytest.param(file, id=f"{case}-{number}") for case in CASES for number, file in enumerate(files(case)["keyfiles"])]


@pytest.fixture
def nmcli() -> str:
    found = shutil.which("nmcli")
    if found is None:
        pytest.skip("looked for nmcli; it is in Debian's package network-manager")
    return found


def read(nmcli: str, text: str) -> dict[str, dict[str, str]]:
    """The sections that NetworkManager writes of what it read. Raises CalledProcessError when it takes it for no connection."""
    command = [nmcli, "--offline", "connection", "modify", "connection.autoconnect", "yes"]
    written = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return sections(written)


def sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


@pytest.mark.integration
@pytest.mark.parametrize("file", KEYFILES)
def test_networkmanager_reads_what_was_meant(nmcli: str, file: File) -> None:
    meant = sections(file.text)
    ipv4 = meant.get("ipv4", {})
    if gateway := ipv4.pop("gateway", None):
        ipv4["address1"] += f",{gateway}"  # NetworkManager's own way to write it
    assert {name: entries for name, entries in read(nmcli, file.text).items() if entries} == meant


@pytest.mark.integration
def test_it_refuses_a_bond_of_no_known_mode(nmcli: str) -> None:
    bond = next(file for file in files("bond")["keyfiles"] if "type=bond" in file.text)
    with pytest.raises(subprocess.CalledProcessError):
        read(nmcli, bond.text.replace("mode=802.3ad", "mode=802.4"))
