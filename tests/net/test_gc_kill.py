"""A keeper killed with -9 at any moment of its way up or down: `kubeception gc` leaves nothing of it."""

import random
from collections.abc import Iterator

import pytest

from tests.killing import kill_at, length_of
from tests.labs import Labs
from tests.rack import Traces

SEED = 20
POINTS = 10


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    made = Labs(tmp_path_factory.mktemp("kill"))
    yield made
    made.clean()


@pytest.fixture(scope="module")
def lengths(labs: Labs) -> dict[str, float]:
    """How many seconds the ways up and down take here, unharmed."""
    scenario = labs.scenario()
    return {"up": length_of(labs, "up", scenario), "down": length_of(labs, "down", "small")}


def points(way: str) -> list[tuple[str, float]]:
    chance = random.Random(f"{SEED} {way}")
    return [(way, round(chance.random(), 3)) for _ in range(POINTS)]


@pytest.mark.parametrize(("way", "part"), [*points("up"), *points("down")])
def test_gc_leaves_nothing_of_a_keeper_killed_at(labs: Labs, lengths: dict[str, float], way: str, part: float) -> None:
    """`part` is how much of the way it had behind it."""
    before = Traces.now(labs.root)
    kill_at(labs, labs.scenario(), way, part * lengths[way])
    said = labs.collect()
    assert not Traces.now(labs.root).since(before), said
    assert labs.files() == [], said


def test_the_comparison_sees_what_a_killed_keeper_leaves(labs: Labs, lengths: dict[str, float]) -> None:
    """Or else the tests above could not fail."""
    before = Traces.now(labs.root)
    kill_at(labs, labs.scenario(), "down", 0.0)
    kinds = {line.split(":")[0] for line in Traces.now(labs.root).since(before)}
    assert kinds >= {"+ processes", "+ namespaces", "+ mounts", "+ labs"}
    labs.collect()
    assert not Traces.now(labs.root).since(before)


def test_down_does_as_well_as_gc(labs: Labs, lengths: dict[str, float]) -> None:
    before = Traces.now(labs.root)
    kill_at(labs, labs.scenario(), "up", 0.6 * lengths["up"])
    labs.run("down", "--all")
    assert not Traces.now(labs.root).since(before)
    assert labs.files() == []
