"""A pytest plugin for checks of booted machines: what the scenario says about each of them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "KUBECEPTION_EXPECTATIONS"


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
