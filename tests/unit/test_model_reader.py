"""Ignition JSON to typed configs, as Go fills structs, and back to bytes."""

import msgspec
import pytest

from ignition import model
from ignition.document.json_reader import read_json
from ignition.errors import Problem
from ignition.model import IGNITION, Config, Findings, Path, dotted, locate, read


def config_of(text: str, minor: int = 3) -> tuple[Config, list[Problem]]:
    findings = Findings(is_json=True)
    return read(read_json(text, "c.ign", 100), Config, IGNITION, findings, minor), findings.problems


def test_a_config_survives_the_round_trip() -> None:
    text = (
        '{"ignition":{"timeouts":{"httpTotal":0},"version":"3.3.0"},'
        '"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["a"]}]},'
        '"storage":{"disks":[{"device":"/dev/vda","partitions":[{"number":1,"sizeMiB":5,"startMiB":1,"typeGuid":"x"}]}],'
        '"files":[{"path":"/a","append":[{"source":"data:,"}],"mode":0}]},'
        '"systemd":{"units":[{"enabled":false,"name":"a.service"}]}}'
    )
    config, problems = config_of(text)
    assert problems == []
    assert model.encode(config).decode() == text


@pytest.mark.parametrize("key", ["Ignition", "IGNITION", "\u0131gnition", "ignit\u0130on"])
def test_keys_match_in_any_case_but_not_in_other_alphabets(key: str) -> None:
    config, problems = config_of(f'{{"{key}": {{"VER\u017fION": "3.3.0"}}}}')
    assert (config.ignition.version, problems) == ("3.3.0" if key.isascii() else "", [])


def test_null_leaves_a_field_at_its_zero_value() -> None:
    config, problems = config_of('{"storage": {"files": [null, {"path": null, "mode": null}]}, "systemd": null}')
    assert config == Config(storage=model.Storage(files=(model.File(), model.File())))
    assert problems == []


def test_a_repeated_key_fills_the_same_part_again() -> None:
    config, _ = config_of(
        '{"ignition": {"version": "3.3.0"}, "ignition": {"timeouts": {"httpTotal": 1}},'
        ' "storage": {"files": [{"path": "/a", "mode": 1}]}, "storage": {"files": [{"path": "/b"}]}}'
    )
    assert config.ignition == model.Ignition(version="3.3.0", timeouts=model.Timeouts(http_total=1))
    assert config.storage == model.Storage(files=(model.File(path="/b", mode=1),))


def test_null_undoes_what_a_repeated_key_put_into_a_pointer_or_list() -> None:
    file = '{"path": "/a", "mode": 1, "append": [{}], "append": null, "mode": null, "path": null}'
    config, _ = config_of(f'{{"storage": {{"files": [{file}]}}}}')
    assert config.storage == model.Storage(files=(model.File(path="/a"),))


@pytest.mark.parametrize(
    ("text", "minor", "kind", "place", "type_"),
    [
        ('{"storage": 5}', 3, "number", "storage", "types.Storage"),
        ('{"storage": {"files": {}}}', 3, "object", "storage.files", "[]types.File"),
        ('{"storage": {"files": [5]}}', 3, "number", "storage.files.0", "types.File"),
        ('{"storage": {"files": [{"path": 5}]}}', 3, "number", "storage.files.0.path", "string"),
        ('{"storage": {"files": [{"mode": 1.0}]}}', 3, "number 1.0", "storage.files.0.mode", "int"),
        ('{"storage": {"files": [{"mode": "0644"}]}}', 3, "string", "storage.files.0.mode", "int"),
        ('{"passwd": {"users": [{"uid": -9223372036854775809}]}}', 3, "number -9223372036854775809", "passwd.users.0.uid", "int"),
        ('{"storage": {"raid": [{"devices": [true]}]}}', 3, "bool", "storage.raid.0.devices.0", "types.Device"),
        ('{"storage": {"raid": [{"devices": "a"}]}}', 3, "string", "storage.raid.0.devices", "[]types.Device"),
        ('{"storage": {"files": [{"contents": ""}]}}', 0, "string", "storage.files.0.contents", "types.FileContents"),
        ('{"storage": {"files": [{"contents": ""}]}}', 1, "string", "storage.files.0.contents", "types.Resource"),
        ('{"ignition": {"config": {"replace": []}}}', 0, "array", "ignition.config.replace", "types.ConfigReference"),
        ('{"ignition": {"config": {"replace": []}}}', 1, "array", "ignition.config.replace", "types.Resource"),
        ('{"ignition": {"config": {"merge": [{"httpHeaders": 1}]}}}', 1, "number", "ignition.config.merge.0.httpHeaders",
         "types.HTTPHeaders"),
        ('{"storage": {"luks": [{"clevis": {"custom": 1}}]}}', 2, "number", "storage.luks.0.clevis.custom", "types.Custom"),
        ('{"storage": {"luks": [{"clevis": {"custom": 1}}]}}', 3, "number", "storage.luks.0.clevis.custom", "types.ClevisCustom"),
    ],
)  # fmt: skip
def test_wrong_types_are_reported_as_go_reports_them(text: str, minor: int, kind: str, place: str, type_: str) -> None:
    _, problems = config_of(text, minor)
    target = "" if place[-1].isdigit() else "Go struct field "
    message = f"json: cannot unmarshal {kind} into {target}Config.{place} of type {type_}"
    assert [(found.path, found.message) for found in problems] == [(f"$.{place}", message)]


def test_values_of_a_wrong_type_are_kept_as_they_were_found() -> None:
    findings = Findings(is_json=True)
    read(read_json('{"systemd": 1, "storage": []}', "c.ign", 100), Config, IGNITION, findings)
    assert [(node.describe(), node.mark.column) for node in findings.misfits] == [("the integer 1", 13), ("a list", 28)]


@pytest.mark.parametrize(("minor", "clevis"), [(2, model.Clevis(custom=model.Custom())), (3, None)])
def test_an_empty_part_is_there_where_go_has_a_pointer(minor: int, clevis: model.Clevis | None) -> None:
    config, _ = config_of('{"storage": {"luks": [{"name": "a", "clevis": {"custom": {}}}]}}', minor)
    assert config.storage == model.Storage(luks=(model.Luks(name="a", clevis=clevis),))


@pytest.mark.parametrize(("minor", "is_known"), [(1, False), (2, True), (3, True)])
def test_a_key_newer_than_the_spec_is_skipped(minor: int, is_known: bool) -> None:
    config, problems = config_of('{"storage": {"luks": [{"name": "a"}]}}', minor)
    assert (config.storage is not None, problems) == (is_known, [])


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("storage", "files", 0, "path"), (1, 33)),
        (("storage", "files", 0, "contents", "source"), (1, 24)),
        (("storage", "files", 7), (1, 23)),
        (("systemd",), (1, 2)),
    ],
)
def test_a_path_leads_to_the_nearest_value(path: Path, place: tuple[int, int]) -> None:
    root = read_json('{"storage": {"files":[{"path"  :"/a"}]}}', "c.ign", 100)
    mark = locate(root, path, is_json=True)
    assert (mark.line, mark.column) == place


def test_paths_are_written_in_the_spelling_of_the_document() -> None:
    path: Path = ("storage", "disks", 0, "partitions", 1, "sizeMiB")
    assert dotted(path) == "$.storage.disks.0.partitions.1.sizeMiB"
    assert dotted(path, is_json=False) == "$.storage.disks.0.partitions.1.size_mib"


def test_every_key_has_one_spelling_in_each_dialect() -> None:
    parts = [part for part in vars(model.types).values() if isinstance(part, type) and issubclass(part, model.Part)]
    spelt = [(field.name, field.encode_name) for part in parts for field in msgspec.structs.fields(part)]
    assert len(parts) == 35
    assert [model.dialects.snake(json_key) for _, json_key in spelt] == [attribute for attribute, _ in spelt]
