"""Typed configs for tests that care for values and not for texts."""

import json
from typing import Any

from ignition.document.json_reader import read_json
from ignition.model import IGNITION, Config, Findings, encode, read


def typed(minor: int, **sections: Any) -> Config:
    """Return the config of spec 3.`minor` with these sections, which are written as in JSON. Nothing is validated."""
    ignition = {"version": f"3.{minor}.0", **sections.pop("ignition", {})}
    text = json.dumps({"ignition": ignition, **sections})
    findings = Findings(is_json=True)
    config = read(read_json(text, "test.ign", 100), Config, IGNITION, findings, minor)
    assert not findings.problems
    return config


def sections_of(config: Config) -> Any:
    """Return the config as JSON values, without `ignition`."""
    return {key: value for key, value in json.loads(encode(config)).items() if key != "ignition"}
