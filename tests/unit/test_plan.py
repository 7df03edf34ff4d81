"""The plan: what a run will do, as a person reads it and as the runner follows it."""

from pathlib import Path

import pytest

from kubeception_sim.model.plan import BringUp, Part, Plan, plan
from kubeception_sim.model.rules import parse

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/report/plan.txt"


@pytest.fixture
def example() -> Plan:
    text = (ROOT / "docs/scenarios.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    return plan(parse(text, "docs/scenarios.md"))


def test_the_plan_of_the_references_example_for_people(example: Plan) -> None:
    assert str(example) == GOLDEN.read_text()


def test_bring_up_has_its_order(example: Plan) -> None:
    assert [step for step, _ in example.up] == [BringUp.IMAGE, BringUp.FABRIC, BringUp.MAYU, BringUp.MACHINES]


def test_teardown_is_bring_up_reversed_and_the_image_stays(example: Plan) -> None:
    assert [part.do for part in example.down] == ["machines", "mayu", "fabric"]


def test_every_step_of_the_scenario_is_planned_once_in_order(example: Plan) -> None:
    assert tuple(step for step, _ in example.steps) == example.scenario.steps


def test_the_title_of_a_part_has_no_loose_end() -> None:
    assert (Part("fabric", "").title, Part("power-on", "all").title) == ("fabric", "power-on all")
