"""The keeper of a cluster killed with -9 on its way up or down: `kubeception gc` leaves nothing of it."""

import random
from collections.abc import Iterator

import pytest

from kubeception_sim.artifacts.kubernetes import DEBIAN_VERSION
from kubeception_sim.artifacts.store import default_cache
from kubeception_sim.giantnetes.bringup import outer_image
from tests.killing import kill_at
from tests.labs import CLUSTER, Labs
from tests.rack import Traces

# The first of the tier builds Kubernetes where nobody has done it before.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

CHANCE = random.Random(4)
# Seconds. Wherever in them: up, the machines' systems come one after the other; down, they and their containers go.
UP = sorted(round(CHANCE.uniform(1, 25), 1) for _ in range(3))
DOWN = round(CHANCE.uniform(0.3, 2), 1)


@pytest.fixture
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    outer_image(default_cache(), DEBIAN_VERSION, lambda what, done: None)
    made = Labs(tmp_path_factory.mktemp("kill"))
    yield made
    made.clean()


@pytest.mark.parametrize(("way", "seconds"), [*(("up", seconds) for seconds in UP), ("down", DOWN)])
def test_gc_leaves_nothing_of_a_cluster_whose_keeper_was_killed(labs: Labs, way: str, seconds: float) -> None:
    before = Traces.now(labs.root)
    kill_at(labs, labs.scenario("killed", CLUSTER), way, seconds)
    said = labs.collect()
    assert not Traces.now(labs.root).since(before), said
    assert labs.files() == [], said
