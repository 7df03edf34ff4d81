"""A pytest plugin for checks of booted machines: what the scenario says about each of them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "KUBECEPTION_EXPECTATIONS"
MACHINE, CASE = "machine", "case"
"""Properties of each result: whose it is, empty for what ran on no machine, and the ids of the test's own parameters."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The name of a test has the machine and its parameters in one pair of brackets: told apart while that can be done."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        host = callspec.params.get("_testinfra_host") if callspec else None
        if callspec is None or host is None:
            continue
        backend = host.backend
        machine = backend.hostname if backend.NAME == "ssh" else ""
        case = callspec.id.removeprefix(backend.get_pytest_id()).removeprefix("-")
        item.user_properties += [(MACHINE, machine), (CASE, case)]


@pytest.fixture(scope="session")
def rack() -> dict[str, dict[str, Any]]:
    """Every machine of the scenario, by name."""
    machines: dict[str, dict[str, Any]] = json.loads(Path(os.environ[VARIABLE]).read_text())
    return machines


@pytest.fixture
def me(host: Any, rack: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the scenario says about the machine under test."""
    return rack[host.backend.hostname]


@pytest.fixture
def others(me: dict[str, Any], rack: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What the scenario says about every other machine."""
    return [machine for machine in rack.values() if machine is not me]
