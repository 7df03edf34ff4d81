"""The file of contexts."""

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mayu_py.asking.contexts import Book, Context, location, read, write
from mayu_py.errors import MayuError

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"]), min_size=1)
PATHS = st.text(string.ascii_letters + " ':#\"é/", min_size=1).map(lambda text: Path("/" + text))
CONTEXTS = st.builds(Context, TEXTS, *(st.none() | each for each in (TEXTS, PATHS, PATHS, PATHS, PATHS)))
BOOKS = st.builds(Book, st.none() | NAMES, st.dictionaries(NAMES, CONTEXTS, max_size=3))


@given(BOOKS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_again(tmp_path: Path, book: Book) -> None:
    write(tmp_path / "config.yaml", book)
    assert read(tmp_path / "config.yaml") == book


def test_the_file_is_for_its_owner_only_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.yaml"
    write(path, Book())
    write(path, Book(contexts={"lab": Context("https://lab", token="t")}))
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_text() == 'contexts:\n  "lab":\n    server: "https://lab"\n    token: "t"\n'


def test_no_file_is_no_contexts(tmp_path: Path) -> None:
    assert read(tmp_path / "config.yaml") == Book()


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write(path, Book(contexts={"lab": Context("https://lab", token="t")}))
    path.chmod(0o640)
    with pytest.raises(MayuError, match="others than its owner may read it") as caught:
        read(path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_mistakes_have_lines_and_show_no_token(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("contexts:\n  lab:\n    sever: https://lab\n    token: hush\n")
    with pytest.raises(MayuError) as caught:
        read(path)
    assert f"{path}:3" in caught.value.message
    assert "hush" not in caught.value.message


def test_the_first_context_is_used_and_a_removed_one_is_not() -> None:
    lab, live = Context("https://lab"), Context("https://live")
    book = Book().adding("lab", lab, use=False).adding("live", live, use=False)
    assert book == Book("lab", {"lab": lab, "live": live})
    assert book.using("live").current == "live"
    assert book.without("lab") == Book(None, {"live": live})
    with pytest.raises(MayuError, match="there is a context 'lab' already"):
        book.adding("lab", lab, use=True)
    with pytest.raises(MayuError, match="cannot name a context"):
        book.adding("a b", lab, use=True)
    for verb in (book.using, book.without):
        with pytest.raises(MayuError, match="there is no context 'x'"):
            verb("x")


def test_a_relative_xdg_config_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    home = Path("/home/ann/.config/mayuctl/config.yaml")
    assert [location(each) for each in ({}, {"XDG_CONFIG_HOME": "x"}, {"XDG_CONFIG_HOME": ""})] == [home] * 3
    assert location({"XDG_CONFIG_HOME": "/etc/ann"}) == Path("/etc/ann/mayuctl/config.yaml")
