"""The command line of the library: what goes to stdout, what to stderr, and the exit code."""

import doctest
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ignition.butane import convert
from ignition.cli import ignition
from ignition.stages.engine import PLACES

GOOD = '{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/a","contents":{"source":"data:,1"},"mode":420}]}}'
BAD = '{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"a"}]}}'
BUTANE = "variant: fcos\nversion: 1.4.0\nstorage:\n  files:\n    - path: /a\n      mode: 0644\n      contents: {inline: '1'}\n"
TEMPLATE = BUTANE.replace("'1'", '"{{ host.name }} {{ number }}"')


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a few files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, text in {"good.ign": GOOD, "bad.ign": BAD, "good.bu": BUTANE, "template.bu": TEMPLATE}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(*arguments: str, stdin: str | None = None, color: bool = False) -> Result:
    result = CliRunner().invoke(ignition, arguments, input=stdin, color=color)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def seen(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


# validate


def test_validate_is_silent_about_a_good_config() -> None:
    assert seen(run("validate", "good.ign")) == (0, "", "")


def test_validate_says_what_the_tool_says_on_stdout() -> None:
    assert seen(run("validate", "bad.ign")) == (1, "error at $.storage.files.0.path, line 1 col 61: path not absolute\n", "")


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_validate_reads_stdin(arguments: list[str]) -> None:
    assert seen(run("validate", *arguments, stdin=BAD))[:2] == (
        1,
        "error at $.storage.files.0.path, line 1 col 61: path not absolute\n",
    )


def test_validate_of_several_files_names_the_file_of_each_line() -> None:
    result = run("validate", "good.ign", "bad.ign")
    assert seen(result)[:2] == (1, "bad.ign: error at $.storage.files.0.path, line 1 col 61: path not absolute\n")


def test_a_warning_is_no_reason_to_refuse() -> None:
    result = run("validate", stdin='{"ignition":{"version":"3.3.0"},"x":1}')
    assert result.exit_code == 0
    assert result.stdout.startswith("warning at $.x, line 1 col ")


def test_validate_as_json() -> None:
    result = run("validate", "--json", "bad.ign")
    problem = {
        "severity": "error",
        "file": "bad.ign",
        "line": 1,
        "column": 61,
        "path": "$.storage.files.0.path",
        "message": "path not absolute",
        "hint": "",
    }
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"ok": False, "problems": [problem]})


# butane


def test_butane_writes_the_config_to_stdout() -> None:
    code, out, err = seen(run("butane", "good.bu"))
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(GOOD) | {
        "storage": {"files": [{"path": "/a", "contents": {"compression": "", "source": "data:,1"}, "mode": 420}]}
    }


def test_butane_takes_local_files_from_its_folder_only(folder: Path) -> None:
    (folder / "files").mkdir()
    (folder / "files/one").write_text("1")
    text = BUTANE.replace("inline: '1'", "local: one")
    assert run("butane", "-d", "files", stdin=text).stdout == run("butane", "good.bu").stdout
    without = run("butane", stdin=text)
    assert (without.exit_code, without.stdout) == (1, "")
    assert "files-dir" in without.stderr
    assert run("butane", "-d", "nowhere", stdin=text).stderr.startswith("ignition: nowhere: no such directory\nhint: ")


def test_butane_strict_refuses_a_warning() -> None:
    text = BUTANE + "x: 1\n"
    assert run("butane", stdin=text).exit_code == 0
    strict = run("butane", "--strict", stdin=text)
    assert (strict.exit_code, strict.stdout) == (1, "")
    assert "<stdin>:8: warning: $.x: " in strict.stderr


def test_butane_says_it_in_the_words_of_the_tool_when_asked() -> None:
    text = BUTANE.replace("/a", "a")
    assert run("butane", "--raw-errors", stdin=text).stderr == "\n".join(convert(text).messages) + "\n"


def test_butane_check_prints_no_config() -> None:
    assert seen(run("butane", "--check", "good.bu")) == (0, "", "")


def test_an_error_of_butane_names_file_and_line() -> None:
    (code, out, err) = seen(run("butane", stdin=BUTANE.replace("/a", "a")))
    assert (code, out) == (1, "")
    assert re.match(r"<stdin>:5: error: \$\.storage\.files\.0\.path: path not absolute", err)


# merge, translate, migrate, render, diff


def test_merge_lays_children_over_the_parent_in_turn() -> None:
    child = GOOD.replace('"/a"', '"/b"')
    result = run("merge", "good.ign", "-", "--pretty", stdin=child)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [file["path"] for file in json.loads(result.stdout)["storage"]["files"]] == ["/a", "/b"]
    assert result.stdout.startswith('{\n  "ignition"')


def test_merge_reads_stdin_once() -> None:
    result = run("merge", "-", "-", stdin=GOOD)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "Error: stdin can be read only once")


def test_a_merged_config_that_is_not_valid_is_refused(folder: Path) -> None:
    (folder / "link.ign").write_text('{"ignition":{"version":"3.3.0"},"storage":{"links":[{"path":"/d","target":"/x"}]}}')
    (folder / "below.ign").write_text(GOOD.replace('"/a"', '"/d/a"'))
    result = run("merge", "link.ign", "below.ign")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("<merged>:1: error: $.storage.")


def test_translate_goes_to_the_spec_asked_for() -> None:
    assert json.loads(run("translate", "--to", "3.1.0", "good.ign").stdout)["ignition"] == {"version": "3.1.0"}


def test_translate_names_file_and_value_that_an_older_spec_cannot_hold() -> None:
    config = '{"ignition":{"version":"3.3.0"},\n"kernelArguments":{"shouldExist":["quiet"]}}'
    code, out, err = seen(run("translate", "--to", "3.2.0", stdin=config))
    assert (code, out) == (1, "")
    assert re.match(r"<stdin>:2: error: \$\.kernelArguments", err)


def test_translate_to_a_spec_that_there_is_not() -> None:
    code, _, err = seen(run("translate", "--to", "9.9.9", "good.ign"))
    assert (code, err.splitlines()[0]) == (
        1,
        "ignition: the spec asked for is '9.9.9'; known are 3.0.0, 3.1.0, 3.2.0, 3.3.0, 3.4.0, 3.5.0, 3.6.0",
    )


OLD = '{"ignition":{"version":"2.2.0"},"storage":{"files":[{"filesystem":"root","path":"/a","mode":420}]}}'


def test_migrate_reports_every_change_on_stderr() -> None:
    result = run("migrate", "--to", "3.3.0", stdin=OLD)
    assert (result.exit_code, json.loads(result.stdout)["storage"]["files"][0]["path"]) == (0, "/a")
    assert 'filesystem "root", dropped: ' in result.stderr


def test_migrate_reports_every_change_in_json() -> None:
    result = run("migrate", "--to", "3.3.0", "--json", stdin=OLD)
    data = json.loads(result.stdout)
    assert (data["ok"], result.stderr, data["config"]["ignition"]["version"]) == (True, "", "3.3.0")
    assert {change["fate"] for change in data["changes"]} == {"dropped", "changed to"}


def test_migrate_refuses_what_is_not_spec_2() -> None:
    assert seen(run("migrate", "good.ign"))[:2] == (1, "")


def test_render_takes_values_from_a_file_and_the_command_line(folder: Path) -> None:
    (folder / "values.yaml").write_text("host: {name: w1, serial: A1}\nnumber: 7\n")
    result = run("render", "template.bu", "--values", "values.yaml", "--set", "host.name=w2")
    assert json.loads(result.stdout)["storage"]["files"][0]["contents"]["source"] == "data:,w2%207"


def test_render_names_the_line_of_an_undefined_name() -> None:
    code, out, err = seen(run("render", "template.bu", "--set", "number=1"))
    assert (code, out) == (1, "")
    assert re.match(r"template\.bu:7: error: storage\.files\[0\]\.contents\.inline: 'host' is undefined", err)


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--set", "x"], "NAME=VALUE"), (["--set", "a=1", "--set", "a.b=2"], "not a mapping")]
)
def test_a_setting_must_make_sense(arguments: list[str], message: str) -> None:
    result = run("render", "template.bu", *arguments)
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_values_are_a_mapping(folder: Path) -> None:
    (folder / "values.yaml").write_text("[1]")
    assert run("render", "template.bu", "--values", "values.yaml").stderr.startswith("values.yaml:1: error: values are a mapping")


def test_diff_has_the_exit_codes_of_diff() -> None:
    other = GOOD.replace("data:,1", "data:,2")
    assert seen(run("diff", "good.ign", "good.ign")) == (0, "", "")
    different = run("diff", "good.ign", "-", stdin=other)
    assert (different.exit_code, "/a" in different.stdout, different.stderr) == (1, True, "")
    assert run("diff", "good.ign", "bad.ign").exit_code == 2
    assert run("diff", "good.ign", "nowhere.ign").exit_code == 2


def test_diff_as_json() -> None:
    data = json.loads(run("diff", "--json", "good.ign", "-", stdin=GOOD.replace("420", "384")).stdout)
    assert (data["ok"], data["problems"], len(data["changes"])) == (False, [], 1)


# apply


def test_apply_says_what_is_missing(folder: Path) -> None:
    code, out, err = seen(run("apply", "good.ign", ".", "--engine", str(folder / "none")))
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        f"ignition: no Ignition here: tried {folder}/none",
        "hint: install Debian's package ignition, or name the binary",
    ]


def test_apply_does_it(folder: Path) -> None:
    if not any(place.exists() for place in PLACES):
        pytest.skip(f"looked for {', '.join(map(str, PLACES))}; it is in Debian's package ignition")
    (folder / "root").mkdir()
    result = run("apply", "--json", "good.ign", "root")
    data = json.loads(result.stdout)
    assert (result.exit_code, data["ok"], data["root"], data["skipped"]) == (0, True, str(folder / "root"), [])
    assert (folder / "root/a").read_text() == "1"


# What all have in common.


COMMANDS = sorted(set(ignition.commands) - {"completion"})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str) -> None:
    text = run(name, "--help").stdout
    assert f"ignition {name} " in text.split("Examples:")[1]
    assert {"--json", "--no-color"} <= set(re.findall(r"--[a-z-]+", text))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_an_unknown_option(name: str) -> None:
    assert run(name, "--no-such-option").exit_code == 2


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"apply", "diff", "merge"}))
def test_a_file_that_is_not_there_is_no_traceback(name: str) -> None:
    more = ["--to", "3.3.0"] if name == "translate" else []
    assert seen(run(name, *more, "nowhere")) == (1, "", "ignition: nowhere: No such file or directory\n")


def test_json_says_what_is_in_the_way_too() -> None:
    result = run("translate", "--json", "--to", "3.3.0", "nowhere")
    assert json.loads(result.stdout) == {
        "ok": False,
        "problems": [],
        "error": "nowhere: No such file or directory",
        "hint": "",
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    assert "_IGNITION_COMPLETE" in run("completion", shell).stdout


def test_output_is_written_whole_or_not_at_all(folder: Path) -> None:
    out = folder / "out.ign"
    out.write_text("before")
    out.chmod(0o640)
    assert run("butane", stdin="variant: fcos", color=False).exit_code == 1
    assert run("butane", "-o", "out.ign", stdin="variant: fcos").exit_code == 1
    assert out.read_text() == "before"
    assert seen(run("butane", "good.bu", "-o", "out.ign")) == (0, "", "")
    assert (json.loads(out.read_text())["ignition"], out.stat().st_mode & 0o777) == ({"version": "3.3.0"}, 0o640)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_output_to_a_place_that_cannot_be_written() -> None:
    assert seen(run("butane", "good.bu", "-o", "nowhere/out.ign")) == (
        1,
        "",
        "ignition: nowhere/out.ign: No such file or directory\n",
    )


def test_output_may_be_a_device() -> None:
    assert seen(run("butane", "good.bu", "-o", "/dev/null")) == (0, "", "")
    assert not Path("/dev/null").is_file()


def test_colours_are_for_terminals_and_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in run("validate", "bad.ign", color=True).stdout
    assert "\x1b[" not in run("validate", "--no-color", "bad.ign", color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("validate", "bad.ign", color=True).stdout


# As processes.

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def process(*arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run((sys.executable, "-m", "ignition", *arguments), capture_output=True, timeout=30, check=False, **more)


def test_the_module_is_the_command() -> None:
    done = process("validate", input=BAD.encode(), env=ENVIRONMENT)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        b"error at $.storage.files.0.path, line 1 col 61: path not absolute\n",
        b"",
    )


def test_commands_make_a_pipeline() -> None:
    made = process("butane", "good.bu", env=ENVIRONMENT)
    assert process("diff", "-", "-", input=made.stdout, env=ENVIRONMENT).returncode == 2
    assert process("translate", "--to", "3.6.0", input=made.stdout, env=ENVIRONMENT).returncode == 0
    assert process("diff", "good.ign", "-", input=made.stdout, env=ENVIRONMENT).returncode == 0


def imported_by(code: str) -> set[str]:
    """The modules of the package, and the heavy ones of others, that a program has imported at its end."""
    code += "\nimport sys; print(*(name for name in sys.modules if name.startswith(('ignition.', 'jinja2'))))"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=30, check=True, env=ENVIRONMENT)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_imports_none_of_its_modules() -> None:
    assert imported_by("import ignition; print()") == set()


def test_a_name_imports_what_it_needs_alone() -> None:
    found = imported_by("import ignition; ignition.validate(b'')")
    assert "ignition.rules" in found
    assert not found & {"ignition.stages", "ignition.render", "jinja2"}


def test_help_imports_nothing_heavy() -> None:
    found = imported_by("from ignition.cli import ignition; ignition(['--help'], standalone_mode=False)")
    assert not found & {"ignition.rules", "ignition.model", "ignition.stages", "jinja2"}


def test_ctrl_c_ends_it_without_a_traceback(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    argv = (sys.executable, "-m", "ignition", "validate", "pipe")
    # Opening this end of the pipe returns once the command has opened its own.
    with subprocess.Popen(argv, stderr=subprocess.PIPE, env=ENVIRONMENT) as child, open(folder / "pipe", "wb"):
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err.strip()) == (130, b"stopped")


def test_a_terminal_gets_colours() -> None:
    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            (sys.executable, "-m", "ignition", "validate", "bad.ign"), stdout=follower, timeout=30, check=False, env=ENVIRONMENT
        )
        assert (done.returncode, os.read(leader, 1000)[:5]) == (1, b"\x1b[31m")
    finally:
        os.close(leader)
        os.close(follower)


# The documentation.

PAGE = Path(__file__).parents[2] / "docs/ignition.md"


def test_the_commands_of_the_documentation_print_what_it_shows(folder: Path) -> None:
    if not any(place.exists() for place in PLACES):
        pytest.skip(f"looked for {', '.join(map(str, PLACES))}; it is in Debian's package ignition")
    page = PAGE.read_text()
    for name, text in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(text)
    (folder / "root").mkdir()
    shown = "".join(re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    commands = re.findall(r"^\$ ignition (.*)$", shown, re.MULTILINE)
    assert len(commands) > 5
    assert "".join(f"$ ignition {line}\n{run(*shlex.split(line)).output}" for line in commands) == shown


def test_the_python_of_the_documentation_does_what_it_shows() -> None:
    # Fences would be taken for output.
    text = re.sub(r"^```.*$", "", PAGE.read_text(), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    found: list[str] = []
    assert doctest.DocTestRunner().run(examples, out=found.append).attempted > 10
    assert "".join(found) == ""
