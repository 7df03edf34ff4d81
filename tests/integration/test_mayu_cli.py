"""The command lines as their users meet them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """\
networks: [{name: rack, interface: br0, address: 10.77.0.1, subnet: 10.77.0.0/24}]
tftp: {root: tftp}
images:
  testbed: {directory: image, args: ["ignition.config.url={{ ignition_url }}"]}
profiles:
  - {name: node, image: testbed, ignition: node.bu}
hosts:
  - {name: node-1, serial: KC-1, macs: ["52:54:00:00:00:01"], address: 10.77.0.11, profile: node}
"""
BUTANE = """\
variant: fcos
version: 1.4.0
storage: {files: [{path: /etc/hostname, contents: {inline: "{{ host.name }}"}}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rack.yaml").write_text(CONFIG)
    (tmp_path / "node.bu").write_text(BUTANE)
    for file in ("tftp/undionly.kpxe", "tftp/snponly.efi", "image/vmlinuz", "image/initrd.img"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    def run(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = Path(sys.executable).with_name(program)
        env = {**os.environ, **environment}
        return subprocess.run([path, *words], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=30)

    return run


@pytest.mark.parametrize("program", ["mayu", "mayuctl"])
def test_help_teaches_by_example(run: Run, program: str) -> None:
    ran = run(program, "--help")
    assert ran.returncode == 0
    assert "Examples:" in ran.stdout


@pytest.mark.parametrize("program", ["mayu", "mayuctl"])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(run: Run, program: str, shell: str) -> None:
    ran = run(program, "completion", shell)
    assert ran.returncode == 0
    assert f"_{program.upper()}_COMPLETE" in ran.stdout


def test_a_good_config_passes(run: Run) -> None:
    ran = run("mayu", "check", "-c", "rack.yaml")
    assert (ran.returncode, ran.stdout) == (0, "rack.yaml: good: 1 host, every config valid\n")


def test_a_bad_config_fails_with_every_problem(run: Run, folder: Path) -> None:
    (folder / "rack.yaml").write_text(CONFIG.replace("interface", "interfce").replace("10.77.0.11", "10.99.0.11"))
    ran = run("mayu", "check", "-c", "rack.yaml")
    assert ran.returncode == 1
    outside = "10.99.0.11 is not in the subnet 10.77.0.0/24 (use one of 10.77.0.1 to 10.77.0.254)"
    assert ran.stdout.splitlines() == [
        "rack.yaml:1: error: networks[0].interfce: unknown key (did you mean 'interface'?)",
        f"rack.yaml:8: error: hosts[0].address: {outside}",
        "rack.yaml: 2 problems",
    ]


def test_problems_as_json(run: Run, folder: Path) -> None:
    (folder / "rack.yaml").write_text(CONFIG.replace("interface", "interfce"))
    ran = run("mayu", "check", "-c", "rack.yaml", "--json")
    (problem,) = json.loads(ran.stdout)["problems"]
    assert (problem["file"], problem["line"], problem["path"]) == ("rack.yaml", 1, "networks[0].interfce")


def test_serving_a_bad_config_starts_nothing_and_shows_no_traceback(run: Run, folder: Path) -> None:
    (folder / "rack.yaml").write_text(CONFIG.replace("interface", "interfce"))
    ran = run("mayu", "serve", "-c", "rack.yaml")
    assert ran.returncode == 1
    assert "rack.yaml: 1 problem" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (folder / "mayu.db").exists()


def test_render_prints_what_a_host_would_be_served(run: Run) -> None:
    ran = run("mayu", "render", "-c", "rack.yaml", "KC-1")
    assert json.loads(ran.stdout)["storage"]["files"][0]["contents"]["source"] == "data:,node-1"
    arguments = run("mayu", "render", "-c", "rack.yaml", "node-1", "--kernel-args").stdout
    assert arguments == "ignition.config.url=http://10.77.0.1:4081/ignition?serial=KC-1&mac=52:54:00:00:00:01\n"


def test_an_unknown_host_is_an_error_that_lists_the_known(run: Run) -> None:
    ran = run("mayu", "render", "-c", "rack.yaml", "nobody")
    assert (ran.returncode, ran.stderr) == (1, "mayu: rack.yaml has no host 'nobody'\nhint: hosts: node-1\n")


def test_mayuctl_says_who_does_not_answer(run: Run) -> None:
    ran = run("mayuctl", "--server", "http://127.0.0.1:9", "list")
    assert ran.returncode == 1
    assert "http://127.0.0.1:9 does not answer: [Errno 111] Connection refused" in ran.stderr
    assert "hint: is mayu running?" in ran.stderr


@pytest.mark.parametrize("program", ["mayu", "mayuctl"])
def test_the_version_is_told(run: Run, program: str) -> None:
    assert run(program, "--version").stdout.startswith(f"{program}, version 0.")
