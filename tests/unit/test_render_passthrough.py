"""Templates that are Ignition JSON: of any spec 3 as they are, of spec 2 migrated with a report."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mayu_py import config
from mayu_py.core.inventory import configured

CONFIG = """\
networks: [{name: rack, interface: br0, address: 10.77.0.1, subnet: 10.77.0.0/24}]
tftp: {root: tftp}
images: {testbed: {directory: image}}
profiles: [{name: node, image: testbed, ignition: node.ign}]
hosts: [{name: node-1, macs: ["52:54:00:00:00:01"], address: 10.77.0.11, profile: node}]
"""

Load = Callable[[str], tuple[object, list[str]]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """What node-1 gets, and the problems."""
    (tmp_path / "mayu.yaml").write_text(CONFIG)
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")

    def run(text: str) -> tuple[object, list[str]]:
        (tmp_path / "node.ign").write_text(text)
        found, problems = config.check(tmp_path / "mayu.yaml")
        lines = [problem.located.replace(f"{tmp_path}/", "") for problem in problems]
        if found is None or any(problem.is_error for problem in problems):
            return None, lines
        return json.loads(found.renderer.config(configured(found.settings)[0]).config), lines

    return run


@pytest.mark.parametrize("minor", range(7))
def test_every_spec_3_is_served_as_it_is(load: Load, minor: int) -> None:
    text = {"ignition": {"version": f"3.{minor}.0"}, "storage": {"files": [{"path": "/etc/motd", "mode": 420}]}}
    assert load(json.dumps(text)) == (text, [])


def test_its_expressions_are_filled(load: Load) -> None:
    text = {"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/etc/{{ host.name }}"}]}}
    assert load(json.dumps(text)) == ({**text, "storage": {"files": [{"path": "/etc/node-1"}]}}, [])


def test_spec_2_becomes_spec_3_and_what_changed_is_a_warning(load: Load) -> None:
    text = """\
{"ignition": {"version": "2.2.0"},
 "storage": {"files": [
   {"filesystem": "root", "path": "/etc/{{ host.name }}", "mode": 420, "contents": {"source": "data:,x"}}]}}
"""
    served, problems = load(text)
    assert served == {
        "ignition": {"version": "3.3.0"},
        "storage": {"files": [{"path": "/etc/node-1", "mode": 420, "overwrite": True, "contents": {"source": "data:,x"}}]},
    }
    assert problems == [
        (
            "node.ign:3: warning: $.storage.files.0: no overwrite, changed to overwrite true: spec 2 replaced what stood there by"
            " default, spec 3 does not"
        ),
        (
            'node.ign:3: warning: $.storage.files.0.filesystem: filesystem "root", dropped: paths of spec 3 start at the root'
            " filesystem"
        ),
    ]


def test_an_expression_in_a_url_of_spec_2_is_an_error(load: Load) -> None:
    text = """{"ignition": {"version": "2.2.0"}, "storage": {"files": [
   {"filesystem": "root", "path": "/a", "mode": 420, "contents": {"source": "data:,{{ host.name }}"}}]}}"""
    served, problems = load(text)
    assert served is None
    assert "node.ign:2: error: $.storage.files.0.contents.source: invalid data character" in problems


def test_what_spec_3_cannot_say_is_an_error_with_its_line(load: Load) -> None:
    served, problems = load('{"ignition": {"version": "2.2.0"},\n "storage": {"files": [{"filesystem": "data", "path": "/x"}]}}')
    assert served is None
    assert any(problem.startswith("node.ign:2: error: $.storage.files.0.filesystem") for problem in problems)
