"""A disk that loses power: what was synced stays, and of the rest anything may be there, in sectors."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One line of the log that disk.c writes: `create`, `unlink`, `write`, `truncate`, `sync`, or the workload's own `ack`."""

    what: str
    path: str
    offset: int
    data: bytes


def read(log: bytes) -> Iterator[Step]:
    """The steps of a log."""
    at = 0
    while at < len(log):
        end = log.index(b"\n", at)
        what, path, offset, size = log[at:end].decode().split("\t")
        at = end + 1 + int(size)
        yield Step(what, path, int(offset), log[end + 1 : at])


@dataclass
class _Inode:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)


@dataclass
class Disk:
    """Files of one folder. A file's content is durable with its sync, its name with that of the folder."""

    folder: str
    names: dict[str, _Inode] = field(default_factory=dict)
    durable_names: dict[str, _Inode] = field(default_factory=dict)
    pending_names: list[tuple[str, _Inode | None]] = field(default_factory=list)

    def apply(self, step: Step) -> None:
        """Do what the process did."""
        match step.what:
            case "create":
                self.names[step.path] = _Inode()
                self.pending_names.append((step.path, self.names[step.path]))
            case "unlink":
                del self.names[step.path]
                self.pending_names.append((step.path, None))
            case "write" | "truncate":
                self.names[step.path].pending.append(step)
            case "sync" if step.path == self.folder:
                self.durable_names = dict(self.names)
                self.pending_names.clear()
            case "sync":
                inode = self.names[step.path]
                for each in inode.pending:
                    _put(inode.durable, each)
                inode.pending.clear()

    def crash(self, random: Random) -> dict[str, bytes]:
        """The files after a loss of power. Names are journalled, in order; writes reach the disk in any."""
        names = dict(self.durable_names)
        for path, inode in self.pending_names[: random.randint(0, len(self.pending_names))]:
            if inode is None:
                names.pop(path, None)
            else:
                names[path] = inode
        return {path: _survivors(inode, random) for path, inode in names.items()}

    def copy(self) -> "Disk":
        """The disk as it is now."""
        return deepcopy(self)


def _survivors(inode: _Inode, random: Random) -> bytes:
    content = bytearray(inode.durable)
    # At times everything has arrived, or nothing: the extremes are cases of their own.
    odds = random.choice((0.0, 0.2, 0.5, 0.8, 1.0))
    for step in inode.pending:
        if random.random() < odds:
            _put(content, step)
        elif step.what == "write" and random.random() < odds:
            for part in _sectors(step):
                if random.random() < 0.5:
                    _put(content, part)
    return bytes(content)


def _sectors(step: Step) -> Iterator[Step]:
    """A write, cut where sectors begin."""
    at, end = step.offset, step.offset + len(step.data)
    while at < end:
        cut = min(end, (at // SECTOR + 1) * SECTOR)
        yield Step("write", step.path, at, step.data[at - step.offset : cut - step.offset])
        at = cut


def _put(content: bytearray, step: Step) -> None:
    if step.what == "truncate":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
        return
    content.extend(bytes(max(0, step.offset - len(content))))
    content[step.offset : step.offset + len(step.data)] = step.data


def lay_out(files: dict[str, bytes], folder: Path) -> None:
    """Write the files into another folder."""
    folder.mkdir(parents=True)
    for path, content in files.items():
        (folder / Path(path).name).write_bytes(content)
