"""The page about templates shows templates, values and configs: the first two make the third."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ignition.document import load, to_data
from ignition.render import render

PAGE = Path(__file__).parents[2] / "docs" / "ignition-render.md"
EXAMPLES = re.findall(
    r"```yaml\n# template\n(.*?)```\s+```yaml\n# values\n(.*?)```\s+```json\n(.*?)```", PAGE.read_text(), re.DOTALL
)


@pytest.mark.parametrize(("template", "values", "expected"), EXAMPLES)
def test_the_example_renders_to_what_the_page_shows(template: str, values: str, expected: str) -> None:
    data: Any = to_data(load(values, "values.yaml"))
    rendered = render(template, "node.bu", data)
    assert rendered.report.problems == ()
    assert json.loads(rendered.redacted) == json.loads(expected)


def test_the_page_has_an_example_for_each_of_its_subjects() -> None:
    assert len(EXAMPLES) == 3


def test_every_filter_and_method_is_on_the_page() -> None:
    from ignition.render.filters import FILTERS
    from ignition.render.sandbox import METHODS

    text = re.sub(r"\s+", " ", PAGE.read_text())
    internal = {"concatenated", "rounds"}
    assert f"filters: `{' '.join(sorted(FILTERS.keys() - internal))}`" in text
    for names in METHODS.values():
        assert f"`{' '.join(sorted(names))}`" in text
