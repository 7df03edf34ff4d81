"""The program behind a fake machine: does on the wire what a booting machine does, and nothing else.

    firmware    DHCP with options 60 and 93, TFTP of the boot file
    iPXE        DHCP as iPXE, the entry script, the scripts it chains to, kernel and initrd
    initrd      rootfs with its checksum, Ignition config, PUT stage/switch-root
    system      PUT boot_complete, then runs until SIGTERM

It takes the place of QEMU on the far end of the tap: a network namespace of its own with a card `eth0`, and a pump
that carries frames between the card and the cable. So its packets take the same way as any machine's, with a MAC of
their own. No code is shared with the server under test. Started by `machines.fake`, inside the fabric's namespace.
"""

import argparse
import ctypes
import errno
import fcntl
import hashlib
import json
import logging
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from kubeception_sim.machines.fake_client import Hardware, Lease, Unavailable, dhcp, fetch, put, tftp
from kubeception_sim.machines.fake_ipxe import Booted, BootFailed, FakeIpxe
from kubeception_sim.run import run

_log = logging.getLogger("fake")

RETRY_SECONDS = 5.0  # as `reboot-timeout` in machines.qemu
PATIENCE_SECONDS = 30

_CARD = "eth0"
_Answer = TypeVar("_Answer")
_FAILURES = (BootFailed, OSError)
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_HTTP_SECONDS = 30.0
_CHUNK = 1 << 16


def main() -> None:
    """Run until told to stop; exit 0 when the guest has powered itself off, as it does after reporting a failure."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for option in ("serial", "uuid", "mac", "tap"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--arch", type=int, required=True)
    given = parser.parse_args()
    machine = Hardware(given.serial, UUID(given.uuid), bytes.fromhex(given.mac.replace(":", "")), given.arch, given.tap)
    plug_in(machine)
    boot(machine)


def plug_in(machine: Hardware) -> None:
    """Take the cable, move to a namespace with a card of our own, and carry frames between the two."""
    cable = _tap(machine.tap)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    card = _tap(_CARD)
    # A reply may come from an address that we have no route to yet.
    Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
    Path("/proc/sys/net/ipv4/conf/default/rp_filter").write_text("0")
    Path(f"/proc/sys/net/ipv4/conf/{_CARD}/rp_filter").write_text("0")
    _ip("link set lo up", f"link set {_CARD} address {machine.mac.hex(':')} up")
    for source, target in ((cable, card), (card, cable)):
        threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def boot(machine: Hardware) -> None:
    """From power-on to running, or to a report of why not. Firmware that cannot boot tries again, as in a rack."""
    while True:
        try:
            kernel = load(machine)
            break
        except _FAILURES as error:
            _log.error("no bootable device: %s", error)
            time.sleep(RETRY_SECONDS)
    arguments = dict(word.partition("=")[::2] for word in kernel.arguments)
    report = arguments.get("testbed.report", "")
    try:
        initrd(kernel, arguments)
        patiently(put, f"{report}/boot_complete")
        _log.info("system: running")
    except _FAILURES as error:
        _log.error("failed: %s", error)
        with suppress(*_FAILURES):
            put(f"{report}/failed", str(error).encode())
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


def load(machine: Hardware) -> Booted:
    """Firmware and iPXE: everything up to the kernel."""
    lease = configure(machine, ipxe=False)
    size = sum(len(block) for block in tftp(lease.server, lease.boot_file))
    _log.info("firmware: %s from %s by TFTP, %d bytes", lease.boot_file, lease.server, size)
    lease = configure(machine, ipxe=True)
    return FakeIpxe(_settings(machine), fetch, time.sleep).run(lease.boot_file)


def initrd(kernel: Booted, arguments: dict[str, str]) -> None:
    """What the testbed's initrd does with its kernel command line (docs/architecture.md)."""
    _log.info("kernel: %s", " ".join(kernel.arguments))
    if "testbed.rootfs" in arguments:
        found = hashlib.sha256(patiently(fetch, arguments["testbed.rootfs"])).hexdigest()
        if found != arguments.get("testbed.sha256", found):
            raise BootFailed(f"{arguments['testbed.rootfs']} has SHA-256 {found}")
    url = arguments.get("ignition.config.url")
    if not url:
        raise BootFailed("no ignition.config.url on the kernel command line")
    try:
        version = json.loads(patiently(fetch, url))["ignition"]["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise BootFailed(f"{url}: not an Ignition config: {error!r}") from error
    _log.info("ignition: config of version %s", version)
    patiently(put, f"{arguments.get('testbed.report', '')}/stage/switch-root")


def patiently(ask: Callable[[str], _Answer], url: str) -> _Answer:
    """Ask again every second while the server is away or says 5xx, as Ignition and curl do; at last give up."""
    for _ in range(PATIENCE_SECONDS):
        try:
            return ask(url)
        except (Unavailable, OSError) as error:
            _log.warning("again in 1 s: %s", error)
            time.sleep(1)
    return ask(url)


def configure(machine: Hardware, *, ipxe: bool) -> Lease:
    """A lease, and the card set up as it says."""
    _ip(f"address flush dev {_CARD}")
    lease = dhcp(machine, _CARD, ipxe=ipxe)
    _ip(f"address add {lease.address}/{lease.prefix} dev {_CARD}")
    if lease.gateway:
        _ip(f"route replace default via {lease.gateway} dev {_CARD}")
    _log.info("%s: %s/%d, boot file %s", "iPXE" if ipxe else "firmware", lease.address, lease.prefix, lease.boot_file)
    return lease


def _settings(machine: Hardware) -> dict[str, str]:
    uefi = machine.arch != 0
    return {
        "serial": machine.serial,
        "uuid": str(machine.uuid),
        "mac": machine.mac.hex(":"),
        "chip": "SNP" if uefi else "undionly",
        "platform": "efi" if uefi else "pcbios",
        "buildarch": "x86_64" if uefi else "i386",
    }


def _tap(name: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return handle


def _pump(source: int, target: int) -> None:
    while True:
        frame = os.read(source, _CHUNK)
        try:
            os.write(target, frame)
        except OSError as error:
            # A tap that is down: the cable is out, and the frame is lost.
            if error.errno != errno.EIO:
                raise


def _ip(*lines: str) -> None:
    run(["ip", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines).encode(), timeout=10.0)


if __name__ == "__main__":
    main()
