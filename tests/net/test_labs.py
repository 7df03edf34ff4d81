"""Labs that stay, with fake machines: a real keeper, a real mayu, real packets, and everything that can happen to them."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kubeception_sim.run import run
from tests.labs import BROKEN, DEADLINE, FAILING, SMALL, WAITING, Labs, alive, processes_of, until
from tests.rack import kubeception


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Labs]:
    made = Labs(tmp_path)
    with made.leaving_nothing():
        yield made


def fill(ballast: Path) -> None:
    """Take what is left of a disk, page by page."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def plugged(labs: Labs) -> dict[str, bool]:
    """By its name, whether a machine's cable is in."""
    found = run(["ip", "-json", "-netns", f"kc-{labs.record('small')['lab']}-fabric", "link"], timeout=10).stdout
    return {link["ifalias"]: "UP" in link["flags"] for link in json.loads(found) if "ifalias" in link}


def coming_up(labs: Labs, *words: str) -> "subprocess.Popen[str]":
    """An `up` that has machines with power, and would wait long."""
    process = labs.start("up", labs.scenario(text=WAITING), *words)
    log = labs.root / "up" / "small.log"
    until(lambda: log.exists() and " s  await " in log.read_text(), lambda: labs.files())
    return process


def test_a_lab_comes_up_stays_and_goes_down(labs: Labs) -> None:
    said = labs.run("up", labs.scenario()).stdout
    assert "kubeception down small" in said, "it says how to go on"
    found = labs.status(code=0)
    assert (found["schema"], found["ok"]) == (1, True)
    (lab,) = found["labs"]
    assert (lab["name"], lab["phase"], lab["driver"], lab["problems"]) == ("small", "up", "fake", [])
    assert [(each["name"], each["power"], each["state"]) for each in lab["machines"]] == [
        ("one", "running", "running"),
        ("two", "running", "running"),
    ]
    assert "small" in labs.run("status").stdout
    assert "small is down" in labs.run("down").stdout
    assert labs.files() == []
    report = json.loads((labs.folder / "out" / "small" / "report.json").read_text())
    assert report["verdict"] == "pass"
    assert "up; how to go on" in (labs.folder / "out" / "small" / "logs" / "keeper.log").read_text()
    assert "small is not up" in labs.run("down", "small").stdout
    assert "no lab is up" in labs.run("down").stdout
    assert labs.status(code=0) == {"schema": 1, "ok": True, "labs": []}


def test_programs_are_told_in_json_and_nothing_else_is_on_stdout(labs: Labs) -> None:
    up = json.loads(labs.run("up", labs.scenario(), "--json").stdout)
    assert (up["schema"], up["ok"], up["lab"]["phase"]) == (1, True, "up")
    assert [machine["name"] for machine in up["lab"]["machines"]] == ["one", "two"]
    assert Path(up["lab"]["directory"]).parent == labs.root
    down = json.loads(labs.run("down", "--json").stdout)
    assert [(each["name"], each["killed"], each["swept"]) for each in down["labs"]] == [("small", False, [])]


def test_up_again_finds_nothing_missing_and_brings_back_a_killed_machine(labs: Labs) -> None:
    scenario = labs.scenario()
    labs.run("up", scenario)
    assert "nothing was missing" in labs.run("up", scenario).stdout
    (one,) = processes_of(labs.record("small")["lab"], "KC-one", labs.root)
    os.kill(one, signal.SIGKILL)
    until(lambda: not alive(one), lambda: f"{one} lives")
    (lab,) = labs.status("small", code=1)["labs"]
    assert lab["problems"] == ["one is broken"]
    again = labs.run("up", scenario).stdout
    assert "starting one (broken)" in again
    assert "two" not in again, "what runs is not touched"
    labs.status("small", code=0)
    scenario.write_text(scenario.read_text() + "# changed\n")
    assert "is not what the lab was made of" in labs.run("up", scenario).stderr
    labs.run("down")


def test_up_again_ends_the_faults_that_the_steps_have_begun(labs: Labs) -> None:
    scenario = labs.scenario(text=BROKEN)
    labs.run("up", scenario)
    assert plugged(labs) == {"one": False, "two": True}
    again = labs.run("up", scenario).stdout
    assert "ending the fault torn" in again
    assert "all is back" in again
    assert plugged(labs) == {"one": True, "two": True}
    assert "nothing was missing" in labs.run("up", scenario).stdout
    labs.run("down")


def test_ctrl_c_while_it_comes_up_takes_all_down(labs: Labs) -> None:
    process = coming_up(labs)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, said
    assert "taking it down" in said
    assert labs.files() == []
    assert json.loads((labs.folder / "out" / "small" / "report.json").read_text())["error"] == "interrupted"


def test_ctrl_c_before_the_keeper_can_hear_it_leaves_nothing(labs: Labs) -> None:
    """Right after its name is held: the keeper is a Python that has just begun, or not even that."""
    process = labs.start("up", labs.scenario())
    until(lambda: (labs.root / "up" / "small.log").exists(), labs.files)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, said
    assert labs.files() == []


def test_down_takes_down_what_comes_up_and_up_says_so(labs: Labs) -> None:
    process = coming_up(labs)
    assert "small is down" in labs.run("down").stdout
    said, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, said


def test_a_signal_that_another_thread_of_the_keeper_takes_is_heard(labs: Labs) -> None:
    """Python acts upon signals in the main thread alone, which must not sleep through it."""
    labs.run("up", labs.scenario())
    pid = int(labs.record("small")["owner"]["pid"])
    other = max(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if int(task.name) != pid)
    os.kill(other, signal.SIGTERM)  # kill(2) with the id of a thread: the kernel asks that one first
    until(lambda: not labs.files(), labs.files, seconds=20)


def test_two_ups_of_one_file_are_one_lab(labs: Labs) -> None:
    scenario = labs.scenario()
    both = [labs.start("up", scenario) for _ in range(2)]
    said = [process.communicate(timeout=DEADLINE)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len([text for text in said if "what is missing is put right" in text]) == 1, said
    assert len(labs.status(code=0)["labs"]) == 1
    two = [labs.start("down") for _ in range(2)]
    said = [process.communicate(timeout=DEADLINE)[0] for process in two]
    assert [process.returncode for process in two] == [0, 0], said
    assert "killed" not in "".join(said)


def test_two_labs_at_once_do_not_meet(labs: Labs) -> None:
    for name in ("first", "second"):
        labs.run("up", labs.scenario(name))
    assert [lab["name"] for lab in labs.status(code=0)["labs"]] == ["first", "second"]
    assert "several labs are up: first, second" in labs.run("down", code=3).stderr
    assert "one is in several labs: first, second" in labs.run("logs", "one", code=3).stderr
    os.kill(int(labs.record("first")["owner"]["pid"]), signal.SIGTERM)  # the signal alone does it too
    until(lambda: len(labs.status()["labs"]) == 1, labs.files)
    labs.run("up", labs.scenario("first"))
    assert {"first is down", "second is down"} == {
        line.partition(",")[0] for line in labs.run("down", "--all").stdout.splitlines()
    }


def test_what_a_killed_keeper_left_is_told_and_removed(labs: Labs) -> None:
    labs.run("up", labs.scenario())
    labs.kill_keeper("small")
    (lab,) = labs.status("small", code=1)["labs"]
    assert (lab["phase"], lab["problems"]) == ("dead", ["its keeper was killed: kubeception down small"])
    assert "was killed" in labs.run("shell", "one", code=3).stderr
    assert "removed namespace" in labs.run("down").stdout
    assert labs.files() == []


def test_up_removes_what_a_killed_keeper_left_and_begins_anew(labs: Labs) -> None:
    labs.run("up", labs.scenario())
    before = labs.record("small")["lab"]
    labs.kill_keeper("small")
    assert "was killed; removing what it left" in labs.run("up", labs.scenario()).stdout
    assert labs.record("small")["lab"] != before
    assert not processes_of(before, "", labs.root)
    labs.run("down")


def test_a_record_that_was_half_written_is_told_and_removed(labs: Labs) -> None:
    labs.run("up", labs.scenario())
    record = labs.root / "up" / "small.json"
    labs.kill_keeper("small")
    record.write_text(record.read_text()[:100])
    (lab,) = labs.status("small", code=1)["labs"]
    assert lab["phase"] == "dead"
    assert "not the record of a lab" in lab["problems"][0]
    assert "kubeception gc finds it" in labs.run("down", "small").stdout
    assert "namespace" in labs.collect()


def test_a_step_that_fails_takes_all_down(labs: Labs) -> None:
    failed = labs.run("up", labs.scenario(text=FAILING), code=1)
    assert "not failed within 1s" in failed.stdout
    assert labs.files() == []


def test_with_keep_a_failed_lab_stays_and_can_be_looked_into(labs: Labs) -> None:
    failed = labs.run("up", labs.scenario(text=FAILING), "--keep", code=1)
    assert "all that came up stays; how to look inside:" in failed.stdout
    (lab,) = labs.status("small", code=1)["labs"]
    assert lab["phase"] == "failed"
    assert "not failed within 1s" in lab["problems"][0]
    assert "firmware: 10.77.0.11/24" in labs.run("logs", "one").stdout
    assert "nothing was missing" in labs.run("up", labs.scenario(text=FAILING)).stdout, "what was missing then is there now"
    labs.run("down")


def test_a_broken_environment_is_told_and_leaves_nothing(labs: Labs) -> None:
    labs.env["KUBECEPTION_RUN"] = "/proc/labs"
    assert "cannot write /proc/labs/up/small.lock" in labs.run("up", labs.scenario(), code=2).stderr


def test_logs_are_those_of_keeper_mayu_and_machines(labs: Labs) -> None:
    labs.run("up", labs.scenario())
    assert "await all running" in labs.run("logs").stdout
    assert labs.run("logs", "mayu").stdout == (Path(labs.record("small")["directory"]) / "mayu.log").read_text() != ""
    assert "firmware: 10.77.0.11/24" in labs.run("logs", "one").stdout
    assert "no machine 'three'" in labs.run("logs", "three", code=3).stderr
    following = labs.start("logs", "--follow")
    labs.run("down")
    assert "await all running" in following.communicate(timeout=DEADLINE)[0]


def test_what_a_lab_does_not_have_is_bad_input(labs: Labs) -> None:
    assert "no machine 'one'" in labs.run("shell", "one", "--", "true", code=3).stderr
    assert "no lab 'none' is up" in labs.run("status", "none", code=3).stderr
    labs.run("up", labs.scenario())
    assert "no lab 'none' is up" in labs.run("status", "none", code=3).stderr
    assert "one has no shell: it is a machine of the driver fake" in labs.run("shell", "one", code=3).stderr
    assert "small has no cluster" in labs.run("kubectl", "get", "nodes", code=3).stderr
    assert "small has no cluster" in labs.run("kubeconfig", code=3).stderr
    assert "a name or --all" in labs.run("down", "small", "--all", code=3).stderr
    labs.run("down")


def test_a_lab_outlives_the_terminal_it_was_brought_up_at(labs: Labs) -> None:
    """The terminal is closed while it comes up: the kernel sends SIGHUP to all that hangs on it."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(labs.folder)
        os.execve(kubeception()[0], kubeception("up", labs.scenario()), labs.env)
    until(lambda: bool(labs.phase("small")), labs.files)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGHUP
    until(lambda: labs.phase("small") == "up", lambda: labs.phase("small"))
    labs.status(code=0)
    labs.run("down")


def test_a_full_disk_under_the_log_does_not_take_a_lab_down(labs: Labs) -> None:
    """The log is on a file system that is full by the time that the lab is up; its record still fits."""
    up = labs.root / "up"
    up.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", up], check=True)
    try:
        labs.run("up", labs.scenario())
        ballast = up / "small.ballast"
        fill(ballast)
        (one,) = processes_of(labs.record("small")["lab"], "KC-one", labs.root)
        os.kill(one, signal.SIGKILL)
        until(lambda: not alive(one), lambda: f"{one} lives")
        assert "No space left" in labs.run("up", labs.scenario(), code=1).stderr, "the record cannot be written"
        (lab,) = labs.status("small", code=None)["labs"]
        assert {machine["state"] for machine in lab["machines"]} == {"running"}, "but all is mended"
        ballast.unlink()
        labs.run("up", labs.scenario())
        labs.status("small", code=0)
        labs.run("down")
    finally:
        labs.run("down", "--all", code=None)
        subprocess.run(["umount", up], check=True)
        up.rmdir()


def test_paths_in_a_scenario_are_relative_to_its_file_wherever_one_stands(labs: Labs) -> None:
    folder = labs.folder / "deep"
    folder.mkdir()
    (folder / "node.bu").write_text("variant: fcos\nversion: 1.4.0\n")
    (folder / "small.yaml").write_text("""\
schema: 1
name: small
driver: fake
profiles: [{name: node, ignition: node.bu}]
machines: [{name: one, address: 10.77.0.11, profile: node}]
""")
    labs.run("up", "deep/small.yaml", "--out", "elsewhere")
    record = labs.record("small")
    assert (record["file"], record["report"]) == (str(folder / "small.yaml"), str(labs.folder / "elsewhere"))
    labs.run("down")
    assert (labs.folder / "elsewhere" / "report.html").is_file()


def test_a_run_that_failed_on_a_terminal_is_held_for_a_look_inside(labs: Labs) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(labs.folder)
        os.execve(kubeception()[0], kubeception("run", "--keep", labs.scenario(text=FAILING)), labs.env)
    said = b""
    while b"kubeception down small" not in said:
        said += os.read(terminal, 65536)
    until(lambda: labs.phase("small") == "failed", lambda: labs.phase("small"))
    assert labs.status("small", code=1)["labs"][0]["machines"][0]["power"] == "running"
    os.write(terminal, b"\x03")
    while True:
        try:
            if not os.read(terminal, 65536):
                break
        except OSError:  # how Linux says that nobody holds the other end any more
            break
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert not (labs.root / "up").exists()
    labs.collect()


def test_the_scenarios_own_steps_are_done_by_default(labs: Labs) -> None:
    assert "steps" not in SMALL
    assert "await           all running within 10m" in labs.run("up", labs.scenario()).stdout
    labs.run("down")
