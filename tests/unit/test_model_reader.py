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


def test_keys_match_in_any_case_with_a_warning() -> None:
    config, problems = config_of('{"Ignition": {"VERSION": "3.3.0"}}')
    assert config.ignition.version == "3.3.0"
    assert [str(problem) for problem in problems] == ["c.ign:1: warning: $.Ignition: Unused key Ignition"]


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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '{"storage": 5}',
            "$.storage: json: cannot unmarshal number into Go struct field Config.storage of type types.Storage",
        ),
        (
            '{"storage": {"files": {}}}',
            "$.storage.files: json: cannot unmarshal object into Go struct field Storage.storage.files of type []types.File",
        ),
        (
            '{"storage": {"files": [{"path": 5}]}}',
            "$.storage.files.0.path: json: cannot unmarshal number into Go struct field File.storage.files.path of type string",
        ),
        (
            '{"storage": {"files": [{"mode": 1.0}]}}',
            "$.storage.files.0.mode: json: cannot unmarshal number 1.0 into Go struct field File.storage.files.mode of type int",
        ),
        (
            '{"storage": {"files": [{"mode": "0644"}]}}',
            "$.storage.files.0.mode: json: cannot unmarshal string into Go struct field File.storage.files.mode of type int",
        ),
    ],
)  # fmt: skip
def test_wrong_types_are_reported_as_go_reports_them(text: str, problem: str) -> None:
    _, problems = config_of(text)
    assert [str(found) for found in problems] == [f"c.ign:1: error: {problem}"]


@pytest.mark.parametrize(("minor", "is_known"), [(1, False), (2, True), (3, True)])
def test_a_key_newer_than_the_spec_is_unknown(minor: int, is_known: bool) -> None:
    config, problems = config_of('{"storage": {"luks": [{"name": "a"}]}}', minor)
    assert (config.storage is not None, problems == []) == (is_known, is_known)


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
    assert len(parts) == 34
    assert [model.dialects.snake(json_key) for _, json_key in spelt] == [attribute for attribute, _ in spelt]
