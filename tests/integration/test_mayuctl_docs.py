"""What docs/mayuctl.md shows is what mayuctl prints, and it names every verb."""

import re
import shlex
from pathlib import Path

from mayu_py.ctl import VERBS
from tests.integration.ctl_runs import Ctl
from tests.integration.ctl_server import admin_face

PAGE = (Path(__file__).parents[2] / "docs" / "mayuctl.md").read_text()


def test_the_examples_print_what_the_page_shows(tmp_path: Path) -> None:
    block = re.search(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    with admin_face(tmp_path) as served:
        ctl = Ctl(tmp_path, {"MAYU_SERVER": served.url})
        for example in block[1].removeprefix("$ ").split("\n$ "):
            line, _, shown = example.partition("\n")
            assert ctl.out(*shlex.split(line)[1:]).rstrip("\n") == shown.rstrip("\n")


def test_every_verb_is_in_the_table_and_teaches_by_example() -> None:
    for verb in VERBS:
        assert re.search(rf"^\|.*`{verb.name}\b", PAGE, re.MULTILINE), verb.name
        assert verb.name == "config" or "Example" in (verb.help or ""), verb.name
