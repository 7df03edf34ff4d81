"""Tiers: the folder sets the marker and the deadline. `REQUIRE_TIERS=unit,net` turns a skip in those tiers into a failure."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from kubeception_sim.lab import Lab
from kubeception_sim.network import Fabric

# Recordings of real firmware and real tools lie beside the project on some machines, and are not part of it. Where
# they are not, their tests do not exist: the golden files below tests/ hold what must be checked everywhere.
RECORDINGS = Path(__file__).parents[2] / "shared" / "data"
collect_ignore_glob = [] if RECORDINGS.is_dir() else ["unit/test_recorded_*.py"]

TIERS = {"unit": 20, "integration": 60, "net": 120, "vm": 600, "cluster": 600}
ROOT_TIERS = {"net", "vm", "cluster"}
HERE = Path(__file__).parent


def _tier(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = _tier(item)
        item.add_marker(getattr(pytest.mark, tier))
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIERS[tier]))
    # What takes seconds to fail comes before what takes minutes; the sort is stable, so the shuffle within stays.
    items.sort(key=lambda item: list(TIERS).index(_tier(item)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if _tier(item) in ROOT_TIERS and os.geteuid() != 0:
        pytest.skip(f"tier {_tier(item)} makes network namespaces: it needs root, and this is uid {os.geteuid()}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    required = os.environ.get("REQUIRE_TIERS", "").split(",")
    if report.skipped and not hasattr(report, "wasxfail") and _tier(item) in required:
        report.outcome = "failed"
        report.longrepr = f"tier {_tier(item)} is required, but the test was skipped: {report.longrepr}"
    return report


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab of the test's own, with its folder below the test's."""
    with Lab.create(tmp_path) as lab:
        yield lab


@pytest.fixture
def fabric(lab: Lab) -> Iterator[Fabric]:
    """A network for machines, in a namespace of its own."""
    with Fabric.create(lab) as fabric:
        yield fabric
