"""The image of machines: what is downloaded for it and how it is laid over the base, and which nodes have it."""

from pathlib import Path

import pytest

from kubeception_sim.artifacts import images, node
from kubeception_sim.artifacts.images import base, vm
from kubeception_sim.errors import CommandFailed


def test_packages_are_downloaded_beside_the_base_and_not_into_it() -> None:
    command = base.bootstrap_command(Path("/cache/build/root"))
    (hook,) = (word.removeprefix("--customize-hook=") for word in command if word.startswith("--customize-hook="))
    assert 'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"' in hook
    assert "--download-only" in hook
    assert "Dir::Cache::archives=/cache/build/vm-packages" in hook
    assert hook.endswith("install qemu-system-x86 e2fsprogs")
    assert not [word for word in command if word.startswith("--include=") and "qemu" in word]


def test_a_folder_of_a_package_never_hides_a_link_of_the_base(tmp_path: Path) -> None:
    for name in ("lib/x86_64-linux-gnu/libaio.so.1", "usr/lib/x86_64-linux-gnu/libslirp.so.0", "sbin/mke2fs"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "lib/x86_64-linux-gnu/libaio.so").symlink_to("libaio.so.1")
    vm._merge(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["usr"]
    libraries = tmp_path / "usr/lib/x86_64-linux-gnu"
    assert sorted(path.name for path in libraries.iterdir()) == ["libaio.so", "libaio.so.1", "libslirp.so.0"]
    assert (libraries / "libaio.so").readlink() == Path("libaio.so.1")
    assert (tmp_path / "usr/sbin/mke2fs").exists()


def test_what_the_linker_finds_is_kept_with_what_it_links_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    (folder / "libaio.so.1.0.2").write_text("")
    (folder / "libaio.so.1").symlink_to("libaio.so.1.0.2")
    says(monkeypatch, "/usr/bin/qemu:\n\tlinux-vdso.so.1 (0x0)\n\tlibaio.so.1 => /lib/x86_64-linux-gnu/libaio.so.1 (0x1)\n")
    assert list(vm._libraries(tmp_path)) == [f"usr/lib/x86_64-linux-gnu/{name}" for name in ("libaio.so.1", "libaio.so.1.0.2")]


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "/usr/bin/qemu:\n\tlibgone.so.1 => not found\n")
    with pytest.raises(CommandFailed, match=r"not found: libgone\.so\.1"):
        list(vm._libraries(tmp_path))


def test_nodes_that_run_machines_are_other_images(tmp_path: Path) -> None:
    assert node.expected_key(tmp_path) == node.expected_key(tmp_path, clusters=False)
    assert node.expected_key(tmp_path) != node.expected_key(tmp_path, clusters=True)


def test_the_base_follows_what_machines_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = images.base_key()
    for name in ("packages.txt", "packages-vm.txt", "requirements.txt", "requirements-controller.txt"):
        (tmp_path / name).write_text((vm.PACKAGES.parent / name).read_text())
    monkeypatch.setattr(images, "_HERE", tmp_path)
    assert images.base_key() == before
    (tmp_path / "packages-vm.txt").write_text("qemu-system-x86\n")
    assert images.base_key() != before


def says(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """What `ldd` prints in a root, which needs one that can be entered."""

    class Said:
        stdout = output

    monkeypatch.setattr(vm, "run", lambda *_, **__: Said)
