"""Images written without an engine: equal files give equal bytes, in an archive that OCI tools and Docker read."""

import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeception_sim.artifacts.oci import EPOCH, ImageSpec, Layer, write_archive, write_layer, write_root

NAMES = st.lists(
    st.lists(st.text("abcdefgh.-", min_size=1, max_size=6).filter(lambda part: part.strip(".")), min_size=1, max_size=3).map(
        "/".join
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o700)
    return path


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {info.name: info for info in tar}


def test_a_layer_holds_the_files_and_the_folders_above_them(tmp_path: Path, program: Path) -> None:
    layer = write_layer(tmp_path / "layer.tar", {"usr/bin/program": program})
    found = members(layer.path)
    assert list(found) == ["usr", "usr/bin", "usr/bin/program"]
    assert [info.isdir() for info in found.values()] == [True, True, False]
    assert {(info.uid, info.gid, info.uname) for info in found.values()} == {(0, 0, "")}
    assert found["usr/bin/program"].mode == 0o755


def test_a_folder_comes_with_all_that_is_in_it_and_links_stay_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "file").write_text("text")
    (tree / "link").symlink_to("deep/file")
    found = members(write_layer(tmp_path / "layer.tar", {"opt": tree}).path)
    assert list(found) == ["opt", "opt/deep", "opt/deep/file", "opt/link"]
    assert (found["opt/link"].issym(), found["opt/link"].linkname) == (True, "deep/file")
    assert found["opt/deep/file"].mode == 0o644


@given(names=NAMES, seed=st.randoms())
def test_the_order_and_the_age_of_files_make_no_difference(
    names: list[str], seed: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("layers")
    files = {}
    for number, name in enumerate(names):
        (folder / str(number)).write_text(name)
        files[name] = folder / str(number)
    flat = {name: path for name, path in files.items() if not any(other.startswith(f"{name}/") for other in files)}
    first = write_layer(folder / "one.tar", flat)
    for path in flat.values():
        path.touch()
    second = write_layer(folder / "two.tar", dict(reversed(flat.items())))
    assert first.sha256 == second.sha256
    assert first.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()


def test_a_root_file_system_keeps_owners_modes_links_and_the_times_of_packages(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "su").write_text("program")
    (root / "su").chmod(0o4755)
    (root / "sudo").hardlink_to(root / "su")
    (root / "sh").symlink_to("su")
    (root / "shadow").write_text("secret")
    (root / "shadow").chmod(0o640)
    os.utime(root / "su", (1000, 1000))
    found = members(write_root(tmp_path / "root.tar", root, newest=5000).path)
    assert list(found) == ["sh", "shadow", "su", "sudo", "tmp"]
    assert [oct(found[name].mode) for name in ("shadow", "su", "tmp")] == ["0o640", "0o4755", "0o1777"]
    assert (found["sh"].linkname, found["sudo"].islnk(), found["sudo"].linkname) == ("su", True, "su")
    assert (found["su"].mtime, found["shadow"].mtime) == (1000, EPOCH)
    assert {(info.uid, info.gid, info.uname) for info in found.values()} == {(os.getuid(), os.getgid(), "")}


def test_a_device_in_a_root_file_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    os.mkfifo(tmp_path / "root" / "pipe")
    with pytest.raises(ValueError, match="pipe: neither file, folder nor link"):
        write_root(tmp_path / "root.tar", tmp_path / "root", newest=0)


@dataclass(frozen=True)
class Archive:
    """An archive, read as an OCI layout would be."""

    blobs: dict[str, bytes]

    @classmethod
    def read(cls, path: Path) -> "Archive":
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert len(names) == len(set(names))
            return cls({name: (tar.extractfile(name) or io.BytesIO()).read() for name in names})

    def document(self, name: str) -> Any:
        return json.loads(self.blobs[name])

    def follow(self, descriptor: dict[str, Any]) -> bytes:
        """What a descriptor points to, with the size and the digest that it says."""
        algorithm, _, digest = descriptor["digest"].partition(":")
        content = self.blobs[f"blobs/{algorithm}/{digest}"]
        assert (algorithm, len(content), hashlib.sha256(content).hexdigest()) == ("sha256", descriptor["size"], digest)
        return content


@pytest.fixture
def archive(tmp_path: Path, program: Path) -> tuple[Archive, Layer, Layer]:
    base = write_layer(tmp_path / "base.tar", {"base": program})
    own = write_layer(tmp_path / "own.tar", {"own": program})
    images = (
        ImageSpec("kubeception.local/one:1", (base, own), ("/own",), {"KEY": "value"}),
        ImageSpec("localhost:5000/two:2", (base,)),
    )
    write_archive(tmp_path / "images.tar", images)
    return Archive.read(tmp_path / "images.tar"), base, own


def test_an_archive_is_an_oci_layout_whose_digests_are_right(archive: tuple[Archive, Layer, Layer]) -> None:
    read, base, own = archive
    assert read.document("oci-layout") == {"imageLayoutVersion": "1.0.0"}
    entries = read.document("index.json")["manifests"]
    assert [entry["annotations"]["io.containerd.image.name"] for entry in entries] == [
        "kubeception.local/one:1",
        "localhost:5000/two:2",
    ]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries] == ["1", "2"]
    one, two = (json.loads(read.follow(entry)) for entry in entries)
    assert [read.follow(layer) for layer in one["layers"]] == [base.path.read_bytes(), own.path.read_bytes()]
    assert [layer["digest"] for layer in two["layers"]] == [f"sha256:{base.sha256}"]
    config = json.loads(read.follow(one["config"]))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{base.sha256}", f"sha256:{own.sha256}"]
    assert (config["config"]["Entrypoint"], config["config"]["Env"][-1]) == (["/own"], "KEY=value")
    assert "Entrypoint" not in json.loads(read.follow(two["config"]))["config"]


def test_an_archive_is_one_of_docker_as_well(archive: tuple[Archive, Layer, Layer]) -> None:
    read, base, own = archive
    one, two = read.document("manifest.json")
    assert (one["RepoTags"], two["RepoTags"]) == (["kubeception.local/one:1"], ["localhost:5000/two:2"])
    assert [read.blobs[name] for name in one["Layers"]] == [base.path.read_bytes(), own.path.read_bytes()]
    diff_ids = read.document(one["Config"])["rootfs"]["diff_ids"]
    assert diff_ids == [f"sha256:{hashlib.sha256(read.blobs[name]).hexdigest()}" for name in one["Layers"]]


def test_an_archive_holds_each_layer_once_and_nothing_that_nobody_names(archive: tuple[Archive, Layer, Layer]) -> None:
    read, base, _ = archive
    blobs = {name for name in read.blobs if name.startswith("blobs/")}
    entries = read.document("index.json")["manifests"]
    manifests = [json.loads(read.follow(entry)) for entry in entries]
    named = [*entries, *(each["config"] for each in manifests), *(layer for each in manifests for layer in each["layers"])]
    assert blobs == {f"blobs/sha256/{each['digest'].removeprefix('sha256:')}" for each in named}
    assert len([name for name in blobs if base.sha256 in name]) == 1


def test_equal_images_are_equal_archives(tmp_path: Path, program: Path) -> None:
    layer = write_layer(tmp_path / "layer.tar", {"program": program})
    for name in ("one.tar", "two.tar"):
        write_archive(tmp_path / name, (ImageSpec("a:1", (layer,)),))
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
