"""The example of docs/ignition-migrate.md is run, and says what the page says."""

import re
from pathlib import Path

from ignition.legacy import migrate

PAGE = (Path(__file__).parents[2] / "docs" / "ignition-migrate.md").read_text()


def test_the_report_on_the_page_is_that_of_its_example() -> None:
    _, old, report = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    migration = migrate(old, "3.3.0", "node.ign", {"data": "/var/lib/data"})
    assert [str(change) for change in migration.changes] == report.splitlines()
    assert migration.problems == ()
