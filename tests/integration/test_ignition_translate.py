"""Translations to older specs before the real ignition-validate of Debian, which reads specs 3.0 to 3.3.

It has nothing to say about a translation. Where one is refused, it refuses the config under the older version, too, or warns
of a key that it does not know or of mode bits without effect: nothing is refused without need.
"""

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ignition.model import Config, encode
from ignition.specs import SPECS, LossyTranslation, translate
from tests.configs import valid_configs
from tests.typed_configs import typed

slowly = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def tool() -> str:
    path = shutil.which("ignition-validate")
    if path is None:
        pytest.skip("looked for ignition-validate in PATH; it is in Debian's package ignition")
    return path


def complaints(tool: str, config: Config) -> list[str]:
    """Return what the tool has to say about a config."""
    done = subprocess.run([tool, "-"], input=encode(config), capture_output=True, timeout=20, check=False)
    assert done.returncode in (0, 1), done.stderr
    lines = (done.stdout + done.stderr).decode().splitlines()
    assert lines or done.returncode == 0
    return lines


def lowered(config: Config, version: str) -> Config | LossyTranslation:
    try:
        return translate(config, version)
    except LossyTranslation as refusal:
        return refusal


@slowly
@given(st.data(), st.integers(0, 6), st.integers(0, 3))
def test_translations_are_accepted_and_refusals_are_needed(tool: str, data: st.DataObject, minor: int, target: int) -> None:
    version = SPECS[min(minor, target)].version
    config = typed(minor, **data.draw(valid_configs(minor)))
    match lowered(config, version):
        case Config() as older:
            assert complaints(tool, older) == []
        case refusal:
            assert complaints(tool, config.in_version(version)), refusal


@slowly
@given(st.data(), st.integers(0, 2), st.integers(1, 3))
def test_translations_to_newer_specs_are_accepted(tool: str, data: st.DataObject, minor: int, target: int) -> None:
    config = typed(minor, **data.draw(valid_configs(minor)))
    assert complaints(tool, translate(config, SPECS[max(minor, target)].version)) == []


def test_the_tool_complains_where_a_translation_is_refused(tool: str) -> None:
    config = typed(3, kernelArguments={"shouldExist": ["a"]})
    assert complaints(tool, config) == []
    assert complaints(tool, config.in_version("3.2.0")) == [
        "warning at $.kernelArguments, line 1 col 33: Unused key kernelArguments"
    ]
