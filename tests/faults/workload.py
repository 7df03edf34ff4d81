"""What a store is made to do while its disk fails. Run as a program, under disk.c, with the name of a mode and a folder.

    kill | torn          a process for each step on the disk, killed there: FOLDER/disks/N is what it left
    once | ever          the same, but the step fails with the error number, once or from there on
    record               one run; FOLDER/log says what it did

FOLDER/acks/N holds a line for each acknowledged change, its number; a number with a minus for one that was refused.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from mayu_py.core.exchange import Became, Learned, Reached
from mayu_py.core.hosts import ENROLLED, Host, Identity, Mac, Stage, State
from mayu_py.core.inventory import Changes, Edits, Note
from mayu_py.errors import StoreError
from mayu_py.store import Happened, Stamp, Store
from mayu_py.store.sqlite import SqliteStore

MODES = {"kill": 1, "torn": 2, "once": 3, "ever": 4}
NOT_REACHED, REACHED = 0, 7
NOW = Stamp("2026-01-01T00:00:00.000+00:00", 5)


def host(number: int) -> Host:
    macs = (Mac(f"52:54:00:00:01:{number:02x}"),)
    return Host(f"10-77-0-{number}", IPv4Address(f"10.77.0.{number}"), macs, profile="node", origin=ENROLLED)


def enrol(*numbers: int) -> Callable[[Store], object]:
    new = tuple(map(host, numbers))
    notes = tuple(Note("enrolled", each, {"address": str(each.address)}) for each in new)
    return lambda store: store.change(lambda _: Changes(new=new, notes=notes))


def record(*events: Reached | Became | Learned | Happened) -> Callable[[Store], object]:
    return lambda store: store.record([(event, NOW) for event in events])


CHANGES: Sequence[Callable[[Store], object]] = (
    enrol(1, 2, 3),
    record(Reached(host(1), Stage.DHCP), Learned(host(1), Identity(serial="KC-1"))),
    record(Happened("long", {"text": "x" * 10_000}), Became(host(2), State.FAILED, "no disk")),
    lambda store: store.change(lambda _: Changes(edits={"10-77-0-2": Edits(profile="worker")})),
    lambda store: store.count("dhcp", {("dhcp.sent", "ack"): 3}),
    lambda store: store.load(1, {"hosts": {"added": ["a"]}}, 0),
    lambda store: store.change(lambda _: Changes(gone=("10-77-0-3",), notes=(Note("deleted", host(3), {}),))),
    enrol(4),
)
# After this one the file is closed, which brings the log into the database, and opened again.
REOPENED_AFTER = 4


def view(store: Store) -> object:
    """All that a store holds, without when."""
    inventory, generation = store.inventory(), store.generation()
    return (
        inventory.enrolled,
        dict(inventory.told),
        dict(inventory.edits),
        {name: (status.state, status.stage) for name, status in store.statuses().items()},
        [(event.id, event.kind, event.host, event.detail) for event in store.events(0, 1000)],
        store.counters(),
        generation and generation.number,
    )


def run(folder: Path, told: Callable[[int], object]) -> None:
    """Make every change, and tell of each whether it was acknowledged."""
    store: SqliteStore | None = None
    for number, change in enumerate(CHANGES, 1):
        try:
            store = store or SqliteStore(folder / "mayu.db")
            change(store)
            told(number)
            if number == REOPENED_AFTER:
                store.close()
                store = None
        except StoreError:
            told(-number)
    if store is not None:
        store.close()


def _child(disk: Any, folder: Path, mode: str, at: int, error: int) -> int:
    (folder / "disks" / str(at)).mkdir()
    acks = os.open(folder / "acks" / str(at), os.O_CREAT | os.O_WRONLY, 0o600)
    child = os.fork()
    if child == 0:
        disk.fault_arm(at, MODES[mode], error)
        run(folder / "disks" / str(at), lambda number: os.write(acks, b"%d\n" % number))
        os._exit(REACHED if disk.fault_steps() >= at else NOT_REACHED)
    os.close(acks)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (NOT_REACHED, REACHED, -signal.SIGKILL), code
    return code


def main(mode: str, folder: Path, error: int) -> None:
    disk: Any = ctypes.CDLL(None)
    disk.fault_arm.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_int)
    disk.fault_steps.restype = ctypes.c_long
    for name in ("disks", "acks"):
        (folder / name).mkdir()
    if mode == "record":
        log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY, 0o600)
        disk.fault_log(log)
        run(folder / "disks", lambda number: os.write(log, b"ack\t\t%d\t0\n" % number))
        return
    at = 1
    while _child(disk, folder, mode, at, error) != NOT_REACHED:
        at += 1


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
