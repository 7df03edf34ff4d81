"""A program that outlives us: what it inherits, what it does not, and which signals reach it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kubeception_sim.errors import CommandFailed
from kubeception_sim.run import Detached, detach


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def ended(program: Detached) -> int:
    codes: list[int] = []

    def over() -> bool:
        code = program.poll()
        codes.extend([] if code is None else [code])
        return bool(codes)

    until(over, "it has not ended")
    return codes[0]


def test_code_and_output_are_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    program = detach(["sh", "-c", "echo out; echo err >&2; exit 7"], log=log)
    assert ended(program) == 7
    assert log.read_text() == "before\nout\nerr\n"


def test_it_leads_a_session_of_its_own_and_outlives_who_started_it(tmp_path: Path) -> None:
    log, fifo = tmp_path / "log", tmp_path / "fifo"
    os.mkfifo(fifo)
    script = (
        "import os; from pathlib import Path; from kubeception_sim.run import detach\n"
        "print(detach(['sh', '-c', 'echo ready; read x < fifo'], log=Path('log')).pid, os.getsid(0))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    starter = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    pid, session = map(int, starter.stdout.split())
    until(lambda: log.exists() and "ready" in log.read_text(), "it has not begun")
    assert os.getsid(pid) == pid != session
    fifo.write_text("go\n")  # blocks until it reads


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_we_ignore_it_hears(tmp_path: Path, number: signal.Signals) -> None:
    """Such as those that nohup(1), or a shell for a job in the background, has us ignore."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        program = detach(["sleep", "100"], log=tmp_path / "log")
    finally:
        signal.signal(number, before)
    os.kill(program.pid, number)
    assert ended(program) == -number


def test_terminate_asks_it_to_end(tmp_path: Path) -> None:
    program = detach(["sleep", "100"], log=tmp_path / "log")
    assert program.poll() is None
    program.terminate()
    assert ended(program) == -signal.SIGTERM


def test_it_inherits_the_named_descriptors_and_the_environment_it_is_given_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    read, write = os.pipe()
    other = os.dup(write)
    script = f"echo $SECRET$GIVEN >/proc/self/fd/{write}; ls /proc/self/fd"
    log = tmp_path / "log"
    assert ended(detach(["sh", "-c", script], log=log, env={"GIVEN": "y"}, pass_fds=[write])) == 0
    assert not os.get_inheritable(write), "nobody else inherits it"
    os.close(write)
    os.close(other)
    assert os.read(read, 10) == b"y\n"
    os.close(read)
    assert {"0", "1", "2", str(write)} <= set(log.read_text().split())
    assert str(other) not in log.read_text().split()


def test_what_cannot_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no such program: nonsuch"):
        detach(["nonsuch"], log=tmp_path / "log")
    with pytest.raises(CommandFailed, match="cannot start"):
        detach(["sh"], log=tmp_path / "no" / "folder" / "log")
