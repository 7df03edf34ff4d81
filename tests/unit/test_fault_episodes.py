"""Faults of a run as a list: all that last are ended, the latest first, and one that cannot be ended lasts."""

import pytest

from kubeception_sim.errors import CommandFailed
from kubeception_sim.faults.fault import Fault
from kubeception_sim.scenario.faulting import Episode, end_all


class Broken(Fault):
    """Writes its name down when it ends, unless it is stuck."""

    def __init__(self, name: str, ends: list[str], *, stuck: bool = False) -> None:
        super().__init__()
        self.name, self.ends, self.stuck = name, ends, stuck

    def _break(self) -> None:
        pass

    def _restore(self) -> None:
        if self.stuck:
            raise CommandFailed(f"{self.name} is stuck")
        self.ends.append(self.name)


def begun(name: str, ends: list[str], *, stuck: bool = False) -> Episode:
    fault = Broken(name, ends, stuck=stuck)
    fault.begin()
    return Episode(name, fault, 1.0)


def test_the_latest_fault_ends_first_and_when_is_written_down() -> None:
    ends: list[str] = []
    said: list[str] = []
    episodes = [begun(name, ends) for name in ("a", "b", "c")]
    episodes[1].end(lambda: 2.0)
    assert end_all(episodes, lambda: 3.0, said.append)
    assert ends == ["b", "c", "a"]
    assert said == ["ending the fault c", "ending the fault a"]
    assert [episode.ended for episode in episodes] == [3.0, 2.0, 3.0]
    assert not any(episode.fault.active for episode in episodes)


def test_nothing_is_said_of_faults_that_are_over() -> None:
    said: list[str] = []
    episode = begun("a", [])
    episode.end(lambda: 2.0)
    assert not end_all([episode], lambda: 3.0, said.append)
    assert (said, episode.ended) == ([], 2.0)


def test_a_fault_that_cannot_be_ended_lasts_and_is_tried_again() -> None:
    ends: list[str] = []
    first, second = begun("first", ends), begun("second", ends)
    assert isinstance(first.fault, Broken)
    first.fault.stuck = True
    with pytest.raises(CommandFailed, match="first is stuck"):
        end_all([first, second], lambda: 3.0, lambda _: None)
    assert (first.lasts, second.lasts) == (True, False)
    first.fault.stuck = False
    assert end_all([first, second], lambda: 4.0, lambda _: None)
    assert (first.ended, second.ended, ends) == (4.0, 3.0, ["second", "first"])
