"""Files into and out of a machine; the machine here is this very host, asked through the same door."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from kubeception_sim.errors import BadInput, CommandFailed, HarnessError
from kubeception_sim.machines import transfer
from kubeception_sim.run import Completed, run


def here(argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, check: bool = True) -> Completed:
    return run(argv, timeout=timeout, stdin=stdin, check=check)


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o4711])
def test_a_file_keeps_content_and_mode(tmp_path: Path, mode: int) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "a").chmod(mode)
    transfer.push(here, tmp_path / "a", f"{tmp_path}/new folder/b")
    transfer.pull(here, f"{tmp_path}/new folder/b", tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == content
    assert (tmp_path / "c").stat().st_mode & 0o7777 == mode


def test_a_folder_comes_under_its_new_name(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "a").write_text("x")
    (tmp_path / "a" / "twin").hardlink_to(tmp_path / "a" / "deep" / "a")
    transfer.push(here, tmp_path / "a", f"{tmp_path}/b")
    (tmp_path / "out").mkdir()
    transfer.pull(here, f"{tmp_path}/b", tmp_path / "out" / "c")
    out = tmp_path / "out"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == ["c", "c/deep", "c/deep/a", "c/twin"]
    assert (out / "c" / "twin").read_text() == "x"


@pytest.mark.parametrize("path", ["relative", "/", ""])
def test_a_place_in_a_machine_is_absolute(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadInput, match="absolute path"):
        transfer.push(here, tmp_path, path)


def test_what_is_not_there_is_told_by_tar(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        transfer.pull(here, f"{tmp_path}/none", tmp_path / "c")


def test_something_else_than_an_archive_is_told(tmp_path: Path) -> None:
    def garbled(argv: Sequence[str], *, timeout: float, stdin: bytes | None = None, check: bool = True) -> Completed:
        return Completed(tuple(argv), 0, "bm8gdGFy", "", 0.0)

    with pytest.raises(HarnessError, match="no archive"):
        transfer.pull(garbled, "/some/file", tmp_path / "c")
