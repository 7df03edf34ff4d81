"""The files of a host's NICs are those that stand in tests/golden/nics, byte for byte."""

from pathlib import Path

import pytest

from tests.golden.nics.cases import CASES, HERE, files


@pytest.mark.parametrize("case", CASES)
def test_the_files_are_those_beside_it(case: str) -> None:
    made = {f"{folder}/{Path(file.path).name}": file.text for folder, written in files(case).items() for file in written}
    kept = {str(path.relative_to(HERE / case)): path.read_text() for path in (HERE / case).rglob("*") if path.is_file()}
    assert made == kept


def test_every_golden_folder_is_tested() -> None:
    assert {path.name for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__"} == CASES.keys()


@pytest.mark.parametrize("case", CASES)
def test_others_than_root_read_no_keyfile(case: str) -> None:
    assert {file.mode for file in files(case)["keyfiles"]} == {0o600}
    assert {file.mode for file in files(case)["networkd"]} == {0o644}
