"""Recorded runs of Butane 0.29.0, plain and with --strict, where the recordings lie beside the project."""

import base64
import gzip
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ignition.butane import Converted, FileKind, convert
from ignition.rules import decode_data_url
from tests.local_files import FakeFiles, Link, Node

DATA = Path(__file__).parents[3] / "shared" / "data" / "ignition"
OUT_OF_SCOPE = ("variant: openshift", "variant: r4e", "variant: fiot", "experimental")
# What the examples of Butane's documentation were recorded with.
DOCUMENTED_FILES = FakeFiles(
    {
        **dict.fromkeys(("ca.pem", "config.ign", "example.conf", "example.service", "file", "file-epilogue", "local-file3"), b""),
        "id_ed25519.pub": b"ssh-ed25519 AAAA",
        "id_rsa.pub": b"ssh-rsa AAAA",
        "ignition.ign": b'{"ignition": {"version": "3.5.0"}}\n',
        "tree/": b"",
    }
)


def recorded(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(gzip.decompress((DATA / "given" / name).read_bytes()))
    return cases


def local_files() -> FakeFiles:
    files: dict[str, bytes | Link | Node] = {}
    for entry in recorded("butane_files.json.gz"):
        match entry["type"]:
            case "directory":
                files[entry["path"] + "/"] = b""
            case "symlink":
                files[entry["path"]] = Link(entry["target"])
            case "file":
                files[entry["path"]] = Node(base64.b64decode(entry["content_b64"]), int(entry["mode"], 8))
            case _:
                files[entry["path"]] = Node(kind=FileKind.OTHER)
    return FakeFiles(files)


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    return recorded("butane.json.gz")


def converted(case: dict[str, Any], *, strict: bool) -> Converted:
    return convert(case["input"], files=local_files() if case["files_dir"] else None, strict=strict)


def unpacked(value: Any) -> Any:
    """Replace gzip streams by what they hold: those of equal contents differ."""
    if isinstance(value, list):
        return [unpacked(item) for item in value]
    if not isinstance(value, dict):
        return value
    # What a document compressed itself is in a data URL that holds no gzip stream of Butane's.
    if value.get("compression") == "gzip" and str(value.get("source", "")).startswith("data:;base64,H4sI"):
        return {**value, "source": zlib.decompress(decode_data_url(value["source"]), 16 + zlib.MAX_WBITS)}
    return {key: unpacked(item) for key, item in value.items()}


def config(output: bytes | str | None) -> Any:
    return unpacked(json.loads(output)) if output else None


@pytest.mark.parametrize("mode", ["plain", "strict"])
def test_every_config_is_butanes(cases: list[dict[str, Any]], mode: str) -> None:
    ours = {case["id"]: config(converted(case, strict=mode == "strict").output) for case in cases}
    assert ours == {case["id"]: config(case[mode]["output"]) for case in cases}
    assert len(ours) > 200


@pytest.mark.parametrize("mode", ["plain", "strict"])
def test_every_message_is_butanes(cases: list[dict[str, Any]], mode: str) -> None:
    # Go reports the unknown keys of a mapping in any order.
    ours = {case["id"]: Counter(converted(case, strict=mode == "strict").messages) for case in cases}
    assert ours == {case["id"]: Counter(case[mode]["messages"]) for case in cases}


def test_every_explanation_is_butanes(cases: list[dict[str, Any]]) -> None:
    told = [case for case in cases if "pretty" in case and case["pretty"].count("unused key") < 2]
    assert {case["id"]: converted(case, strict=False).explained for case in told} == {case["id"]: case["pretty"] for case in told}


def test_the_examples_of_the_documentation_become_their_configs() -> None:
    examples = json.loads((DATA / "corpus" / "butane_docs.json").read_text())
    known = [example for example in examples if not any(word in example["butane"] for word in OUT_OF_SCOPE)]
    ours = {example["src"]: config(convert(example["butane"], files=DOCUMENTED_FILES, strict=True).output) for example in known}
    assert ours == {example["src"]: config(example["ignition"]) for example in known}
    assert len(ours) > 55
