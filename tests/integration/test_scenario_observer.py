"""The observer turns mayu's history into timelines, and says so when there is none to be had."""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from ignition.document import Duration
from kubeception_sim.errors import HarnessError
from kubeception_sim.model.boot import HostState, Stage
from kubeception_sim.model.scenario import Machine, PowerOn, Profile, Scenario
from kubeception_sim.scenario import observer as subject
from kubeception_sim.scenario.observer import Clock, Observer
from kubeception_sim.scenario.subject import Mayu

SCENARIO = Scenario(
    schema=1,
    name="one",
    profiles=(Profile("node", Path("node.bu")),),
    machines=(Machine("one", "KC-1", IPv4Address("10.77.0.11"), "node"),),
    steps=(PowerOn("power-on", stagger=Duration(0)),),
)


class Recorded(Mayu):
    """A mayu whose history is a list, and which can fall silent or die."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.silent = ""
        self.dead = ""

    def add(self, clock_ns: int, kind: str, **detail: object) -> None:
        row = {"id": len(self.rows) + 1, "monotonic_ns": clock_ns, "serial": "KC-1", "kind": kind, "detail": detail}
        self.rows.append(row)

    def get(self, path: str) -> Any:
        if self.silent or self.dead:
            raise HarnessError(self.silent or "refused")
        after = int(path.rpartition("=")[2])
        return [row for row in self.rows if row["id"] > after]

    def death(self) -> str:
        return self.dead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mayu() -> Recorded:
    return Recorded()


@pytest.fixture
def observer(clock: Clock, mayu: Recorded, monkeypatch: pytest.MonkeyPatch) -> Iterator[Observer]:
    monkeypatch.setattr(subject, "POLL_SECONDS", 0.01)
    made = Observer(SCENARIO, clock)
    made.update("one", lambda line: line.power_on(0.0))
    with made.follow(mayu):
        yield made


def _ns(clock: Clock, seconds: float) -> int:
    """The reading of the monotonic clock at `seconds` of the run."""
    return round((seconds - clock.at(0)) * 1e9)


def test_the_history_becomes_a_timeline(observer: Observer, mayu: Recorded, clock: Clock) -> None:
    mayu.add(_ns(clock, 2.0), "stage", stage="dhcp")
    mayu.add(_ns(clock, 3.5), "state", **{"from": "configured", "to": "installing"})
    assert observer.wait(lambda lines: lines["one"].state is HostState.INSTALLING, clock.now() + 5)
    assert observer.timelines["one"].since_power_on(Stage.DHCP) == pytest.approx(2.0)


def test_a_machine_of_nobodys_is_no_news(observer: Observer, mayu: Recorded, clock: Clock) -> None:
    mayu.add(_ns(clock, 1.0), "stage", stage="dhcp")
    mayu.rows[0]["serial"] = "SOMEBODY-ELSE"
    mayu.add(_ns(clock, 2.0), "stage", stage="tftp")
    assert observer.wait(lambda lines: Stage.TFTP in lines["one"].stages, clock.now() + 5)
    assert list(observer.timelines["one"].stages) == [Stage.TFTP]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row["detail"].update(to="hibernating"),
        lambda row: row["detail"].clear(),
        lambda row: row.pop("monotonic_ns"),
        lambda row: row.update(detail=None),
    ],
)
def test_an_event_that_makes_no_sense_ends_every_wait(
    observer: Observer, mayu: Recorded, clock: Clock, spoil: Callable[[dict[str, Any]], object]
) -> None:
    mayu.add(_ns(clock, 1.0), "state", to="running")
    spoil(mayu.rows[0])
    started = clock.now()
    assert not observer.wait(lambda _: False, started + 30)
    assert clock.now() - started < 10
    assert observer.trouble.startswith("mayu's history holds an event that makes no sense: ")


def test_a_dead_mayu_ends_every_wait_with_its_last_words(observer: Observer, mayu: Recorded, clock: Clock) -> None:
    mayu.dead = "mayu ended with -9:\nlast words"
    assert not observer.wait(lambda _: False, clock.now() + 10)
    assert observer.trouble == "mayu ended with -9:\nlast words"


def test_a_short_silence_is_borne_and_a_long_one_is_not(
    observer: Observer, mayu: Recorded, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mayu.silent = "connection refused"
    assert not observer.wait(lambda _: False, clock.now() + 0.2)
    short = observer.trouble
    monkeypatch.setattr(subject, "SILENCE_SECONDS", 0.3)
    assert not observer.wait(lambda _: False, clock.now() + 10)
    assert (short, observer.trouble) == ("", "connection refused")


def test_what_was_written_last_is_not_missed(observer: Observer, mayu: Recorded, clock: Clock) -> None:
    heard: list[str] = []
    observer.listen(lambda line, event: heard.append(f"{line.host} {event.kind}"))
    mayu.add(_ns(clock, 1.0), "failed", text="no disk")
    observer.catch_up()
    observer.catch_up()
    assert observer.timelines["one"].failure == "no disk"
    assert heard == ["one failed"]
