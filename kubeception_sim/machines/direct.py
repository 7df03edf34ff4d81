"""A direct boot of a machine with a kernel of its own: the command line, and a server for what the initrd fetches."""

import json
import os
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from kubeception_sim.errors import DeadlineExceeded, HarnessError
from kubeception_sim.machines import DirectBoot, MachineSpec, Port
from kubeception_sim.run import run, spawn

START_SECONDS = 20.0
_COMMAND_SECONDS = 10.0
_PACKAGE_ROOT = Path(__file__).parents[2]
_ROOTFS, _CONFIG = "rootfs", "config.ign"


def kernel_command_line(boot: DirectBoot, spec: MachineSpec, base: str) -> str:
    """What the testbed's initrd wants to know (docs/architecture.md); `base` is the URL that `shelf` gave."""
    assert spec.address is not None
    config = f"{base}/{_CONFIG}" if is_file(boot) else boot.ignition
    words = (
        "ignition.firstboot",
        "ignition.platform.id=metal",
        f"ignition.config.url={config}",
        f"testbed.rootfs={base}/{_ROOTFS}",
        f"testbed.sha256={boot.image.rootfs_sha256}",
        f"ip={spec.address.ip}::{spec.gateway or ''}:{spec.address.netmask}::eth0:none",
        "console=ttyS0",
        "net.ifnames=0",
        "rd.systemd.gpt_auto=0",
        "systemd.gpt_auto=0",
        # Ciphers would test themselves at every start of the kernel, on an emulated processor for seconds.
        "cryptomgr.notests",
        *boot.arguments,
    )
    return " ".join(words)


def is_file(boot: DirectBoot) -> bool:
    """Whether the config is a file of the host."""
    return isinstance(boot.ignition, Path) or not urlsplit(boot.ignition).netloc


@contextmanager
def shelf(boot: DirectBoot, spec: MachineSpec, port: Port, *, log: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Serve the root file system, and the config if it is a file, on the machine's bridge; gives the URL they are below."""
    files = {_ROOTFS: boot.image.rootfs, **({_CONFIG: Path(boot.ignition)} if is_file(boot) else {})}
    words = (f"{name}={path.absolute()}" for name, path in files.items())
    address = _address_on_bridge(spec, port)
    read, write = os.pipe()
    argv = (sys.executable, "-m", "kubeception_sim.machines.shelf", str(address), str(write), *words)
    environment = {**env, "PYTHONPATH": os.fspath(_PACKAGE_ROOT)}
    with spawn(argv, log=log, env=environment, namespace=port.namespace, pass_fds=(write,)) as process:
        os.close(write)
        with open(read, encoding="ascii") as pipe:
            ready, _, _ = select.select([pipe], [], [], START_SECONDS)
            number = pipe.readline().strip() if ready else ""
        if not number:
            raise DeadlineExceeded(f"{spec.name}: nobody serves its image: {process.tail()}")
        yield f"http://{address}:{number}"


def _address_on_bridge(spec: MachineSpec, port: Port) -> IPv4Address:
    assert spec.address is not None
    shown = run(["ip", "-netns", port.namespace, "-json", "-4", "address", "show", "dev", port.bridge], timeout=_COMMAND_SECONDS)
    found = (IPv4Address(info["local"]) for link in json.loads(shown.stdout) for info in link.get("addr_info", ()))
    for address in found:
        if address in spec.address.network:
            return address
    raise HarnessError(f"{port.bridge} of {port.namespace} has no address in {spec.address.network}, to serve {spec.name} from")


def local_source(boot: DirectBoot) -> str:
    """A URL as it is, a path as the machine's process finds it."""
    if isinstance(boot.ignition, Path) or not urlsplit(boot.ignition).netloc:
        return os.fspath(Path(boot.ignition).absolute())
    return boot.ignition
