"""Releases of the OS that machines of inner clusters boot: one node image under several names, so that there is something to
upgrade to.

    image = ensure(default_cache(), base, "testbed-2", progress)

A system says who it is in /usr/lib/os-release (os-release(5)), which its kubelet tells of the node. That is all it has of its
own: kernel and root file system are the base's, as links; before its initrd stands an archive with a drop-in for the unit that
mounts the root. The kernel unpacks one archive after another (its documentation, "initramfs buffer format").
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kubeception_sim.artifacts import testbed
from kubeception_sim.artifacts.store import Progress, Store
from kubeception_sim.artifacts.testbed import Image

KIND = "node-systems"
_RECIPE = 1  # to be raised when this file changes what comes out
_RELEASE = "usr/lib/testbed-system"
_DROP_IN = "usr/lib/systemd/system/testbed-root.service.d/system.conf"
_ALIGNED = 512
_FILE, _FOLDER = 0o100644, 0o040755


def ensure(cache: Path, base: Image, name: str, progress: Progress) -> Image:
    """The image of the system `name`, made in a moment if need be. Raises HarnessError."""
    key = hashlib.sha256(f"{_RECIPE} {base.key} {name}".encode()).hexdigest()[:32]

    def build(folder: Path, _lock: int) -> None:
        for each in (base.kernel, base.rootfs):
            os.link(each, folder / each.name)
        (folder / base.initrd.name).write_bytes(archive(files(name)) + base.initrd.read_bytes())

    return testbed.image(Store(cache, KIND).obtain(key, build, progress))


def files(name: str) -> dict[str, str]:
    """What the initrd of a system has more. Pure."""
    release = ('NAME="Debian GNU/Linux"', "ID=debian", 'VERSION_ID="12"', f"VARIANT_ID={name}", f'PRETTY_NAME="{pretty(name)}"')
    command = f"/bin/sh -c 'cat /{_RELEASE} >/sysroot/usr/lib/os-release'"
    return {_RELEASE: "".join(f"{line}\n" for line in release), _DROP_IN: f"[Service]\nExecStartPost={command}\n"}


def pretty(name: str) -> str:
    """What a kubelet tells of the system: its node's `osImage`."""
    return f"Debian GNU/Linux 12 ({name})"


def archive(found: dict[str, str]) -> bytes:
    """A cpio archive (newc) of root's files, with the folders above them; as long as a multiple of 512 bytes. Pure."""
    folders = dict.fromkeys(str(each) for name in found for each in reversed(PurePosixPath(name).parents[:-1]))
    members = [*((name, _FOLDER, b"") for name in folders), *((name, _FILE, text.encode()) for name, text in found.items())]
    whole = b"".join(_members([*members, ("TRAILER!!!", 0, b"")]))
    return whole + bytes(-len(whole) % _ALIGNED)


def _members(found: list[tuple[str, int, bytes]]) -> Iterator[bytes]:
    for inode, (name, mode, data) in enumerate(found, 1):
        links = 2 if mode == _FOLDER else 1
        # inode, mode, uid, gid, links, time, size, device, device of a node (two numbers each), length of the name, checksum
        fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % each for each in fields) + name.encode() + b"\0"
        yield head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
