"""`python -m kubeception_sim.agents.vm`: a machine, from its start to its end.

What it is, is in the environment (machine.py). Its console comes out here, on stdout; HTTP is on --health (:9080):
/healthz (QEMU answers), /readyz (the guest has said that it runs), /stages (JSON: stage -> seconds of CLOCK_MONOTONIC), /metrics,
/certificates (JSON: what the guest has of agents/issue/record.py).

SIGTERM powers the machine off, and then the exit code is 0. It is 1 when the machine cannot start, or has ended without having
been asked to: why is told on stderr and is the container's termination message (`kubectl describe pod`).
"""

import argparse
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kubeception_sim.agents.health import Health
from kubeception_sim.agents.vm import disk, machine
from kubeception_sim.agents.vm.guest import Guest, GuestFailed

_log = logging.getLogger("kubeception.vm")

PORT = 9080
FAILED = 1
_TERMINATION = Path("/dev/termination-log")
_TERMINATION_LIMIT = 4096  # Kubernetes cuts it there ("Determine the Reason for Pod Failure")


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit code."""
    options = _options(arguments)
    asked = _asked_to_end()
    try:
        found = machine.read(environment)
        if missing := [str(path) for path in found.files if not path.is_file()]:
            return _ended(f"{', '.join(missing)}: no such file")
        if found.disk:
            disk.ensure(found.disk)
        with Guest(found, _say) as guest:
            return _watched(guest, asked, (options.address, options.health))
    except (machine.Unfit, disk.DiskFailed, GuestFailed, OSError, ValueError) as error:
        return _ended(str(error))


def _watched(guest: Guest, asked: int, address: tuple[str, int]) -> int:
    with Health(
        address,
        lambda: guest.stages.problem,
        guest.metrics,
        sick=guest.sick,
        pages={"/stages": lambda: guest.stages.reached.copy(), "/certificates": guest.renewal.page},
    ) as health:
        stop = threading.Event()
        threading.Thread(target=health.serve_forever, name="health", daemon=True).start()
        threading.Thread(target=guest.renewal.run, args=(stop,), name="renewal", daemon=True).start()
        try:
            poller = select.poll()
            for descriptor in (asked, guest.ended):
                poller.register(descriptor, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll()}
            if guest.ended in ready:
                return _ended(guest.verdict())
            guest.stop(guest.machine.grace)
            return 0
        finally:
            stop.set()
            health.shutdown()


def _asked_to_end() -> int:
    """A descriptor that is readable once SIGTERM or SIGINT has come. The first process of a container must ask for them."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reader


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kubeception_sim.agents.vm", description="One machine under QEMU.")
    parser.add_argument("--health", type=int, default=PORT, help="port for HTTP: /healthz, /readyz, /stages, /metrics")
    parser.add_argument("--address", default="", help="where to listen; everywhere unless it is said")
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    with suppress(BrokenPipeError):  # nobody reads; the machine goes on
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _ended(message: str) -> int:
    _log.error("%s", message)
    # Not made where there is none: only a container has one.
    with suppress(OSError), _TERMINATION.open("r+") as file:
        file.write(message[:_TERMINATION_LIMIT])
    return FAILED


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(main(sys.argv[1:], os.environ))
