"""The door to subprocess: what goes in, what comes out, and that nothing stays behind."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kubeception_sim.errors import CommandFailed, DeadlineExceeded, MissingTool
from kubeception_sim.run import Process, require, run, spawn

# A child that ignores SIGTERM, and says when it is ready to.
STUBBORN = ("bash", "-c", "trap '' TERM; echo ready; while :; do read -t 1 x || :; done")


def alive(pid: int) -> bool:
    """Whether the process runs: neither gone nor a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def said(process: Process, word: str) -> None:
    until(lambda: word in process.tail(), f"{word!r} in {process.tail()!r}")


def test_output_and_code_are_returned() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10, check=False)
    assert (done.code, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert done.argv == ("sh", "-c", "echo out; echo err >&2; exit 3")
    assert 0 < done.seconds < 10


def test_arguments_never_meet_a_shell() -> None:
    assert run(["printf", "%s|", "$HOME", "a b", ";"], timeout=10).stdout == "$HOME|a b|;|"


def test_stdin_is_given_or_empty() -> None:
    assert run(["cat"], timeout=10, stdin=b"text").stdout == "text"
    assert run(["cat"], timeout=10).stdout == ""


def test_output_that_is_not_utf8_is_replaced_not_fatal() -> None:
    assert run(["printf", r"\377"], timeout=10).stdout == "\N{REPLACEMENT CHARACTER}"


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    names = {line.partition("=")[0] for line in run(["env"], timeout=10, env={"GIVEN": "1"}).stdout.splitlines()}
    assert names == {"PATH", "HOME", "LANG", "TERM", "GIVEN"}


def test_the_working_directory_is_given(tmp_path: Path) -> None:
    assert run(["pwd"], timeout=10, cwd=tmp_path).stdout == f"{tmp_path}\n"


def test_a_failure_is_reported_as_a_line_to_paste_with_the_end_of_its_output(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as failure:
        run(["sh", "-c", "seq 100 >&2; exit 4"], timeout=10, env={"A": "x y"}, cwd=tmp_path)
    head, *tail = failure.value.message.splitlines()
    assert head == f"exit 4: cd {tmp_path} && env 'A=x y' sh -c 'seq 100 >&2; exit 4'"
    assert tail == [str(number) for number in range(81, 101)]


@pytest.mark.parametrize(
    ("script", "verdict"),
    [("exit 127", "program not found (exit 127): "), ("kill -SEGV $$", "ended by SIGSEGV: "), ("exit 1", "exit 1: ")],
)
def test_each_way_to_fail_has_its_own_words(script: str, verdict: str) -> None:
    with pytest.raises(CommandFailed) as failure:
        run(["sh", "-c", script], timeout=10)
    assert failure.value.message.startswith(verdict)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file or directory: no-such-program"):
        run(["no-such-program"], timeout=10)
    with (
        pytest.raises(CommandFailed, match="no such program: no-such-program"),
        spawn(["no-such-program"], log=tmp_path / "log"),
    ):
        pass


def test_the_time_limit_kills_the_whole_group_and_keeps_the_output(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with pytest.raises(DeadlineExceeded) as failure:
        run(["sh", "-c", f"sleep 60 & echo $! > {pidfile}; echo waiting >&2; wait"], timeout=0.5)
    assert failure.value.message.startswith("no end after 0.5 s: sh -c")
    assert failure.value.message.endswith("\nwaiting")
    grandchild = int(pidfile.read_text())
    until(lambda: not alive(grandchild), "grandchild killed")


def test_spawned_output_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("first", "second"):
        with spawn(["sh", "-c", f"echo {word}; echo {word}-err >&2"], log=log) as process:
            assert process.wait(10) == 0
    assert log.read_text() == "first\nfirst-err\nsecond\nsecond-err\n"


def test_a_running_process_has_no_code_yet_and_keeps_it_once_it_has(tmp_path: Path) -> None:
    with spawn(["sleep", "60"], log=tmp_path / "log") as process:
        assert process.poll() is None
        assert process.argv == ("sleep", "60")
        with pytest.raises(DeadlineExceeded, match=r"still running after 0\.05 s: sleep 60"):
            process.wait(0.05)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    assert process.poll() == -signal.SIGKILL


def test_leaving_the_block_ends_a_polite_child_by_sigterm(tmp_path: Path) -> None:
    script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do read -t 1 x || :; done"
    with spawn(["bash", "-c", script], log=tmp_path / "log") as process:
        said(process, "ready")
    assert (process.poll(), process.tail()) == (7, "ready\nbye")


def test_leaving_the_block_kills_a_child_that_ignores_sigterm(tmp_path: Path) -> None:
    with spawn(STUBBORN, log=tmp_path / "log", grace=0.1) as process:
        said(process, "ready")
    assert process.poll() == -signal.SIGKILL


def test_leaving_the_block_leaves_no_grandchild(tmp_path: Path) -> None:
    with spawn(["sh", "-c", "sleep 60 & echo $!; wait"], log=tmp_path / "log") as process:
        until(lambda: process.tail().isdigit(), "the grandchild's pid")
    grandchild = int(process.tail())
    until(lambda: not alive(grandchild), "grandchild killed")


def test_an_interrupt_inside_the_block_ends_the_child(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), spawn(["sleep", "60"], log=tmp_path / "log") as process:
        raise KeyboardInterrupt
    assert process.poll() == -signal.SIGTERM


def test_a_child_outlives_the_thread_that_spawned_it(tmp_path: Path) -> None:
    blocks = []

    def start() -> None:
        block = spawn(["sleep", "60"], log=tmp_path / "log")
        blocks.append((block, block.__enter__()))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    ((block, process),) = blocks
    try:
        # Long enough for a death signal to arrive: it is sent while the thread is being torn down, before join returns.
        with pytest.raises(DeadlineExceeded):
            process.wait(0.2)
    finally:
        block.__exit__(None, None, None)


def test_a_child_dies_with_the_harness(tmp_path: Path) -> None:
    log = tmp_path / "log"
    harness = (
        "import os, signal, sys; from pathlib import Path; from kubeception_sim.run import spawn\n"
        f"with spawn(['sh', '-c', 'echo $$; exec sleep 60'], log=Path({str(log)!r})) as process:\n"
        "    while not process.tail(): pass\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = run([sys.executable, "-c", harness], timeout=20, check=False, cwd=Path(__file__).parents[2])
    assert done.code == -signal.SIGKILL
    until(lambda: not alive(int(log.read_text())), "child ended with the harness")


def test_descriptors_are_passed_on_request(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with spawn(["bash", "-c", f"echo through >&{writer}"], log=tmp_path / "log", pass_fds=[writer]) as process:
        os.close(writer)
        assert process.wait(10) == 0
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "through\n"


def test_a_missing_tool_says_how_to_install_it() -> None:
    assert require("sh", "dash").name == "sh"
    with pytest.raises(MissingTool) as failure:
        require("no-such-tool", "some-package")
    assert failure.value.message == "no-such-tool: not installed"
    assert failure.value.hint == "apt-get install -y --no-install-recommends some-package"
