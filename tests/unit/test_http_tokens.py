"""`mayu token new`: what it prints opens the door, and nothing else does."""

import json

import pytest
from click.testing import CliRunner

from mayu_py.cli.tokens import token
from mayu_py.core.access import Access, Caller, Credentials, Role, Token, identify
from mayu_py.errors import Unidentified


def test_the_token_and_the_line_of_the_config_fit() -> None:
    made = json.loads(CliRunner().invoke(token, ["new", "ci", "--role", "operate", "--json"]).stdout)
    line = made["config"]
    access = Access((Token(line["name"], Role(line["role"]), line["sha256"]),))
    assert identify(Credentials(False, f"Bearer {made['token']}"), access) == Caller("token ci", Role.OPERATE)
    with pytest.raises(Unidentified):
        identify(Credentials(False, f"Bearer {line['sha256']}"), access)


def test_only_the_token_is_on_stdout_and_no_two_are_alike() -> None:
    first, second = (CliRunner().invoke(token, ["new", "ci"]) for _ in range(2))
    assert first.stdout != second.stdout
    assert first.stdout.startswith("mayu_")
    assert len(first.stdout.split()) == 1
    assert '- {"name": "ci", "role": "read", "sha256": "' in first.stderr
