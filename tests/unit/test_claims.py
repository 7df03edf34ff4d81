"""Names that one process at a time holds: never two holders, nothing left of the forgotten."""

import fcntl
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from kubeception_sim import claims
from kubeception_sim.errors import BadInput, HarnessError

NAMES = st.sampled_from(["a", "a-b", "outer-cluster"])


class Claims(RuleBasedStateMachine):
    """Against a plain dictionary: who holds what, and which names have files."""

    holders = Bundle("holders")

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.root = Path(self._temporary.name)
        self.held: dict[str, int] = {}
        self.left: set[str] = set()

    @rule(target=holders, name=NAMES)
    def take(self, name: str) -> str:
        if name in self.held:
            with pytest.raises(BadInput, match=f"^{name} is held by another process$"):
                claims.take(name, self.root)
        else:
            self.held[name] = claims.take(name, self.root)
            self.left.discard(name)
        return name

    @rule(name=consumes(holders))
    def leave_a_note_and_forget(self, name: str) -> None:
        if name in self.held:
            claims.file(name, "json", self.root).touch()
            claims.file(name, "json-17", self.root).touch()
            claims.forget(name, self.held.pop(name), self.root)

    @rule(name=consumes(holders))
    def die(self, name: str) -> None:
        """The kernel closes what a process had open, and removes nothing."""
        if name in self.held:
            os.close(self.held.pop(name))
            self.left.add(name)

    @invariant()
    def the_living_are_told_from_the_dead(self) -> None:
        assert claims.names(self.root) == sorted({*self.held, *self.left})
        for name in ("a", "a-b", "outer-cluster"):
            assert claims.held(name, self.root) == (name in self.held)

    @invariant()
    def nothing_is_left_of_the_forgotten(self) -> None:
        if not self.held and not self.left:
            assert list(self.root.rglob("*")) == []

    def teardown(self) -> None:
        for descriptor in self.held.values():
            os.close(descriptor)
        self._temporary.cleanup()


Claims.TestCase.settings = settings(
    max_examples=30, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestClaims = Claims.TestCase


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_PATIENCE_SECONDS", 0.0)


def test_a_lock_whose_file_was_removed_meanwhile_guards_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder forgets the name between our open() and our flock(): who comes third must not be let in beside us."""
    first = claims.take("a", tmp_path)
    flock = fcntl.flock

    def forgotten_meanwhile(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        claims.forget("a", first, tmp_path)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", forgotten_meanwhile)
    second = claims.take("a", tmp_path)
    with pytest.raises(BadInput):
        claims.take("a", tmp_path)
    claims.forget("a", second, tmp_path)


def test_a_claim_lives_in_whoever_inherits_it(tmp_path: Path) -> None:
    descriptor = claims.take("a", tmp_path)
    inherited = os.dup(descriptor)
    os.close(descriptor)
    assert claims.held("a", tmp_path)
    os.close(inherited)
    assert not claims.held("a", tmp_path)


def test_a_claim_is_not_inherited_by_chance(tmp_path: Path) -> None:
    descriptor = claims.take("a", tmp_path)
    assert not os.get_inheritable(descriptor)
    claims.forget("a", descriptor, tmp_path)


def test_one_name_is_not_the_beginning_of_another(tmp_path: Path) -> None:
    short, long = claims.take("a", tmp_path), claims.take("a-b", tmp_path)
    claims.forget("a", short, tmp_path)
    assert claims.names(tmp_path) == ["a-b"]
    assert claims.held("a-b", tmp_path)
    claims.forget("a-b", long, tmp_path)


def test_where_nothing_can_be_written_the_hint_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "up").write_text("a file")
    with pytest.raises(HarnessError, match="cannot write") as caught:
        claims.take("a", tmp_path)
    assert "KUBECEPTION_RUN" in caught.value.hint
    with pytest.raises(HarnessError, match="cannot look into"):
        claims.names(tmp_path)


def test_where_no_folder_can_ever_be_one_does_not_try_for_ever() -> None:
    with pytest.raises(HarnessError, match=r"cannot write /proc/labs/up/a\.lock: No such file"):
        claims.take("a", Path("/proc/labs"))
