"""What is known of labs from outside: records, living and dead keepers, and what is asked of them."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kubeception_sim import claims
from kubeception_sim.errors import BadInput, HarnessError
from kubeception_sim.lab import Owner, process_start
from kubeception_sim.scenario import ending, keeper
from kubeception_sim.scenario.keeper import Kept, MachineView, Phase
from kubeception_sim.scenario.wishes import Answer, Arguments, Wish, ask, listen

ONE = MachineView("one", "worker", "a", "10.77.1.11", ("sh",), "/console")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Deeper than a socket's address may be long.
    root = tmp_path / ("deep" * 25) / "labs"
    monkeypatch.setenv("KUBECEPTION_RUN", str(root))
    return root


@contextmanager
def living(name: str, **changes: object) -> Iterator[Kept]:
    """A lab whose keeper is this process."""
    claim = claims.take(name)
    kept = replace(Kept(name, Owner.current(), Phase.UP), **changes)  # type: ignore[arg-type]
    kept.write()
    try:
        yield kept
    finally:
        claims.forget(name, claim)


@contextmanager
def program() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "100"]) as process:
        try:
            yield process
        finally:
            process.kill()


def owner_of(process: "subprocess.Popen[bytes]") -> Owner:
    start = process_start(process.pid)
    assert start is not None
    return Owner(process.pid, start, Owner.current().boot)


def test_a_record_reads_as_it_was_written() -> None:
    with living("lab", machines=(ONE,), kubectl="/kubectl", problem="a\nb") as kept:
        assert Kept.read("lab") == kept
        assert keeper.look("lab") == kept
        assert json.loads(json.dumps(kept.to_data()))["machines"][0]["shell"] == ["sh"]


def test_a_record_is_replaced_whole_or_not_at_all(root: Path) -> None:
    with living("lab") as kept:
        (root / "up" / f"lab.json-{os.getpid()}").mkdir()  # the draft cannot be written
        with pytest.raises(HarnessError, match="cannot write"):
            replace(kept, phase=Phase.FAILED).write()
        assert Kept.read("lab") == kept
        (root / "up" / f"lab.json-{os.getpid()}").rmdir()


@pytest.mark.parametrize(
    "nonsense", ["", "{", "[]", "null", '{"name": "lab"}', '{"machines": [1]}', '{"machines": [], "owner": {}}']
)
def test_nonsense_is_told_and_belongs_to_a_dead_keeper(root: Path, nonsense: str) -> None:
    os.close(claims.take("lab"))
    (root / "up" / "lab.json").write_text(nonsense)
    with pytest.raises(HarnessError, match="not the record of a lab"):
        Kept.read("lab")
    found = keeper.look("lab")
    assert found
    assert (found.phase, "not the record" in found.problem) == (Phase.DEAD, True)


def test_a_name_that_is_held_is_coming_up_before_there_is_a_record() -> None:
    claim = claims.take("lab")
    assert [(kept.name, kept.phase) for kept in keeper.labs()] == [("lab", Phase.COMING_UP)]
    os.close(claim)
    assert [(kept.name, kept.phase) for kept in keeper.labs()] == [("lab", Phase.DEAD)]
    claims.forget("lab", claims.take("lab"))
    assert keeper.labs() == []
    assert keeper.look("lab") is None


def test_a_keeper_that_ends_well_while_one_looks_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at its record and the look at its name it takes both with it."""
    claim = claims.take("lab")
    Kept("lab", Owner(1, 1, "another boot"), Phase.GOING_DOWN).write()
    held = claims.held

    def ends_now(name: str) -> bool:
        claims.forget(name, claim)
        return held(name)

    monkeypatch.setattr(claims, "held", ends_now)
    assert keeper.look("lab") is None


def test_labs_are_found_by_name_or_by_being_the_only_one() -> None:
    with pytest.raises(BadInput, match="no lab is up"):
        keeper.find(None)
    with living("first", machines=(ONE,)) as first:
        assert keeper.find(None) == keeper.find("first") == first
        assert keeper.find_machine("one", None) == (first, ONE)
        with pytest.raises(BadInput, match="no lab 'second' is up"):
            keeper.find("second")
        with living("second", machines=(ONE, replace(ONE, name="two"))) as second:
            assert keeper.find_machine("one", "second") == (second, ONE)
            assert keeper.find_machine("two", None)[0] == second
            with pytest.raises(BadInput, match="several labs are up: first, second"):
                keeper.find(None)
            with pytest.raises(BadInput, match="one is in several labs: first, second"):
                keeper.find_machine("one", None)
            with pytest.raises(BadInput, match="no machine 'three'") as caught:
                keeper.find_machine("three", "second")
            assert caught.value.hint == "machines: one, two"


def test_a_signal_reaches_the_keeper_and_not_who_has_its_pid_now() -> None:
    with program() as process:
        owner = owner_of(process)
        keeper.tell(Kept("lab", replace(owner, start=owner.start - 1), Phase.UP), signal.SIGTERM)
        assert process.poll() is None
        keeper.tell(Kept("lab", owner, Phase.UP), signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
        keeper.tell(Kept("lab", owner, Phase.UP), signal.SIGTERM)


def test_what_is_asked_is_answered_also_by_several_at_once() -> None:
    both = threading.Barrier(2, timeout=10)

    def grant(wish: Wish, arguments: Arguments) -> Answer:
        both.wait()
        return {"wish": wish, **arguments}

    with living("lab"), listen("lab", grant), ask("lab", Wish.STATUS) as one, ask("lab", Wish.MEND, {"a": 1}) as other:
        assert one.answer(10) == {"wish": "status"}
        assert other.answer(10) == {"wish": "mend", "a": 1}


def test_who_waits_for_an_answer_may_look_at_something_else_meanwhile() -> None:
    go = threading.Event()

    def grant(wish: Wish, arguments: Arguments) -> Answer:
        assert go.wait(10)
        return {"ok": True}

    with living("lab"), listen("lab", grant), ask("lab", Wish.MEND) as asked:
        assert asked.answer(0.0) is None
        go.set()
        assert asked.answer(10) == {"ok": True}


def test_a_keeper_that_is_gone_does_not_listen() -> None:
    with living("lab"):
        with listen("lab", lambda wish, arguments: {}):
            pass
        with pytest.raises(HarnessError, match="the keeper of lab does not listen"), ask("lab", Wish.STATUS):
            pass


def test_a_dead_lab_is_ended_without_anybody_to_ask(root: Path) -> None:
    os.close(claims.take("lab"))
    kept = Kept("lab", Owner(1, 1, "another boot"), Phase.DEAD, lab="0123abcd")
    kept.write()
    ended = ending.end(kept, lambda: None)
    assert (ended.killed, ended.swept) == (True, ())
    assert not (root / "up").exists()
