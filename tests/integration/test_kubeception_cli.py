"""The command line as its users meet it. What `run` calls is played by a stand-in; other tiers run scenarios for real."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

import kubeception_sim.scenario as runner
from kubeception_sim import cli, doctor, report
from kubeception_sim.doctor import Group, Part, Status, Thing
from kubeception_sim.errors import HarnessError
from kubeception_sim.model.results import RunResult
from kubeception_sim.model.scenario import Scenario
from tests.golden.report import runs

SCENARIO = """\
schema: 1
name: small
profiles:
  - {name: node, ignition: node.bu}
machines:
  - {name: rack-1, serial: KC-1, address: 10.77.0.11, profile: node}
steps:
  - {do: power-on}
  - {do: await, state: running, within: 5m}
"""

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rack.yaml").write_text(SCENARIO)
    (tmp_path / "node.bu").write_text("variant: fcos\nversion: 1.4.0\n")
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Program:
    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = Path(sys.executable).with_name("kubeception")
        env = {**os.environ, "KUBECEPTION_RUN": str(folder / "run"), "KUBECEPTION_CACHE": str(folder / "cache"), **environment}
        return subprocess.run([path, *words], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=50)

    return run


class Runner:
    """Stands where `kubeception_sim.scenario.run` is, and does what it promises: write the reports, give the result."""

    def __init__(self) -> None:
        self.result: RunResult = runs.passed()
        self.raises: BaseException | None = None
        self.calls: list[dict[str, Any]] = []

    def __call__(self, scenario: Scenario, **options: Any) -> RunResult:
        self.calls.append({"scenario": scenario, **options})
        if self.raises is not None:
            raise self.raises
        report.write(self.result, options["out"])
        return self.result


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Runner:
    found = Runner()
    monkeypatch.setattr(runner, "run", found)
    monkeypatch.chdir(folder)
    return found


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The entry point in this process: its exit code, stdout and stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kubeception", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return call


# --- help, version, completion


def test_help_teaches_by_example_and_tells_the_exit_codes(program: Program) -> None:
    ran = program("--help")
    assert ran.returncode == 0
    assert "Examples:" in ran.stdout
    assert "Exit codes:" in ran.stdout


@pytest.mark.parametrize(
    "words",
    [(name,) for name in cli.kubeception.commands]
    + [(str(group.name), name) for group in (cli.image, cli.artifacts) for name in group.commands],
)
def test_every_verb_has_help(program: Program, words: tuple[str, ...]) -> None:
    ran = program(*words, "-h")
    assert ran.returncode == 0
    assert ran.stdout.startswith(f"Usage: kubeception {' '.join(words)}")


def test_the_overview_cuts_no_sentence_short() -> None:
    context = click.Context(cli.kubeception, info_name="kubeception", terminal_width=80)
    assert "..." not in cli.kubeception.get_help(context).partition("Commands:")[2]


def test_the_version_is_told(program: Program) -> None:
    assert program("--version").stdout.startswith("kubeception, version 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(program: Program, shell: str) -> None:
    ran = program("completion", shell)
    assert ran.returncode == 0
    assert "_KUBECEPTION_COMPLETE" in ran.stdout


def test_completion_knows_the_verbs(program: Program) -> None:
    ran = program(_KUBECEPTION_COMPLETE="bash_complete", COMP_WORDS="kubeception d", COMP_CWORD="1")
    assert ran.stdout == "plain,doctor\nplain,down\n"


def test_python_m_is_the_same_program(folder: Path) -> None:
    argv = [sys.executable, "-m", "kubeception_sim", "plan", str(folder / "rack.yaml")]
    ran = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=50)
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, "small: 1 machine (1 bios)")


# --- bad input


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan",), "Missing argument 'FILE'"),
        (("frobnicate",), "No such command 'frobnicate'"),
        (("run", "rack.yaml", "--driver", "vmware"), "'vmware' is not one of 'qemu', 'namespace', "),
        (("plan", "nowhere.yaml"), "kubeception: nowhere.yaml: no such file"),
        (("run", "nowhere.yaml"), "kubeception: nowhere.yaml: no such file"),
        (("plan", "."), "kubeception: .: Is a directory"),
    ],
)
def test_bad_input_is_exit_3_and_no_traceback(program: Program, words: tuple[str, ...], said: str) -> None:
    ran = program(*words)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_every_mistake_in_a_scenario_is_told_with_its_line(program: Program, folder: Path, verb: str) -> None:
    (folder / "rack.yaml").write_text(SCENARIO.replace("node.bu", "nod.bu").replace("within: 5m", "within: 5"))
    ran = program(verb, "rack.yaml")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.splitlines() == [
        "kubeception: rack.yaml: 2 problems",
        "rack.yaml:4: error: profiles[0].ignition: no such file: nod.bu",
        "rack.yaml:9: error: steps[1].within: '5' is not a duration; write it like 90s, 500ms or 1h30m",
    ]
    assert not (folder / "out").exists()


def test_a_file_that_is_no_text_is_bad_input(program: Program, folder: Path) -> None:
    (folder / "rack.yaml").write_bytes(b"schema: 1\nname: \xff\n")
    ran = program("plan", "rack.yaml")
    assert (ran.returncode, ran.stderr) == (3, "kubeception: rack.yaml: not UTF-8 at byte 16\n")


def test_a_folder_that_cannot_be_made_is_bad_input(program: Program) -> None:
    ran = program("run", "rack.yaml", "--out", "rack.yaml/out")
    assert ran.returncode == 3
    assert ran.stderr == "kubeception: rack.yaml/out: Not a directory\nhint: choose another folder with --out\n"


# --- plan and run


def test_a_plan_starts_nothing(program: Program, folder: Path) -> None:
    ran = program("plan", "rack.yaml")
    assert ran.returncode == 0
    assert "await           all running within 5m" in ran.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["node.bu", "rack.yaml"]


@pytest.mark.parametrize(
    ("result", "code"),
    [(runs.passed(), 0), (runs.failed(), 1), (replace(runs.passed(), error="no space left"), 2)],
    ids=["pass", "fail", "error"],
)
def test_the_verdict_is_the_exit_code(stand_in: Runner, call: Call, result: RunResult, code: int) -> None:
    stand_in.result = result
    assert call("run", "rack.yaml")[0] == code


@pytest.mark.usefixtures("stand_in")
def test_a_run_shows_the_plan_the_summary_and_where_the_report_is(call: Call) -> None:
    _, out, err = call("run", "rack.yaml")
    places = [out.index(text) for text in ("small: 1 machine (1 bios)", "two-racks  PASS", "report  out/small/report.html")]
    assert places == sorted(places)
    assert err == ""
    assert Path("out/small/report.html").is_file()


def test_quiet_shows_only_how_it_went(stand_in: Runner, call: Call) -> None:
    _, out, _ = call("run", "rack.yaml", "--quiet")
    assert out.startswith("\ntwo-racks  PASS")
    assert stand_in.calls[0]["quiet"] is True


def test_options_reach_the_runner(stand_in: Runner, call: Call) -> None:
    call("run", "rack.yaml", "--out", "there", "--driver", "fake", "--keep", "--no-color")
    (made,) = stand_in.calls
    assert (made["out"], made["scenario"].driver, made["keep"], made["quiet"]) == (Path("there"), "fake", True, False)
    assert made["console"].no_color
    assert made["scenario"].profiles[0].ignition == Path("node.bu")


def test_json_is_alone_on_stdout(stand_in: Runner, call: Call) -> None:
    stand_in.result = runs.failed()
    code, out, err = call("run", "rack.yaml", "--json")
    assert (code, json.loads(out)["verdict"]) == (1, "fail")
    assert out == Path("out/small/report.json").read_text()
    assert "two-racks  FAIL" in err


@pytest.mark.usefixtures("stand_in")
def test_no_color_is_honoured(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    coloured = call("run", "rack.yaml")[1]
    assert "\x1b[38;2" in coloured
    assert "\x1b[38;2" not in call("run", "rack.yaml", "--no-color")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[38;2" not in call("run", "rack.yaml")[1]


def test_ctrl_c_is_exit_130_and_says_where_the_report_is(stand_in: Runner, call: Call) -> None:
    stand_in.raises = KeyboardInterrupt()
    code, out, err = call("run", "rack.yaml")
    assert code == 130
    assert "report  out/small/report.html" in out
    assert "stopped" in err


def test_an_error_is_message_and_hint(stand_in: Runner, call: Call) -> None:
    stand_in.raises = HarnessError("no namespace", hint="run as root")
    code, _, err = call("run", "rack.yaml")
    assert (code, err) == (2, "kubeception: no namespace\nhint: run as root\n")


def test_a_bug_is_a_traceback_and_not_a_failure_of_the_subject(stand_in: Runner, call: Call) -> None:
    stand_in.raises = ZeroDivisionError("a bug")
    code, _, err = call("run", "rack.yaml")
    assert code == 2
    assert "Traceback" in err
    assert err.endswith("ZeroDivisionError: a bug\n")


# --- doctor, gc, image


def test_doctor_for_people_names_the_fix_and_ends_with_a_verdict(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Thing("network namespace", Group.NETWORK, "every fabric", "run as root", frozenset((Part.FABRIC,)))
    builder = Thing("mmdebstrap", Group.TOOLS, "makes the testbed OS", "apt-get install mmdebstrap", frozenset((Part.IMAGE,)))
    kvm = Thing("KVM", Group.GUESTS, "fast guests", "buy one")
    findings = [
        network.found(Status.OK, ""),
        builder.found(Status.MISSING, "not installed"),
        kvm.found(Status.MISSING, "not here"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda *_: findings)
    code, out, _ = call("doctor", "namespace")
    assert code == 1
    assert [line.split() for line in out.splitlines() if line.strip()] == [
        ["guests"],
        ["!", "KVM", "not", "here"],
        ["for:", "fast", "guests"],
        ["fix:", "buy", "one"],
        ["network"],
        ["✓", "network", "namespace", "every", "fabric"],
        ["tools"],
        ["✗", "mmdebstrap", "not", "installed"],
        ["for:", "makes", "the", "testbed", "OS"],
        ["fix:", "apt-get", "install", "mmdebstrap"],
        ["drivers"],
        ["✗", "namespace", "mmdebstrap:", "not", "installed"],
        ["namespace", "does", "not", "work", "here"],
    ]


def test_gc_of_an_empty_machine_finds_nothing_of_this_root(program: Program, folder: Path) -> None:
    ran = program("gc", "--dry-run", "--json")
    document = json.loads(ran.stdout)
    assert (ran.returncode, document["dry_run"], document["ok"]) == (0, True, True)
    assert not [one for one in document["leftovers"] if str(folder) in one["name"]]


def test_gc_dry_run_names_what_is_left_and_touches_nothing(program: Program, folder: Path) -> None:
    lab = _dead_lab(folder)
    ran = program("gc", "--dry-run")
    assert ran.returncode == 0
    assert f"would remove directory {lab} of lab 0badf00d" in ran.stdout
    assert lab.is_dir()


def test_gc_in_json_names_each_thing(program: Program, folder: Path) -> None:
    lab = _dead_lab(folder)
    (row,) = [one for one in json.loads(program("gc", "--dry-run", "--json").stdout)["leftovers"] if one["lab"] == "0badf00d"]
    assert row == {
        "kind": "directory",
        "name": str(lab),
        "lab": "0badf00d",
        "detail": "",
        "start": 0,
        "removed": False,
        "problem": "",
    }


def test_image_path_builds_nothing(program: Program, folder: Path) -> None:
    ran = program("image", "path")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"kubeception: no image in {folder / 'cache'}\nhint: kubeception image build\n"


def test_image_verify_says_that_there_is_none(program: Program) -> None:
    ran = program("image", "verify")
    assert ran.returncode == 2
    assert "no such entry" in ran.stderr


def _dead_lab(folder: Path) -> Path:
    """What a run leaves whose machine lost its power."""
    lab = folder / "run" / "0badf00d"
    lab.mkdir(parents=True)
    owner = {"pid": 1, "start": 1, "boot": "an earlier boot"}
    (lab / "lab.json").write_text(
        json.dumps({"id": "0badf00d", "owner": owner, "created_at": "2026-11-22T19:40:00+00:00", "schema": 1})
    )
    return lab
