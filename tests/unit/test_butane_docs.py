"""The example of docs/butane.md is run, and prints what the page says."""

import re
from pathlib import Path
from typing import Any

import pytest

import ignition
from tests.local_files import FakeFiles

PAGE = (Path(__file__).parents[2] / "docs" / "butane.md").read_text()


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, document, printed = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    monkeypatch.setattr(ignition, "Folder", lambda path: FakeFiles({"motd": b"Welcome\n"}), raising=False)
    names: dict[str, Any] = {"document": document}
    exec(code, names)
    assert capsys.readouterr().out == printed


def test_the_table_names_every_release() -> None:
    rows = re.findall(r"^\| (fcos|flatcar) \| ([\d., ]+) \| ([\d., ]+) \|", PAGE, re.MULTILINE)
    for variant, versions, specs in rows:
        for version, spec in zip(versions.split(", "), specs.split(", "), strict=True):
            output = ignition.convert(f"variant: {variant}\nversion: {version}\n").output
            assert output == f'{{"ignition":{{"version":"{spec}"}}}}\n'.encode()
    assert len(rows) == 9
