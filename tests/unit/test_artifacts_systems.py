"""Systems of inner clusters: one image under several names, told apart by what stands before the initrd."""

from pathlib import Path

from kubeception_sim.artifacts.node import systems
from kubeception_sim.artifacts.testbed import Image

MADE = {"usr/lib/one": "first\n", "usr/lib/deeper/two": "second", "three": ""}


def read(archive: bytes) -> dict[str, bytes]:
    """As the kernel reads it (initramfs buffer format): 13 numbers of eight digits, the name, the data; all of it in fours."""
    found: dict[str, bytes] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, length = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        data = at + (110 + length + 3) // 4 * 4
        at = data + (size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = archive[data : data + size]


def test_the_archive_holds_the_files_and_the_folders_above_them() -> None:
    found = read(systems.archive(MADE))
    assert {name: found.pop(name).decode() for name in MADE} == MADE
    assert found == {"usr": b"", "usr/lib": b"", "usr/lib/deeper": b""}


def test_the_archive_ends_where_another_may_begin() -> None:
    made = systems.archive(MADE)
    assert len(made) % 512 == 0
    assert made.startswith(b"070701")
    assert b"TRAILER!!!\0" in made


def test_folders_come_before_what_is_in_them() -> None:
    made = systems.archive(MADE)
    assert made.index(b"usr\0") < made.index(b"usr/lib\0") < made.index(b"usr/lib/deeper\0") < made.index(b"usr/lib/deeper/two\0")


def base(folder: Path) -> Image:
    folder.mkdir()
    for name in ("kernel", "initrd.zst", "rootfs.squashfs"):
        (folder / name).write_text(f"the {name}")
    return Image("key", folder, folder / "kernel", folder / "initrd.zst", folder / "rootfs.squashfs", "ab" * 32, {})


def test_a_system_has_the_kernel_and_the_root_of_its_base(tmp_path: Path) -> None:
    common = base(tmp_path / "base")
    one, two = (systems.ensure(tmp_path, common, name, lambda *_: None) for name in ("testbed-1", "testbed-2"))
    assert one.rootfs.stat().st_ino == two.rootfs.stat().st_ino == common.rootfs.stat().st_ino
    assert one.initrd.read_bytes() != two.initrd.read_bytes()
    for name, each in (("testbed-1", one), ("testbed-2", two)):
        assert f"VARIANT_ID={name}\n".encode() in each.initrd.read_bytes()
        assert each.initrd.read_bytes().endswith(b"the initrd.zst")
    assert systems.ensure(tmp_path, common, "testbed-1", lambda *_: None) == one
