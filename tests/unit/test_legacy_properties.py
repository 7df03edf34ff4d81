"""What holds for every config of spec 2, whatever it says."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ignition.legacy import Effect, Fate, migrate
from ignition.model import Config, File, encode
from ignition.rules import validate
from ignition.specs import NEWEST, SPECS
from tests.legacy_configs import Json, configs, configs_with_files, configs_with_units

SPEC = "3.3.0"

Disk: TypeAlias = Mapping[str, tuple[Sequence[str], int]]
"""Files by path: the sources that were written into each, in order, and its permissions."""

_slow = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@_slow
@given(configs(colliding=False))
def test_a_valid_config_without_collisions_is_migrated_to_the_newest_spec(old: Json) -> None:
    migration = migrate(json.dumps(old))
    assert [str(problem) for problem in migration.problems if problem.is_error] == []
    assert migration.unwrap().ignition.version == NEWEST.version


@_slow
@given(configs(colliding=True), st.sampled_from([spec.version for spec in SPECS]))
def test_the_result_validates_or_the_config_is_refused_with_a_place(old: Json, version: str) -> None:
    migration = migrate(json.dumps(old, indent=1), version)
    errors = [problem for problem in migration.problems if problem.is_error]
    if migration.config is None:
        assert errors
        assert all(error.mark.line > 1 and error.path.startswith("$.") for error in errors)
    else:
        assert not validate(encode(migration.config)).is_fatal
        assert migration.config.ignition.version == version
        assert errors == []


@_slow
@given(configs(colliding=True), st.randoms(use_true_random=False))
def test_no_damage_to_a_config_breaks_the_migration(old: Json, random: Any) -> None:
    text = json.dumps(old)
    position, length = random.randrange(len(text)), random.randrange(1, 9)
    damaged = text[:position] + random.choice(("", "7", "null", '"', "[]", "x")) + text[position + length :]
    migration = migrate(damaged, SPEC)
    assert (migration.config is None) == any(problem.is_error for problem in migration.problems)


@_slow
@given(configs_with_files(), st.booleans())
def test_the_files_on_disk_are_those_that_spec_2_wrote(old: Json, exists: bool) -> None:
    migration = migrate(json.dumps(old), SPEC)
    if migration.config is not None:
        found = {f"/etc/f{n}": (("before",), 0o600) for n in range(3)} if exists else {}
        before, after = after_spec_2(old, found), after_spec_3(migration.config, found)
        has_warning = any(change.fate is Fate.DROPPED and change.effect is Effect.MAY_DIFFER for change in migration.changes)
        assert before == after or (before is None and has_warning)


@_slow
@given(configs_with_units())
def test_the_units_on_disk_and_their_presets_are_those_that_spec_2_wrote(old: Json) -> None:
    config = migrate(json.dumps(old), SPEC).unwrap()
    new = json.loads(encode(config))["systemd"]["units"]
    assert units_written(new) == units_written(old["systemd"]["units"])


def units_written(units: Sequence[Json]) -> tuple[Mapping[str, str], Mapping[str, bool]]:
    """Return what stands below /etc/systemd/system, and the first preset of each unit; `enable` comes before `enabled`.

    Both specs write units in order, and of one unit first the drop-ins, then the contents, then the mask.
    """
    disk: dict[str, str] = {}
    presets: dict[str, bool] = {}
    for unit in units:
        name = unit["name"]
        for dropin in unit.get("dropins", ()):
            if dropin.get("contents"):
                disk[f"{name}.d/{dropin['name']}"] = dropin["contents"]
        if unit.get("contents"):
            disk[name] = unit["contents"]
        if unit.get("enable"):
            presets.setdefault(name, True)
        if "enabled" in unit:
            presets.setdefault(name, unit["enabled"])
        if unit.get("mask"):
            disk[name] = "-> /dev/null"
    return disk, presets


def after_spec_2(config: Json, found: Disk) -> Disk | None:
    """Return the files once a binary of spec 2 has run; None when it fails at a file that it must not overwrite."""
    disk = dict(found)
    for file in config.get("storage", {}).get("files", ()):
        source = file.get("contents", {}).get("source", "")
        there = disk.get(file["path"])
        mode = file.get("mode", 0) & 0o777
        if file.get("append"):
            sources, before = there or ((), 0o644)
            disk[file["path"]] = ((*sources, *filter(None, [source])), mode if "mode" in file else before)
        elif there and file.get("overwrite") is False:
            return None
        else:
            disk[file["path"]] = (tuple(filter(None, [source])), mode)
    return disk


def after_spec_3(config: Config, found: Disk) -> Disk | None:
    disk = dict(found)
    for file in config.storage.files if config.storage else ():
        if file.contents and not file.overwrite and file.path in disk:
            return None
        disk[file.path] = _written(file, disk.get(file.path, ((), 0o644)))
    return disk


def _written(file: File, there: tuple[Sequence[str], int]) -> tuple[Sequence[str], int]:
    sources, mode = there
    if file.contents:
        sources, mode = [source for source in [file.contents.source] if source and source != "data:,"], 0o644
    appended = [resource.source or "" for resource in file.append]
    return (*sources, *appended), mode if file.mode is None else file.mode
