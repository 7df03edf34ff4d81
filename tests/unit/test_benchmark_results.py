"""What a run's numbers become: ratios, verdicts on goals, and places on the plot."""

from itertools import pairwise

import pytest

from benchmarks import plot
from benchmarks.results import US, Row, table


def test_a_table_says_which_goals_are_met() -> None:
    rounds = [{US: 30.0, "slow": 10.0, "fast": 20.0}, {US: 60.0, "slow": 10.0, "fast": 20.0}]
    row = Row("work", "per s", rounds, goals={"slow": 4.0, "the best peer": 2.5})

    assert table([row]).splitlines()[-1] == (
        "| work | **4.50** (3.00 .. 6.00) | **2.25** (1.50 .. 3.00) "
        "| met: 4 of slow<br>**missed**: 2.5 of the best peer | 45 | 10 | 20 | per s |"
    )


def test_a_server_that_did_nothing_in_a_round_makes_no_row() -> None:
    rounds = [{US: 30.0, "dead": 10.0}, {US: 60.0, "dead": 0.0}]

    with pytest.raises(ValueError, match="work: nothing was measured of dead in round 2"):
        Row("work", "per s", rounds)


def test_the_axis_is_logarithmic() -> None:
    axis = plot.Axis(0.1, 10.0)
    steps = [axis.x(ratio) for ratio in (0.1, 1.0, 10.0)]

    assert len({round(right - left, 6) for left, right in pairwise(steps)}) == 1
