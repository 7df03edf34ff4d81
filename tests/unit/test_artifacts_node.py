"""The node image: what is in its key, and that its additions agree with the testbed's own recipe."""

import re
import shutil
from pathlib import Path

import pytest

from kubeception_sim.artifacts import node, testbed
from kubeception_sim.artifacts.testbed import recipe

ADDED = [str(path.relative_to(node.HERE)) for path in recipe.files(node.HERE)]
VARIANT = recipe.Variant(node.HERE, lambda root: None)
PAYLOAD = node.Payload({}, (), "key of the payload")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(node.HERE, tmp_path / "node")
    return tmp_path / "node"


def test_the_key_depends_on_the_files_and_not_on_where_they_are(copy: Path) -> None:
    assert node.key(PAYLOAD, copy) == node.key(PAYLOAD)
    assert re.fullmatch(r"[0-9a-f]{32}", node.key(PAYLOAD))


@pytest.mark.parametrize("name", ADDED)
def test_every_added_file_is_in_the_key(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
    assert node.key(PAYLOAD, copy) != node.key(PAYLOAD)


def test_the_key_changes_with_the_payload_and_with_the_testbed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = node.key(PAYLOAD)
    assert node.key(node.Payload({}, (), "another")) != before
    monkeypatch.setattr(recipe, "RECIPE", recipe.RECIPE + 1)
    assert node.key(PAYLOAD) != before


def test_a_payload_of_files_is_known_by_their_bytes_and_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"program")
    other.write_bytes(b"archive")
    payload = node.Payload.of_files({"kubelet": one}, (other,))
    assert payload.key == node.Payload.of_files({"kubelet": one}, (other,)).key
    renamed = node.Payload.of_files({"kubectl": one}, (other,))
    other.write_bytes(b"archive2")
    assert len({payload.key, renamed.key, node.Payload.of_files({"kubelet": one}, (other,)).key}) == 3


def test_a_variant_continues_the_lists_of_the_testbed() -> None:
    for name in ("packages.txt", "units.txt", "squashfs-exclude.txt"):
        own, more = recipe.lines(name), recipe.lines(name, VARIANT)
        assert more[: len(own)] == own
        assert len(more) == len(set(more)) > len(own)


def test_it_overwrites_no_file_of_the_testbed() -> None:
    own = {str(path.relative_to(recipe.HERE)) for path in recipe.files()}
    assert {name for name in ADDED if name.startswith("root/")} & own == set()


def test_every_program_a_unit_starts_is_in_the_recipe() -> None:
    units = [path.read_text() for path in recipe.files(node.HERE) if path.suffix in {".service", ".conf"}]
    started = {program for text in units for program in re.findall(r"=(/usr/libexec/\S+)", text)}
    assert started == {"/usr/libexec/testbed/files", "/usr/libexec/testbed/images"}
    assert started <= {"/" + name.removeprefix("root/") for name in ADDED}


def test_the_kernel_keeps_the_modules_that_containers_and_services_need() -> None:
    dropped = recipe.lines("modules-drop.txt")
    needed = [
        *("net/bridge/br_netfilter", "net/bridge/bridge", "fs/overlayfs/overlay", "drivers/net/veth", "drivers/net/vxlan/vxlan"),
        *("drivers/net/tun", "net/netfilter/nf_tables", "net/netfilter/xt_comment", "net/ipv4/netfilter/ip_tables"),
    ]
    assert [module for module in needed if any(f"{module}/".startswith(f"{tree}/") for tree in dropped)] == []


def test_the_lean_image_does_not_depend_on_the_node() -> None:
    assert not any(path.is_relative_to(node.HERE) for path in recipe.files())
    assert testbed.key() != node.key(PAYLOAD)
