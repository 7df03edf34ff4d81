"""The truth table with real packets: every case, every pair, both protocols, both ports, against the oracle."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from kubeception_sim.lab import Lab
from tests.net.policy_ground import Ground, Prober, ground, probes
from tests.policy_cases import CASES, EMPTY


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Lab.create(tmp_path_factory.mktemp("labs")) as lab, ground(lab) as made:
        yield made


@pytest.fixture(scope="module")
def prober(nodes: Ground) -> Iterator[Prober]:
    with closing(Prober(nodes)) as made:
        yield made


@pytest.mark.parametrize("name", CASES)
def test_packets_go_where_the_reference_says(nodes: Ground, prober: Prober, name: str) -> None:
    cluster = EMPTY.having(*CASES[name])
    nodes.load(cluster)
    expected = {probe: cluster.allowed(*probe) for probe in probes(nodes.homes)}
    opened = prober.opened(expected)
    wanted = {probe for probe, passes in expected.items() if passes}
    assert (opened - wanted, wanted - opened) == (set(), set()), "what came through and must not; what must and did not"
